"""Grades learned from judgments whose rule is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from catalog.errors import ArtifactError
from catalog.splits import judgments_for_training
from rerank.config import RelevanceConfig
from rerank.relevance import Relevance, RelevanceWeights, Unjudged, _draw, _features, fit_relevance, no_relevance

PRODUCTS = 12
IDS = [f"p{row}" for row in range(PRODUCTS)]
CONFIG = RelevanceConfig(min_judgments=50)
UNJUDGED = Unjudged(np.array(["q" * (1 + n % 10) for n in range(500)], object), np.tile(np.arange(PRODUCTS), (500, 1)))


class Lengths:
    """Text features by which the grade is known: how far the product's number is from the query's length."""

    size = PRODUCTS

    def text(self, query: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        length = tf.cast(tf.strings.length(query), tf.float32)[:, None]
        distance = tf.abs(length - tf.cast(row, tf.float32))
        return tf.stack([distance, tf.cast(row, tf.float32), tf.zeros_like(distance)], -1)


def judgments(queries: int, seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    texts = [f"{number:04d}"[:4] + "x" * int(random.integers(0, 6)) for number in range(queries)]
    pairs = [(text, row) for text in texts for row in range(PRODUCTS)]
    grades = [max(3.0 - abs(len(text) - row), 0.0) for text, row in pairs]
    return pa.table(
        {
            "query": [text for text, _ in pairs],
            "product_id": [IDS[row] for _, row in pairs],
            "grade": pa.array(grades, pa.float32()),
        }
    )


def test_grades_of_other_queries_are_told() -> None:
    weights = fit_relevance(judgments(80), IDS, Lengths(), CONFIG, 0, UNJUDGED)
    assert weights is not None
    rows = tf.range(PRODUCTS)[None]
    told = Relevance(weights)(Lengths().text(tf.constant(["zzzzzz"]), rows)).numpy()[0]
    expected = np.maximum(3.0 - np.abs(6 - np.arange(PRODUCTS)), 0)
    assert np.abs(told - expected).max() < 0.5
    assert (told >= 0).all()
    assert weights.scale[2] == 0  # the column that never varies


def test_judgments_kept_for_evaluation_teach_nothing() -> None:
    table = judgments(80)
    kept = ~judgments_for_training(table["query"].to_pylist())
    assert 0.1 < kept.mean() < 0.5
    changed = np.where(kept, 3.0 - table["grade"].to_numpy(), table["grade"].to_numpy())
    other = table.set_column(2, "grade", pa.array(changed, pa.float32()))
    first, second = (fit_relevance(part, IDS, Lengths(), CONFIG, 0, UNJUDGED) for part in (table, other))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.mean, second.mean)
    np.testing.assert_allclose(first.scale, second.scale)


def test_pairs_that_nobody_judged_are_drawn_from_what_was_retrieved() -> None:
    rows = np.array([[3, 4, -1], [5, PRODUCTS, -1]])
    found = Unjudged(np.array(["a", "b"], object), rows)
    queries, drawn = _draw(found, PRODUCTS, 40, seed=0)
    assert sorted(zip(queries.tolist(), drawn.tolist(), strict=True)) == [("a", 3), ("a", 4), ("b", 5)]
    # Twenty of each search: 20 pairs are those of one.
    assert len(set(_draw(found, PRODUCTS, 20, seed=0)[0].tolist())) == 1
    assert not len(_draw(found, PRODUCTS, 0, seed=0)[0])


def test_features_of_long_lists_are_those_of_short_ones() -> None:
    random = np.random.default_rng(0)
    queries = random.choice(np.array(["a", "bbb", "cccccc"], object), 500)
    rows = random.integers(0, PRODUCTS, 500).astype(np.int32)
    found = _features(queries, rows, Lengths())
    np.testing.assert_array_equal(found[:, 0], np.abs(np.array([len(query) for query in queries]) - rows))
    np.testing.assert_array_equal(found[:, 1], rows)


def test_judgments_of_products_that_are_gone_are_left_out() -> None:
    table = judgments(80)
    gone = pa.concat_tables([table, table.slice(0, 20).set_column(1, "product_id", pa.array(["gone"] * 20))])
    first, second = (fit_relevance(part, IDS, Lengths(), CONFIG, 0, UNJUDGED) for part in (table, gone))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.mean, second.mean)


@pytest.mark.parametrize("table", [None, judgments(1), judgments(80).slice(0, 0)])
def test_too_few_judgments_teach_nothing(table: pa.Table | None) -> None:
    assert fit_relevance(table, IDS, Lengths(), CONFIG, 0, UNJUDGED) is None


def test_without_judgments_every_grade_is_zero() -> None:
    grades = Relevance(no_relevance(3))(tf.constant([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]]]))
    assert grades.numpy().tolist() == [[0, 0]]


def test_the_network_by_hand() -> None:
    weights = RelevanceWeights(
        mean=np.array([1.0, 0.0], np.float32),
        scale=np.array([0.5, 1.0], np.float32),
        first=np.array([[1.0, -1.0], [2.0, 0.0]], np.float32),
        first_bias=np.array([0.0, 0.5], np.float32),
        second=np.array([1.0, 3.0], np.float32),
        second_bias=np.array([-1.0], np.float32),
    )
    # x = (3, 1) -> ((3 - 1) / 2, 1) = (1, 1) -> hidden relu(1 + 2, -1 + 0.5) = (3, 0) -> 3 - 1 = 2.
    # x = (1, -9) -> (0, -5 after clipping) -> relu(-10, 0.5) = (0, 0.5) -> 1.5 - 1 = 0.5.
    # x = (3, -1) -> (1, -1) -> relu(-1, -0.5) = 0 -> relu(-1) = 0.
    assert Relevance(weights)(tf.constant([[3.0, 1.0], [1.0, -9.0], [3.0, -1.0]])).numpy().tolist() == [2, 0.5, 0]


def test_saved_and_loaded(tmp_path: Path) -> None:
    weights = no_relevance(4)
    weights.save(tmp_path / "r.npz")
    for name, value in vars(RelevanceWeights.load(tmp_path / "r.npz")).items():
        np.testing.assert_array_equal(getattr(weights, name), value)
    (tmp_path / "r.npz").write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        RelevanceWeights.load(tmp_path / "r.npz")
