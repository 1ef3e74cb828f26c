"""Both indexes against data whose right answer is obvious, in memory, saved and in a fresh process."""

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import towers.index
from catalog.errors import DataError
from towers.index import ExactIndex, ScannIndex
from towers.index_config import IndexParameters

# Item i points along axis i % 4, and the later, the longer: along axis a the best are the last with i % 4 == a.
ITEMS = np.zeros((40, 4), np.float32)
ITEMS[np.arange(40), np.arange(40) % 4] = 1 + np.arange(40)
ROWS = np.arange(1000, 1040, dtype=np.int32)
QUERIES = np.eye(4, dtype=np.float32)[[2, 0]]
BEST = [[1038, 1034, 1030], [1036, 1032, 1028]]
SCORES = [[39, 35, 31], [37, 33, 29]]

TREE = IndexParameters(kind="scann", leaves=3, leaves_to_search=3, reorder=40)
NO_TREE = IndexParameters(kind="scann", reorder=40)
MAKERS: dict[str, Any] = {
    "exact": ExactIndex,
    "scann brute force": ScannIndex,
    "scann": lambda embeddings, rows: ScannIndex(embeddings, rows, TREE),
    "scann without a tree": lambda embeddings, rows: ScannIndex(embeddings, rows, NO_TREE),
}


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest) -> Any:
    return MAKERS[request.param]


def found(index: Any, queries: np.ndarray, k: int) -> tuple[list[list[int]], list[list[float]]]:
    rows, scores = index.search(queries, k)
    assert rows.dtype == tf.int32
    assert scores.dtype == tf.float32
    assert rows.shape == scores.shape == (len(queries), k)
    return rows.numpy().tolist(), scores.numpy().tolist()


def test_finds_the_obvious_best_and_their_inner_products(make: Any) -> None:
    rows, scores = found(make(ITEMS, ROWS), QUERIES, 3)
    assert rows == BEST
    assert scores == SCORES  # not cosines: vectors are taken as they are


def test_asks_for_more_than_there_are(make: Any) -> None:
    rows, scores = found(make(ITEMS[:3], ROWS[:3]), QUERIES, 5)
    assert rows[0] == [1002, *rows[0][1:3], -1, -1]
    assert sorted(rows[0][:3]) == [1000, 1001, 1002]
    assert scores[0] == [3, 0, 0, -np.inf, -np.inf]


def test_one_product(make: Any) -> None:
    assert found(make(ITEMS[:1], ROWS[:1]), QUERIES, 2) == ([[1000, -1]] * 2, [[0, -np.inf], [1, -np.inf]])


def test_no_product(make: Any) -> None:
    with pytest.raises(DataError, match="at least one product"):
        make(ITEMS[:0], ROWS[:0])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_vector_that_is_not_finite(make: Any, value: float) -> None:
    broken = ITEMS.copy()
    broken[7, 1] = value
    with pytest.raises(DataError, match=r"1 of 40 product vectors .* row 1007"):
        make(broken, ROWS)


def test_rows_that_do_not_fit(make: Any) -> None:
    with pytest.raises(DataError, match=r"\(40, 4\) and \(39,\)"):
        make(ITEMS, ROWS[1:])


def test_queries_of_another_size(make: Any) -> None:
    with pytest.raises(ValueError, match=r"expected \[batch, 4\]"):
        make(ITEMS, ROWS).search(np.zeros((1, 3), np.float32), 2)


def test_duplicates_all_come(make: Any) -> None:
    rows, scores = found(make(np.repeat(ITEMS[:8], 3, axis=0), np.arange(24, dtype=np.int32)), QUERIES[:1], 6)
    assert set(rows[0][:3]) == {18, 19, 20}  # three copies of item 6
    assert set(rows[0][3:]) == {6, 7, 8}
    assert scores[0] == [7, 7, 7, 3, 3, 3]


def test_no_query(make: Any) -> None:
    assert found(make(ITEMS, ROWS), QUERIES[:0], 3) == ([], [])


class Exported(tf.Module):
    def __init__(self, index: Any) -> None:
        super().__init__()
        self.index = index

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32)])
    def answer(self, queries: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, scores = self.index.search(queries, 3)
        assert rows.shape[1] == scores.shape[1] == 3  # static, so that layers can be built on it
        return {"rows": rows, "scores": scores}


FRESH = """
import sys
import numpy as np, tensorflow as tf
for name in sys.argv[1:]:  # the exact index comes first: it needs no other library
    if "scann" in name:
        from scann.scann_ops.py import scann_ops
    answer = tf.saved_model.load(name).signatures["serving_default"]
    for _ in range(2):
        for queries in (np.eye(4, dtype=np.float32)[[2, 0]], np.eye(4, dtype=np.float32)[[2]]):
            print(name, answer(queries=tf.constant(queries))["rows"].numpy().tolist(), sep=":")
assert "towers" not in sys.modules
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a process without model code printed, a line an answer: the model's name and the rows."""
    folder = tmp_path_factory.mktemp("models")
    options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann", "TFText"])
    for name, maker in MAKERS.items():
        module = Exported(maker(ITEMS, ROWS))
        tf.saved_model.save(module, str(folder / name), {"serving_default": module.answer}, options)
    done = subprocess.run(
        [sys.executable, "-c", FRESH, *MAKERS],
        capture_output=True, text=True, check=False, cwd=folder, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", MAKERS)
def test_saved_and_called_twice_in_a_fresh_process(name: str, answers: list[str]) -> None:
    assert [line for line in answers if line.startswith(f"{name}:")] == [f"{name}:{BEST}", f"{name}:{BEST[:1]}"] * 2


def test_leaves_that_hold_too_little_are_padded() -> None:
    index = ScannIndex(ITEMS, ROWS, IndexParameters(kind="scann", leaves=4, leaves_to_search=1, reorder=40))
    rows, scores = found(index, QUERIES, 40)
    for row, score in zip(rows, scores, strict=True):
        held = sum(number >= 0 for number in row)
        assert 0 < held < 40
        assert len(set(row[:held])) == held
        assert row[held:] == [-1] * (40 - held)
        assert score[held:] == [-np.inf] * (40 - held)


@given(st.integers(1, 25), st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_chunks_change_nothing(items: int, k: int, chunk: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = random.integers(-2, 3, (items, 4)).astype(np.float32)  # many ties
    queries = random.integers(-2, 3, (3, 4)).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(towers.index, "_CHUNK", chunk)
        rows, scores = found(ExactIndex(vectors, np.arange(items, dtype=np.int32)), queries, k)
    products = queries @ vectors.T
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]  # of equal scores the first item
    width = min(k, items)
    assert [row[:width] for row in rows] == order.tolist()
    assert [row[:width] for row in scores] == np.take_along_axis(products, order, axis=1).tolist()
    assert all(row[width:] == [-1] * (k - width) for row in rows)
