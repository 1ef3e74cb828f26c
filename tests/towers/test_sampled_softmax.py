import numpy as np
import pytest
import tensorflow as tf

from towers.full_softmax import FullSoftmaxTask
from towers.sampled_softmax import SampledSoftmaxTask

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
PRODUCTS = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [-1.0, 0.0]])
OWN = tf.constant([0, 2])


def loss(drawn: list[int], weights: list[float], temperature: float = 1.0) -> float:
    own, others = tf.gather(PRODUCTS, OWN), tf.gather(PRODUCTS, drawn)
    given = tf.constant(weights), tf.constant(temperature)
    return float(SampledSoftmaxTask(len(PRODUCTS))(QUERIES, own, OWN, others, tf.constant(drawn), *given))


def test_two_drawn_products_stand_for_four() -> None:
    # scores of products 1 and 3: query 0: 0 and -1, its own 1; query 1: 1 and 0, its own 0.8
    first = -np.log(np.exp(1) / (np.exp(1) + 4 / 2 * (np.exp(0) + np.exp(-1))))
    second = -np.log(np.exp(0.8) / (np.exp(0.8) + 4 / 2 * (np.exp(1) + np.exp(0))))
    assert loss([1, 3], [1.0, 1.0]) == pytest.approx((first + second) / 2, rel=1e-5)
    assert loss([1, 3], [3.0, 1.0]) == pytest.approx((3 * first + second) / 4, rel=1e-5)
    assert loss([1, 3], [0.0, 0.0]) == 0.0


def test_temperature_divides_the_scores() -> None:
    first = -np.log(np.exp(2) / (np.exp(2) + 4 / 2 * (np.exp(0) + np.exp(-2))))
    assert loss([1, 3], [1.0, 0.0], temperature=0.5) == pytest.approx(first, rel=1e-5)


def test_the_own_product_is_no_negative() -> None:
    # of the two that were drawn, one is the query's own: the other alone is seen, and counts twice
    assert loss([0, 1], [1.0, 0.0]) == pytest.approx(-np.log(np.exp(1) / (np.exp(1) + 4 / 2)), rel=1e-5)
    assert loss([0], [1.0, 0.0]) == 0.0


def test_many_draws_come_to_the_softmax_over_all_products() -> None:
    drawn = np.random.default_rng(0).integers(0, len(PRODUCTS), 200_000).tolist()
    full = FullSoftmaxTask()(QUERIES, PRODUCTS, OWN, tf.constant([1.0, 1.0]), tf.constant(1.0))
    assert loss(drawn, [1.0, 1.0]) == pytest.approx(float(full), rel=0.01)
