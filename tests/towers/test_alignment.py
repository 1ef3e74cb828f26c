import numpy as np
import pytest
import tensorflow as tf

from towers.alignment import alignment_loss

TEXT = tf.constant([[2.0, 0.0], [0.0, 3.0]])
IMAGE = tf.constant([[0.5, 0.0], [0.3, 0.4]])
TEMPERATURE = 0.07


def loss(present: list[bool], rows: list[int]) -> float:
    return float(alignment_loss(TEXT, IMAGE, tf.constant(present), tf.constant(rows)))


def cross_entropy(cosines: list[float], own: int) -> float:
    scores = np.array(cosines) / TEMPERATURE
    return float(np.log(np.exp(scores).sum()) - scores[own])


def test_the_mean_of_both_directions_whatever_the_lengths() -> None:
    # cosines: text 0 with the pictures 1 and 0.6, text 1 with them 0 and 0.8
    by_text = cross_entropy([1.0, 0.6], 0) + cross_entropy([0.0, 0.8], 1)
    by_image = cross_entropy([1.0, 0.0], 0) + cross_entropy([0.6, 0.8], 1)
    assert loss([True, True], [4, 7]) == pytest.approx((by_text + by_image) / 4, rel=1e-4)


def test_a_product_drawn_twice_is_no_negative_of_itself() -> None:
    assert loss([True, True], [4, 4]) == pytest.approx(0.0, abs=1e-6)


def test_without_a_picture_a_product_takes_no_part() -> None:
    assert loss([True, False], [4, 7]) == pytest.approx(0.0, abs=1e-6)
    assert loss([False, False], [4, 7]) == 0.0


def test_descending_it_draws_text_and_picture_together() -> None:
    text, rows = tf.Variable([[1.0, 0.1], [1.0, -0.1]]), tf.constant([0, 1])
    image = tf.constant([[0.0, -1.0], [0.0, 1.0]])
    for _ in range(50):
        with tf.GradientTape() as tape:
            value = alignment_loss(text, image, tf.constant([True, True]), rows)
        text.assign_sub(0.1 * tape.gradient(value, text))
    assert float(text[0, 1]) < 0 < float(text[1, 1])
