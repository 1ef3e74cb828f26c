"""Pictures as queries, alone and with words: do the first ten answers look as asked for?

    .venv/bin/python -m benchmarks.picture_queries --config pipelines/configs/fashion-small.yaml --source ZIP --out FILE

Asks `retrieval_exact` and `search_exact`, which reranks, of a finished run's release as a stranger would: with pictures
of products that its index does not hold, with words, and with both. An answer is right where the catalogue says the
same type (the last part of the category) and the same colour. Beside it stand BM25 for words, and for pictures the
neighbours by the picture network alone. The network has been trained on the labels of nearly all pictures, these among
them.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import finish
from catalog.errors import DataError, TandemError
from catalog.feature_store import FeatureStore
from catalog.progress import track
from catalog.schema import ShopData, product_texts
from evaluation.arrays import Mask, Rows
from evaluation.attribute_queries import TYPE_KEY, product_values, singular
from evaluation.bm25 import BM25
from evaluation.requests import made_up_requests
from evaluation.significance import Interval, mean_interval, paired_intervals
from pipelines.config import load_config
from pipelines.report_parts import eligible_mask
from pipelines.s07_candidates import nearest
from pipelines.s09_release import workspace_release
from pipelines.scoring import ReleasedModels
from pipelines.snapshot import eligible_rows, snapshot_day, snapshot_time
from pipelines.workspace import Workspace, open_workspace

FIRST = 10
_FEWEST = 5  # products of the index that a question must fit, so that ten places can be right for some part
_BATCH = 8
_MODELS = {"retrieval": "retrieval_exact", "reranked": "search_exact"}
_BM25, _NEIGHBOURS = "colour and type: BM25", "picture: neighbours by the picture network"

Texts = npt.NDArray[np.str_]
Scores = dict[str, dict[str, npt.NDArray[np.float64]]]  # question and system -> metric -> [Q]


@dataclass(frozen=True)
class Questions:
    """Q questions about type and colour.

    Args:
        rows: [Q] rows of the products whose pictures are asked with.
        types, colours: [N] of every product, "" unknown.
        other: [Q] a colour that the product has not.
        eligible: [N], products in the index.
    """

    rows: Rows
    types: Texts
    colours: Texts
    other: Texts
    eligible: Mask

    def scores(self, answers: Rows, other_colour: bool = False) -> dict[str, npt.NDArray[np.float64]]:
        """Of each question, the share of the first ten with the type, with the colour and with both, and recall@10.

        Args:
            answers: [Q, K] product rows, -1 for none.
            other_colour: whether the colour asked for is `other`.
        """
        first = answers[:, :FIRST]
        colours = self.other if other_colour else self.colours[self.rows]
        types = self.types[self.rows]
        there = first >= 0
        same_type = there & (self.types[first] == types[:, None])
        same_colour = there & (self.colours[first] == colours[:, None])
        both = (same_type & same_colour).sum(axis=1)
        fitting = self._fitting(types, colours)
        return {
            "type": same_type.sum(axis=1) / FIRST,
            "colour": same_colour.sum(axis=1) / FIRST,
            "both": both / FIRST,
            "recall@10 of both": both / np.minimum(fitting, FIRST),
        }

    def _fitting(self, types: Texts, colours: Texts) -> npt.NDArray[np.int64]:
        counts = _counts(self.types[self.eligible], self.colours[self.eligible])
        return np.array([counts.get(pair, 0) for pair in zip(types.tolist(), colours.tolist(), strict=True)])


def _counts(types: Texts, colours: Texts) -> dict[tuple[str, str], int]:
    pairs, counts = np.unique(np.stack([types, colours], axis=1), axis=0, return_counts=True)
    return {(kind, colour): int(count) for (kind, colour), count in zip(pairs.tolist(), counts.tolist(), strict=True)}


def make_questions(types: Texts, colours: Texts, pictured: Mask, eligible: Mask, count: int, seed: int) -> Questions:
    """Draw at most `count` products with a picture, outside of the index.

    At least five products of the index are of the same type and colour, and five of the type and of another colour.

    Raises:
        DataError: if there is none.
    """
    random = np.random.default_rng(seed)
    counts = _counts(types[eligible], colours[eligible])
    common: dict[str, list[str]] = {}
    for (kind, colour), found in sorted(counts.items()):
        if kind and colour and found >= _FEWEST:
            common.setdefault(kind, []).append(colour)
    rows, other = [], []
    for row in random.permutation(np.flatnonzero(pictured & ~eligible)).tolist():
        there = common.get(str(types[row]), [])
        if colours[row] in there and len(there) > 1:
            rows.append(row)
            other.append(str(random.choice([colour for colour in there if colour != colours[row]])))
    if not rows:
        raise DataError(
            f"no pictured product outside of the index shares type and colour with {_FEWEST} products in it; name the "
            "attribute that holds colours with --colour"
        )
    return Questions(np.array(rows[:count], np.int32), types, colours, np.array(other[:count]), eligible)


class Systems:
    """What answers: the release, and the baselines.

    Args:
        workspace: of a finished run. shop: its tables. snapshot: of the release, in seconds.
        questions: what is asked.
        models: of the release.
    """

    def __init__(
        self, workspace: Workspace, shop: ShopData, snapshot: int, questions: Questions, models: ReleasedModels
    ) -> None:
        from towers.tables import read_embeddings
        from towers.trained import pictures_dir

        self._shop, self._snapshot, self._questions, self._models = shop, snapshot, questions, models
        self._image_row = shop.products.column("image_row").to_numpy()
        folder = pictures_dir(workspace / "towers", workspace / "images", workspace.config.towers)
        self._embeddings = read_embeddings(folder, shop).astype(np.float32)
        self._bm25 = BM25(product_texts(shop.products), questions.eligible)

    def tandem(self, model_name: str, texts: list[str], with_picture: bool) -> Rows:
        """What a model of the release answers."""
        inputs = self._models.inputs(made_up_requests(texts, self._snapshot))
        if with_picture:
            inputs["query_image"] = np.asarray(self._shop.images)[self._image_row[self._questions.rows]]
        signature = "with_image" if with_picture else "serving_default"
        model, answers = self._models.model(model_name), []
        for start in track(range(0, len(texts), _BATCH), model_name):
            batch = {name: values[start : start + _BATCH] for name, values in inputs.items()}
            answers.append(model.run(signature, batch, ["product_id"])["product_id"])
        return self._models.rows(np.concatenate(answers))

    def bm25(self, texts: list[str]) -> Rows:
        """BM25 over every text that the towers read."""
        return self._bm25.rank(made_up_requests(texts, self._snapshot), FIRST)

    def neighbours(self) -> Rows:
        """The products whose pictures the picture network finds most alike, by cosine to the mean picture."""
        offered = np.flatnonzero(self._questions.eligible & (self._image_row >= 0)).astype(np.int32)
        vectors = self._embeddings - self._embeddings.mean(axis=0)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
        asked, there = vectors[self._image_row[self._questions.rows]], vectors[self._image_row[offered]]
        return offered[nearest(asked, there, FIRST, "neighbours")[0]]


def measure(questions: Questions, systems: Systems) -> Scores:
    """What each system has in each question."""
    types = [singular(str(kind).lower()) for kind in questions.types[questions.rows]]
    colours = [str(colour).lower() for colour in questions.colours[questions.rows]]
    others = [str(colour).lower() for colour in questions.other]
    nothing = [""] * len(types)
    both = [f"{colour} {kind}" for colour, kind in zip(colours, types, strict=True)]
    changed = [f"{colour} {kind}" for colour, kind in zip(others, types, strict=True)]
    asked = {
        "picture": (nothing, True),
        "picture and type": (types, True),
        "picture, colour and type": (both, True),
        "type": (types, False),
        "colour and type": (both, False),
        "picture and another colour": (others, True),
        "picture, another colour and type": (changed, True),
    }
    found = {
        _NEIGHBOURS: questions.scores(systems.neighbours()),
        _BM25: questions.scores(systems.bm25(both)),
    }
    for system, model in _MODELS.items():
        for name, (texts, with_picture) in asked.items():
            answers = systems.tandem(model, texts, with_picture)
            found[f"{name}: {system}"] = questions.scores(answers, other_colour="another colour" in name)
            if name == "picture":
                found[f"{name}: {system}, judged by the other colour"] = questions.scores(answers, other_colour=True)
    return dict(sorted(found.items()))


def differences(found: Scores) -> dict[str, dict[str, Interval]]:
    """What reranking, a picture beside words and Tandem beside the baselines change, metric by metric, paired."""
    pairs = [(name, name.replace(": reranked", ": retrieval")) for name in found if ": reranked" in name]
    for system in _MODELS:
        pairs += [
            (f"picture and type: {system}", f"type: {system}"),
            (f"picture, colour and type: {system}", f"colour and type: {system}"),
            (f"picture: {system}", _NEIGHBOURS),
            (f"colour and type: {system}", _BM25),
        ]
    return {
        f"{ours}, less {theirs}": {
            metric: paired_intervals(values, found[theirs][metric])[0] for metric, values in found[ours].items()
        }
        for ours, theirs in pairs
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="a finished run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    parser.add_argument("--colour", default="base_colour", help="the attribute that holds colours")
    parser.add_argument("--count", type=int, default=300, help="questions at most")
    parser.add_argument("--out", type=Path, help="where the JSON goes too")
    return parser.parse_args()


def main() -> None:
    """Ask, print the table and the line of JSON."""
    arguments = _arguments()
    try:
        workspace = open_workspace(load_config(arguments.config, arguments.source))
        shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
        release = workspace_release(workspace)
        day = snapshot_day(features, workspace.config.release.snapshot)
        eligible = eligible_mask(eligible_rows(shop, features, day), features.n_products)
        types, colours = product_values(shop.products, (TYPE_KEY, arguments.colour)).T
        pictured = shop.products.column("image_row").to_numpy() >= 0
        questions = make_questions(types, colours, pictured, eligible, arguments.count, workspace.config.evaluate.seed)
        ids: list[str] = shop.products.column("product_id").to_pylist()
        with ReleasedModels(release, features, ids, workspace.config.towers.history.length) as models:
            found = measure(questions, Systems(workspace, shop, snapshot_time(features, day), questions, models))
    except TandemError as error:
        sys.exit(f"error: {error}")
    scores = {name: {metric: mean_interval(values) for metric, values in one.items()} for name, one in found.items()}
    answer: dict[str, Any] = {"config": workspace.config.name, "questions": len(questions.rows)}
    titles = {
        "scores": f"{len(questions.rows)} questions: share of the first ten",
        "differences": "Differences, paired",
    }
    for part, rows in (("scores", scores), ("differences", differences(found))):
        table = Table("", title=titles[part], title_justify="left")
        for metric in next(iter(rows.values())):
            table.add_column(metric, justify="right")
        for name, intervals in rows.items():
            table.add_row(name, *(f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in intervals.values()))
        Console(stderr=True, width=200).print(table)
        answer[part] = {
            name: {metric: [one.estimate, one.low, one.high] for metric, one in intervals.items()}
            for name, intervals in rows.items()
        }
    finish("picture_queries", answer, arguments.out)


if __name__ == "__main__":
    main()
