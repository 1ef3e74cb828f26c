"""Queries that come again and again, answered beforehand."""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from towers.index import ExactIndex, Index

_SAME = 1.0 - 1e-6  # cosine of a vector and of itself as another batch rounds it


class KnownAnswers(tf.Module):
    """An index with the exact answers to some queries: those of an approximate one are replaced.

    A query far from all others, as that of a request that tells nothing, has its nearest products in many leaves: an
    index that is tuned on the mean of all queries finds fewer of them.

    Args:
        index: is asked for everything else.
        exact: over the same products.
        queries: [M, D] float32 unit vectors, M at least 1.
        k: products an answer; no other number can be asked for.
    """

    def __init__(self, index: Index, exact: ExactIndex, queries: npt.NDArray[np.float32], k: int) -> None:
        super().__init__(name="known_answers")
        self._index, self._k = index, k
        rows, scores = exact.search(tf.constant(queries, tf.float32), k)
        self._queries = tf.constant(queries, tf.float32)
        self._rows, self._scores = tf.constant(rows.numpy()), tf.constant(scores.numpy())

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Index.search`."""
        if k != self._k:
            raise ValueError(f"received k = {k}, but answers of {self._k} products are known")
        rows, scores = self._index.search(queries, k)
        likeness = tf.matmul(queries, self._queries, transpose_b=True)
        place, known = tf.argmax(likeness, 1), tf.reduce_max(likeness, 1, keepdims=True) > _SAME
        return (
            tf.where(known, tf.gather(self._rows, place), rows),
            tf.where(known, tf.gather(self._scores, place), scores),
        )
