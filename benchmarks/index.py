"""Recall against latency: exact search in plain ops, ScaNN's brute force, and ScaNN's tree at several depths.

    .venv/bin/python -m benchmarks.index                         500,000 x 64 clustered vectors, made up
    .venv/bin/python -m benchmarks.index --embeddings FILE.npy   float vectors [N, D]; the last thousand are the queries

Prints a table and, as its last line, JSON. Recall is against exact search on the same vectors; latency is the median of
single queries in a compiled graph, throughput that of batches of 256, both in one process without a server around it.
It does not measure quality: how good the nearest vectors are is the report's business.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import argparse
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.outcome import add_out, finish
from catalog.errors import TandemError
from towers.index_config import IndexConfig
from towers.index_tuning import TuneResult, tune

_QUERIES = 1000
_PRODUCTS_A_TYPE = 200
_DEPARTMENTS = 50


def clustered(products: int, dim: int, seed: int) -> npt.NDArray[np.float32]:
    """[products + 1000, dim] unit vectors: products around types, types around departments, of uneven sizes.

    Coordinates shrink as 1 / sqrt(1 + i / 4), as the spectrum of trained embeddings does; without that a hundred
    nearest neighbours in 64 dimensions are noise, and no index is judged by them.
    """
    random = np.random.default_rng(seed)
    scale = (1 / np.sqrt(1 + np.arange(dim) / 4)).astype(np.float32)

    def normal(rows: int) -> npt.NDArray[np.float32]:
        return random.standard_normal((rows, dim), dtype=np.float32) * scale

    types = max(1, products // _PRODUCTS_A_TYPE)
    centres = normal(_DEPARTMENTS)[random.integers(0, _DEPARTMENTS, types)] + 0.7 * normal(types)
    weights = random.pareto(1.5, types) + 0.1
    chosen = random.choice(types, products + _QUERIES, p=weights / weights.sum())
    vectors = centres[chosen] + 0.5 * normal(len(chosen))
    unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def summary(result: TuneResult) -> dict[str, object]:
    """What the last line says: the chosen way beside exact search."""
    timed = [row for row in result.measurements if row.latency_ms is not None]
    trees = [row for row in timed if row.index == "scann"]
    rows = {"exact": timed[0], "scann_brute_force": timed[1]}
    if trees:
        rows["scann"] = min(trees, key=lambda row: row.latency_ms or np.inf)
    return {
        "products": result.products,
        "dim": result.dim,
        "queries": result.queries,
        "k": result.k,
        "recall_target": result.recall_target,
        **{name: asdict(row) for name, row in rows.items()},
    }


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", type=Path, help=".npy file of vectors [N, D]")
    parser.add_argument("--products", type=int, default=500_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--recall", type=float, default=0.98)
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    options = parser.parse_args()
    if options.embeddings:
        vectors = np.load(options.embeddings, allow_pickle=False).astype(np.float32)
        queries = min(_QUERIES, len(vectors) // 2)
        vectors = np.random.default_rng(options.seed).permutation(vectors)
    else:
        vectors, queries = clustered(options.products, options.dim, options.seed), _QUERIES
    config = IndexConfig(kind="scann", k=options.k, recall_target=options.recall, queries=_QUERIES)
    try:
        result = tune(vectors[: len(vectors) - queries], vectors[len(vectors) - queries :], config)
    except TandemError as error:
        raise SystemExit(str(error)) from error
    finish("index", summary(result), options.out)


if __name__ == "__main__":
    main()
