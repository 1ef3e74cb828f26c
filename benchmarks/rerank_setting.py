"""What every reranker of the comparison is given: the same pages, candidates and features; and the truth."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import ConfigError
from catalog.feature_store import FeatureStore
from catalog.files import read_json
from catalog.schema import ShopData
from catalog.truth import Truth
from evaluation.aligned_truth import AlignedTruth
from evaluation.arrays import Mask, Rows
from evaluation.relevance import logged_relevance
from evaluation.requests import Requests, Task, candidates_only, sample_requests
from evaluation.scores import Scores, score_rankings
from evaluation.truth_scores import score_against_truth
from pipelines.fingerprints import code_digest
from pipelines.s07_candidates import retrieve
from pipelines.snapshot import eligible_rows, snapshot_day
from pipelines.workspace import Workspace
from rerank.candidates import Candidates
from rerank.lists import RankingLists
from rerank.slices import Slice, with_features
from rerank.train import Prepared, prepare, select_requests
from towers.tables import read_embeddings
from towers.trained import load, pictures_dir

Floats = npt.NDArray[np.float32]

TASKS: tuple[Task, ...] = ("search", "recommendation")
METRICS: dict[Task, tuple[str, ...]] = {
    "search": ("ndcg@10", "appeal_ndcg@10", "click_ndcg@10"),
    "recommendation": ("appeal_ndcg@10", "click_ndcg@10"),
}
_MEMORY_GB = 8.0
_VALIDATION, _TEST = 2, 3


@dataclass(frozen=True)
class Judged:
    """Requests whose orders are judged.

    whole: lists of all candidates and of what the page showed besides. requests: task -> requests; place: task -> [R]
    list of each. eligible: [N], products in the index.
    """

    whole: Slice
    requests: dict[Task, Requests]
    place: dict[Task, npt.NDArray[np.int64]]
    eligible: Mask

    @property
    def lists(self) -> RankingLists:
        """The lists' products, positions and clicks."""
        return self.whole.data.lists

    def rankings(self, score: Floats, task: Task) -> Rows:
        """The candidates in the order of `score`, [lists, C], as rows of the task's requests."""
        place, lists = self.place[task], self.lists
        order = np.argsort(np.where(lists.retrieved, -score, np.inf)[place], axis=1, kind="stable")
        rows = np.where(lists.retrieved, lists.row, np.int32(-1))[place]
        return candidates_only(np.take_along_axis(rows, order, axis=1), self.requests[task], self.eligible)


@dataclass(frozen=True)
class Setting:
    """One shop, ready for any reranker.

    key: names the data and what is fitted before the weights; equal keys give equal features.
    training, pages: lists of the reranker's slice and of the validation days, by the counters of each one's own day.
    served_pages: `pages`, and the lists of `validation` and `test`, as a release of their first morning reads them.
    """

    key: str
    features: FeatureStore
    products: pa.Table
    truth: AlignedTruth
    prepared: Prepared
    training: Slice
    pages: Slice
    served_pages: Slice
    validation: Judged
    test: Judged

    def scores(self, judged: Judged, scores: dict[str, Floats]) -> dict[Task, Scores]:
        """Each system's orders against the truth and against what was clicked.

        Args:
            scores: system -> [lists, C], higher is better.
        """
        result = {}
        for task in TASKS:
            requests = judged.requests[task]
            rankings = {name: judged.rankings(score, task) for name, score in scores.items()}
            found = score_against_truth(self.truth, requests, rankings, judged.eligible).scores
            relevance = logged_relevance(self.features, requests, judged.eligible)
            clicked = score_rankings(rankings, relevance, judged.eligible, (10,))
            for name in rankings:
                found.values[name]["click_ndcg@10"] = clicked.metric(name, "ndcg@10")
            result[task] = found
        return result


def setting_key(workspace: Workspace) -> str:
    """Of all that a trained reranker and its scores on these lists depend on, but its own changes; code too."""
    config = workspace.config
    candidates = read_json(workspace / "stages" / "candidates.json")["fingerprint"]
    asked = f"test {config.evaluate.requests} {config.evaluate.seed} {config.release.candidates}"
    return f"{candidates} {config.rerank.model_dump_json()} {asked} {code_digest('benchmarks.rerank_variants')}"


def build_setting(workspace: Workspace) -> Setting:
    """Candidates of the test days by exact search, and everybody's features, computed once.

    Raises:
        ConfigError: for a shop that is not simulated: there is no truth to judge by.
    """
    config = workspace.config
    if config.simulate is None:
        raise ConfigError("the comparison judges against the simulator's truth; give a config with `simulate`")
    keras.utils.set_random_seed(config.rerank.seed)
    shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
    folder, settings = workspace / "candidates", config.rerank
    rerank = select_requests(features, Candidates.load(folder / "rerank"), settings.max_requests, None)
    held_out = Candidates.load(folder / "validation")
    held_out = select_requests(features, held_out, settings.max_validation_requests, settings.seed)
    towers = load(workspace / "towers", shop, features, workspace / "images")
    day = snapshot_day(features, "test")
    asked = {task: sample_requests(features, task, config.evaluate.requests, config.evaluate.seed) for task in TASKS}
    numbers = np.sort(np.concatenate([part.request for part in asked.values()]))
    rows = eligible_rows(shop, features, day)
    tested = retrieve(towers, shop, features, numbers, day, rows, config, "test")
    pictures = read_embeddings(pictures_dir(workspace / "towers", workspace / "images", config.towers), shop)
    tokenizer = workspace / "towers" / "tokenizer.model"
    morning = features.slices.validation[0]
    parts, mornings = (rerank, held_out, tested), (morning, day)
    prepared = prepare(shop, features, tokenizer, pictures, parts, settings, mornings)

    def lists(candidates: Candidates, length: int, served: int | None = None) -> Slice:
        return with_features(prepared.lists(candidates, length, served), prepared.extractor, _MEMORY_GB)

    whole = config.release.candidates + settings.list_length
    in_index = eligible_rows(shop, features, morning)
    return Setting(
        key=setting_key(workspace),
        features=features,
        products=shop.products,
        truth=AlignedTruth(Truth.load(workspace / "truth"), shop.products.column("product_id").to_pylist()),
        prepared=prepared,
        training=lists(rerank, settings.list_length),
        pages=lists(held_out, settings.list_length),
        served_pages=lists(held_out, settings.list_length, morning),
        validation=_judged(features, lists(held_out, whole, morning), _VALIDATION, in_index),
        test=_judged(features, lists(tested, whole, day), _TEST, rows),
    )


def _judged(features: FeatureStore, whole: Slice, code: int, rows: Rows) -> Judged:
    """Those of the slice's requests that `whole` has lists of."""
    numbers = whole.candidates.request
    eligible = np.zeros(features.n_products, dtype=bool)
    eligible[rows] = True
    requests: dict[Task, Requests] = {}
    place: dict[Task, npt.NDArray[np.int64]] = {}
    for task in TASKS:
        found = sample_requests(features, task, len(features.request_slice), 0, code)
        found = found.select(np.isin(found.request, numbers))
        order = np.argsort(numbers)
        requests[task] = found
        place[task] = order[np.searchsorted(numbers[order], found.request)]
    return Judged(whole, requests, place, eligible)


def keep_folder(out: Path) -> Path:
    """Where finished parts of the result `out` are kept."""
    return out.with_name(f"{out.stem}.kept")
