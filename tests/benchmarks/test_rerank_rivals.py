"""Rivals on pages whose clicks follow a known rule: examination(position) x appeal(first feature)."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.rerank_rivals import fit_lambdamart, fit_logistic, numbers_of
from rerank.config import RerankConfig
from rerank.features import Features
from rerank.validation import mean_ndcg

PLACES = 8
EXAMINATION = (np.arange(1, PLACES + 1) ** -0.7).astype(np.float32)


def pages(count: int, seed: int) -> Any:
    """A slice whose first number decides; the old shop knew it in part, and the second number is noise."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(count, PLACES, 2)).astype(np.float32)
    order = np.argsort(-(numeric[..., 0] + random.normal(size=numeric.shape[:2])), axis=1)
    numeric = np.take_along_axis(numeric, order[..., None], 1)
    click = random.random(numeric.shape[:2]) < EXAMINATION / (1 + np.exp(-2 * numeric[..., 0] + 1))
    none = np.zeros(click.shape, bool)
    lists = SimpleNamespace(
        click=click, cart=none, purchase=none, shown=~none,
        position=np.broadcast_to(np.arange(1, PLACES + 1, dtype=np.int32), click.shape),
    )  # fmt: skip
    present, grade = tf.constant(~none), tf.constant(numeric[..., 0] * 2)
    stored = Features(tf.constant(numeric), tf.zeros([count, PLACES, 0]), tf.zeros([count, 0]), present, grade)
    return SimpleNamespace(data=SimpleNamespace(lists=lists), stored=stored)


def worth(score: np.ndarray, part: Any) -> float:
    """NDCG@10 of an order by what decides."""
    truth = 1 / (1 + np.exp(-2 * part.stored.numeric.numpy()[..., 0] + 1))
    return mean_ndcg(score, truth.astype(np.float32), part.data.lists.shown)


@pytest.mark.parametrize("with_grade", [False, True])
def test_logistic_regression_finds_what_decides_whatever_the_place(with_grade: bool) -> None:
    part = pages(1500, 0)
    rival = fit_logistic(part, pages(500, 1), EXAMINATION, with_grade)
    score = rival.scores(part, with_grade)
    assert worth(score, part) > 0.99
    # The same product is worth the same at every place.
    same = rival.predict(np.repeat(numbers_of(part, with_grade)[:1, :1], PLACES, 1).reshape(PLACES, -1))
    assert np.ptp(same) == 0
    assert rival.chosen["C"] > 0


def test_lambdamart_finds_what_decides() -> None:
    part, others = pages(1500, 0), pages(500, 1)
    rival = fit_lambdamart(part, others, EXAMINATION, False, RerankConfig())
    score = rival.scores(others, False)
    assert worth(score, others) > 0.97
    # The old shop's own order, by place.
    assert worth(-np.broadcast_to(np.arange(PLACES, dtype=np.float32), score.shape), others) < 0.95


def test_the_grade_is_the_last_feature() -> None:
    part = pages(3, 0)
    np.testing.assert_array_equal(numbers_of(part, True)[..., :2], numbers_of(part, False))
    np.testing.assert_array_equal(numbers_of(part, True)[..., 2], part.stored.grade.numpy())
