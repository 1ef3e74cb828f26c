"""Retrieval of one pair of towers on the test and the validation requests, one number a request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from benchmarks.ablation_masks import MODALITIES, PRODUCT_MASKS, QUERY_MASKS, UNCHANGED
from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from catalog.truth import Truth
from evaluation.aligned_truth import AlignedTruth
from evaluation.arrays import Mask, Rows
from evaluation.relevance import Relevance, logged_relevance
from evaluation.requests import Requests, Task, candidates_only, sample_requests
from evaluation.scores import score_rankings
from evaluation.slices import product_slices, request_slices
from evaluation.truth_scores import score_against_truth
from pipelines.s07_candidates import nearest
from pipelines.snapshot import eligible_rows
from pipelines.workspace import Workspace

DEPTH = 200
_SLICES = {"validation": 2, "test": 3}
_TASKS: tuple[Task, ...] = ("search", "recommendation")
_TRUE = {"search": ("ndcg@10", "recall@100", "appeal_ndcg@10"), "recommendation": ("recall@100", "appeal_ndcg@10")}

Scores = dict[str, npt.NDArray[np.float64]]
"""`key(system, part, metric)` -> [R], NaN where a request has nothing to find."""


def key(system: str, part: str, metric: str) -> str:
    """The name of one metric of one system on one part."""
    return f"{system}|{part}|{metric}"


@dataclass(frozen=True)
class Kept:
    """A finished variant.

    Args:
        info: seconds of the training, its best epoch, epochs, and validation recall.
        scores: of every request.
    """

    info: dict[str, Any]
    scores: Scores


@dataclass(frozen=True)
class Part:
    """The requests of one task in one time slice.

    Args:
        slice: validation or test. task: search or recommendation.
        requests: [R]. day: whose morning the product vectors are of.
        eligible: [N], products that may answer. clicked: what the log says of the requests.
    """

    slice: Literal["validation", "test"]
    task: Task
    requests: Requests
    day: int
    eligible: Mask
    clicked: Relevance

    @property
    def name(self) -> str:
        """Slice and task, "test search"."""
        return f"{self.slice} {self.task}"


class Judge:
    """Scores towers by exact search over product vectors: validation requests on clicks alone, test requests on clicks
    and on the simulator's truth.

    Args:
        workspace: of a run that is finished up to its pictures.
    """

    def __init__(self, workspace: Workspace) -> None:
        settings = workspace.config.evaluate
        self.shop = ShopData.load(workspace / "tables")
        self.features = FeatureStore.load(workspace / "features")
        self._truth = Truth.load(workspace / "truth")
        ids: list[str] = self.shop.products.column("product_id").to_pylist()
        self._aligned = AlignedTruth(self._truth, ids)
        self.parts = tuple(
            self._part(name, task, settings.requests, settings.seed) for name in _SLICES for task in _TASKS
        )
        counters = np.asarray(self.features.snapshots[self.features.slices.test[0]])
        rated = self.shop.products.column("rating_count").to_numpy() > 0
        found = product_slices(self.features, self.shop.products)
        slices = {name: found[name] for name in ("new products", "without picture")}
        slices["no behaviour yet"] = ~(counters > 0).any(axis=1) & ~rated
        self.product_slices = {name: products for name, products in slices.items() if products.any()}

    def _part(self, name: Any, task: Task, limit: int, seed: int) -> Part:
        requests = sample_requests(self.features, task, limit, seed, _SLICES[name])
        day = self.features.slices.ranges[_SLICES[name]][0]
        eligible = np.zeros(self.features.n_products, np.bool_)
        eligible[eligible_rows(self.shop, self.features, day)] = True
        return Part(name, task, requests, day, eligible, logged_relevance(self.features, requests, eligible))

    def request_slices(self, part: Part) -> dict[str, Mask]:
        """Masks [R] over the requests of a part of the test slice."""
        facts = self._truth.query_facts(part.requests.queries.tolist()) if part.task == "search" else None
        return request_slices(part.requests, facts)

    def scores(self, towers: Any, name: str, masked: bool = False) -> Scores:
        """What the towers find, and with `masked` what they find with each modality hidden in turn on the test days.

        Args:
            towers: a `towers.trained.Towers`.
            name: of the system; those with a modality hidden are called "<modality> masked".
        """
        scores: Scores = {}
        for part in self.parts:
            hidden = MODALITIES if masked and part.slice == "test" else ()
            rankings = {name: self._rank(towers, part)}
            rankings |= {f"{modality} masked": self._rank(towers, part, modality) for modality in hidden}
            scores |= self._score(part, rankings)
        return scores

    def _rank(self, towers: Any, part: Part, hidden: str = "") -> Rows:
        from pipelines.questions import request_questions

        products = towers.product_embeddings(part.day, PRODUCT_MASKS.get(hidden, ()))
        asked = request_questions(self.features, part.requests.request, towers.config.history.length)
        queries = towers.query_embeddings(asked, masked=QUERY_MASKS.get(hidden, ()))
        rows = np.flatnonzero(part.eligible).astype(np.int32)
        found, _ = nearest(queries, products[rows], DEPTH, f"{part.name}, {hidden or UNCHANGED}")
        return candidates_only(np.where(found < 0, np.int32(-1), rows[found]), part.requests, part.eligible)

    def _score(self, part: Part, rankings: Mapping[str, Rows]) -> Scores:
        scores: Scores = {}
        clicked = score_rankings(dict(rankings), part.clicked, part.eligible)
        for system in rankings:
            for metric in ("recall@10", "recall@100", "ndcg@10"):
                scores[key(system, part.name, f"clicks {metric}")] = clicked.metric(system, metric)
        if part.slice == "test":
            true = score_against_truth(
                self._aligned, part.requests, dict(rankings), part.eligible, self.product_slices, DEPTH
            ).scores
            for system in rankings:
                scores |= {key(system, part.name, metric): true.metric(system, metric) for metric in _TRUE[part.task]}
                for name in self.product_slices:
                    found = true.product_slices[name][system]
                    scores[key(system, part.name, f"recall@100 of {name}")] = found
        return scores
