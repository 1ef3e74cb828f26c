"""Known queries get exact answers, all others those of the index."""

import numpy as np
import pytest
import tensorflow as tf

from towers.index import ExactIndex
from towers.known_answers import KnownAnswers

ITEMS = np.eye(3, dtype=np.float32)
ROWS = np.array([4, 5, 6], np.int32)
KNOWN = np.array([[0.8, 0.6, 0.0], [0.0, 0.6, 0.8]], np.float32)


class WrongIndex:
    """Finds row 9 alone."""

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        shape = [tf.shape(queries)[0], k]
        return tf.fill(shape, 9), tf.fill(shape, 0.5)


def test_known_queries_are_answered_exactly_beside_others() -> None:
    index = KnownAnswers(WrongIndex(), ExactIndex(ITEMS, ROWS), KNOWN, 2)
    search = tf.function(lambda queries: index.search(queries, 2))
    other = np.array([[0.8, 0.599, 0.03]], np.float32)
    rounded = KNOWN[1:] + np.float32(1e-7)
    rows, scores = search(tf.constant(np.concatenate([other, rounded, KNOWN[:1]])))
    assert rows.numpy().tolist() == [[9, 9], [6, 5], [4, 5]]
    np.testing.assert_allclose(scores, [[0.5, 0.5], [0.8, 0.6], [0.8, 0.6]], atol=1e-6)


def test_more_than_there_are() -> None:
    rows, scores = KnownAnswers(WrongIndex(), ExactIndex(ITEMS, ROWS), KNOWN, 4).search(tf.constant(KNOWN[:1]), 4)
    assert rows.numpy().tolist() == [[4, 5, 6, -1]]
    assert scores.numpy()[0, 3] == -np.inf


def test_another_number_of_products() -> None:
    with pytest.raises(ValueError, match="received k = 3, but answers of 2 products are known"):
        KnownAnswers(WrongIndex(), ExactIndex(ITEMS, ROWS), KNOWN, 2).search(tf.constant(KNOWN), 3)
