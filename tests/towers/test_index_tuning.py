"""Tuning measures, chooses the fastest way that reaches the target, and writes everything down."""

import re
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError, DataError
from towers.index import ScannIndex
from towers.index_config import IndexConfig, IndexParameters
from towers.index_tuning import Measurement, TuneResult, _choose, tune


def clustered(count: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(30, 16))
    vectors = centres[random.integers(0, 30, count)] + 0.5 * random.normal(size=(count, 16))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def tuned() -> TuneResult:
    return tune(clustered(3000), clustered(100, 1), IndexConfig(kind="scann", k=20, recall_target=0.9, latency_calls=5))


def test_reaches_the_target_on_other_queries(tuned: TuneResult) -> None:
    assert tuned.chosen.kind == "scann"
    items, queries = clustered(3000), clustered(200, 2)
    rows, _ = ScannIndex(items, np.arange(3000, dtype=np.int32), tuned.chosen, 20).search(queries, 20)
    best = np.argsort(-queries @ items.T, axis=1)[:, :20]
    recall = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(rows.numpy().tolist(), best.tolist(), strict=True)])
    assert recall >= 0.85  # target less the noise of a sample


def test_writes_down_what_it_measured(tuned: TuneResult, tmp_path: Path) -> None:
    tuned.save(tmp_path / "tuning.json")
    assert TuneResult.load(tmp_path / "tuning.json") == tuned
    assert (tuned.products, tuned.dim, tuned.queries, tuned.k) == (3000, 16, 100, 20)
    assert tuned.machine["cores"]
    assert tuned.versions["scann"]
    exact = tuned.measurements[0]
    assert (exact.index, exact.recall) == ("exact", 1.0)
    assert exact.latency_ms is not None
    assert exact.latency_ms > 0
    assert {row.leaves for row in tuned.measurements if row.index == "scann"} == {1, 55, 110, 219}  # 1: no tree


def test_small_shops_get_exact_search() -> None:
    result = tune(clustered(60), clustered(5, 1), IndexConfig(latency_calls=5))
    assert result.chosen == IndexParameters(kind="exact")
    assert result.k == 60  # no more than there are
    assert {row.index for row in result.measurements} == {"exact", "scann brute force"}


def measurement(index: str, recall: float, latency: float | None, leaves: int = 0) -> Measurement:
    return Measurement(index, leaves, min(1, leaves), 100 if leaves else 0, recall, latency, 1.0, 1.0)


def test_least_latency_at_the_target() -> None:
    brute = measurement("scann brute force", 1.0, 3.0)
    trees = [measurement("scann", 0.98, None, 5), measurement("scann", 0.99, 0.3, 6), measurement("scann", 1.0, 0.2, 7)]
    plain = measurement("exact", 1.0, 0.01)
    config = IndexConfig(recall_target=0.99)
    assert _choose([plain, brute, *trees], config) == IndexParameters(
        kind="scann", leaves=7, leaves_to_search=1, reorder=100
    )
    assert _choose([plain, measurement("scann brute force", 1.0, 0.1), *trees], config).kind == "exact"
    assert _choose([plain, brute, trees[0]], config).kind == "exact"
    forced = IndexConfig(kind="scann", recall_target=0.99)
    assert _choose([plain, measurement("scann brute force", 1.0, 0.1), *trees], forced).leaves == 7


@pytest.mark.parametrize("queries", [np.zeros((0, 16), np.float32), np.full((2, 16), np.nan, np.float32)])
def test_queries_that_cannot_be_used(queries: np.ndarray) -> None:
    with pytest.raises(DataError, match=re.escape("at least one finite query vector [Q, 16]")):
        tune(clustered(50), queries, IndexConfig())


def test_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "tuning.json").write_text('{"chosen": {}}')
    with pytest.raises(ArtifactError, match="tandem tune-index"):
        TuneResult.load(tmp_path / "tuning.json")
