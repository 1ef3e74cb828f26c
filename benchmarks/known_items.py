"""Searches for one product that the shopper knows: by its whole title, or by the one word that hardly another has.

    .venv/bin/python -m benchmarks.known_items --config pipelines/configs/fashion.yaml --source ZIP --out FILE

Asks `retrieval` and `search` of a finished run's release as a stranger would, for products of its index, drawn with the
config's seed: those whose title no other product has, by that title and by the first half of its words; and those whose
title holds a word that at most five titles hold, by that word, with the product's type, and with its brand. Beside them
stands BM25. Such searches are what people do who come with the name or the number of a model; a simulated log has none.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import add_out, finish
from catalog.errors import DataError, TandemError
from catalog.feature_store import FeatureStore
from catalog.schema import ShopData, product_texts
from evaluation.arrays import Rows
from evaluation.attribute_queries import TYPE_KEY, product_values
from evaluation.bm25 import BM25
from evaluation.requests import made_up_requests
from evaluation.significance import mean_interval
from pipelines.config import load_config
from pipelines.report_parts import eligible_mask
from pipelines.s09_release import workspace_release
from pipelines.scoring import ReleasedModels
from pipelines.snapshot import eligible_rows, snapshot_day, snapshot_time
from pipelines.workspace import open_workspace

SEARCH, RETRIEVAL, BM25_NAME = "search", "retrieval", "BM25"
DEPTHS = {"found first": 1, "among ten": 10, "among fifty": 50}
_RARE = 5  # titles, at most, that hold a word by which one of them is looked for


def make_questions(
    titles: list[str], brands: list[str], types: list[str], rows: Rows, count: int, seed: int
) -> dict[str, tuple[list[str], Rows]]:
    """Kind of question -> queries, and the row of the product that each is for.

    Args:
        titles, brands, types: [N] of every product. rows: of those to draw from. count: at most so many a kind.

    Raises:
        DataError: when no title is the only one of its kind, and no word is rare.
    """
    drawn = np.random.default_rng(seed).permutation(rows)
    folded = Counter(title.casefold() for title in titles)
    held = Counter(word for title in titles for word in set(title.casefold().split()))
    alone = [row for row in drawn.tolist() if titles[row] and folded[titles[row].casefold()] == 1][:count]
    rarest = {
        row: min(titles[row].casefold().split(), key=lambda word: (held[word], word), default="") for row in drawn
    }
    rare = [row for row in drawn.tolist() if rarest[row] and held[rarest[row]] <= _RARE][:count]
    if not alone and not rare:
        raise DataError(f"every title is that of two products, and no word in at most {_RARE} of them: nothing to ask")
    asked = {
        "whole title": ([titles[row] for row in alone], alone),
        "half of the title": ([_half(titles[row]) for row in alone], alone),
        "rare word": ([rarest[row] for row in rare], rare),
        "rare word and type": ([f"{rarest[row]} {types[row]}" for row in rare], rare),
        "brand and rare word": ([f"{brands[row]} {rarest[row]}".strip() for row in rare], rare),
    }
    return {kind: (queries, np.array(found, np.int32)) for kind, (queries, found) in asked.items() if found}


def _half(title: str) -> str:
    words = title.split()
    return " ".join(words[: (len(words) + 1) // 2])


def hits(answers: Rows, wanted: Rows) -> dict[str, npt.NDArray[np.float64]]:
    """Whether each wanted product is among the first answers, 0 or 1 at each of DEPTHS.

    Args:
        answers: [Q, K] product rows, -1 for none. wanted: [Q].
    """
    there = answers == wanted[:, None]
    return {name: there[:, :depth].any(axis=1).astype(np.float64) for name, depth in DEPTHS.items()}


def measure(
    models: ReleasedModels, shop: ShopData, eligible: npt.NDArray[np.bool_], snapshot: int, count: int, seed: int
) -> dict[str, dict[str, dict[str, npt.NDArray[np.float64]]]]:
    """Kind of question -> system -> depth -> [Q] 0 or 1."""
    titles, brands = ([str(text) for text in shop.products[name].to_pylist()] for name in ("title", "brand"))
    types = product_values(shop.products, (TYPE_KEY,))[:, 0].tolist()
    rows = np.flatnonzero(eligible).astype(np.int32)
    bm25 = BM25(product_texts(shop.products), eligible)
    found = {}
    for kind, (queries, wanted) in make_questions(titles, brands, types, rows, count, seed).items():
        requests = made_up_requests(queries, snapshot)
        inputs = models.inputs(requests)
        answers = {
            SEARCH: models.search(inputs)["rows"],
            RETRIEVAL: models.retrieve(inputs)["rows"],
            BM25_NAME: bm25.rank(requests, max(DEPTHS.values())),
        }
        found[kind] = {system: hits(rows, wanted) for system, rows in answers.items()}
        # What the reranker is given at all.
        found[kind][RETRIEVAL]["among candidates"] = (answers[RETRIEVAL] == wanted[:, None]).any(1).astype(np.float64)
    return found


def _print(
    kind: str, systems: Mapping[str, Mapping[str, npt.NDArray[np.float64]]]
) -> dict[str, dict[str, list[float]]]:
    asked = len(systems[SEARCH]["found first"])
    table = Table("", title=f"{kind}, {asked} questions", title_justify="left")
    depths = list(systems[RETRIEVAL])
    for depth in depths:
        table.add_column(depth, justify="right")
    rows: dict[str, dict[str, list[float]]] = {}
    for system, found in systems.items():
        means = {depth: mean_interval(values) for depth, values in found.items()}
        rows[system] = {depth: [one.estimate, one.low, one.high] for depth, one in means.items()}
        cells = (f"{one.estimate:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in means.values())
        table.add_row(system, *cells, *[""] * (len(depths) - len(means)))
    Console(stderr=True, width=140).print(table)
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="a finished run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    parser.add_argument("--count", type=int, default=400, help="questions of a kind at most")
    add_out(parser)
    return parser.parse_args()


def main() -> None:
    """Ask, print the tables and the line of JSON."""
    arguments = _arguments()
    try:
        workspace = open_workspace(load_config(arguments.config, arguments.source))
        config = workspace.config
        shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
        day = snapshot_day(features, config.release.snapshot)
        eligible = eligible_mask(eligible_rows(shop, features, day), features.n_products)
        ids: list[str] = shop.products.column("product_id").to_pylist()
        with ReleasedModels(workspace_release(workspace), features, ids, config.towers.history.length) as models:
            snapshot, seed = snapshot_time(features, day), config.evaluate.seed
            found = measure(models, shop, eligible, snapshot, arguments.count, seed)
    except TandemError as error:
        sys.exit(f"error: {error}")
    answer = {kind: _print(kind, systems) for kind, systems in found.items()}
    asked = {kind: len(systems[SEARCH]["found first"]) for kind, systems in found.items()}
    finish("known_items", {"config": config.name, "questions": asked, "share": answer}, arguments.out)


if __name__ == "__main__":
    main()
