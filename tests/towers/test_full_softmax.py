import numpy as np
import pytest
import tensorflow as tf

from towers.full_softmax import FullSoftmaxTask

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
PRODUCTS = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])


def loss(weights: list[float], temperature: float = 1.0, smoothing: float = 0.0) -> float:
    task = FullSoftmaxTask(smoothing)
    return float(task(QUERIES, PRODUCTS, tf.constant([0, 2]), tf.constant(weights), tf.constant(temperature)))


def log_softmax(logits: list[float]) -> np.ndarray:
    return np.array(logits) - np.log(np.exp(logits).sum())


def test_weighted_mean_of_softmax_losses_over_all_products() -> None:
    # scores: query 0: 1, 0, 0.6, its own the first; query 1: 0, 1, 0.8, its own the last
    first, second = -log_softmax([1, 0, 0.6])[0], -log_softmax([0, 1, 0.8])[2]
    assert loss([1.0, 1.0]) == pytest.approx((first + second) / 2, rel=1e-5)
    assert loss([3.0, 1.0]) == pytest.approx((3 * first + second) / 4, rel=1e-5)
    assert loss([0.0, 0.0]) == 0.0


def test_temperature_divides_the_scores() -> None:
    assert loss([1.0, 0.0], temperature=0.5) == pytest.approx(-log_softmax([2, 0, 1.2])[0], rel=1e-5)


def test_smoothing_spreads_its_share_over_all_products() -> None:
    targets = np.array([0.7 + 0.1, 0.1, 0.1])  # 0.3 over three products
    assert loss([1.0, 0.0], smoothing=0.3) == pytest.approx(-(targets * log_softmax([1, 0, 0.6])).sum(), rel=1e-5)
