"""Products that stand near each other in sequences, and what a product borrows from them."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Rows = npt.NDArray[np.int32]
_REACH = 3  # positions to either side that count, by one over the distance


def neighbour_weights(sequences: Sequence[Rows], products: int, most: int) -> tuple[Rows, npt.NDArray[np.float32]]:
    """The products met closest to each product, and how strongly.

    w_ij = c_ij / sqrt(c_i c_j), with c_ij the sum over the sequences of 1 / distance, and c_i the sum of c_ij over j
    (the normalisation of LightGCN, He et al. 2020, eq. 3).

    Args:
        sequences: product rows in time order, to be learned from.
        products: number of products.
        most: neighbours a product has at most, the strongest.

    Returns:
        [pairs, 2] int32 of (product, neighbour), in rising order of the product, and [pairs] float32 weights.
    """
    keys, shares = [np.zeros(0, np.int64)], [np.zeros(0)]
    for distance in range(1, _REACH + 1):
        near = [(s[:-distance], s[distance:]) for s in sequences if len(s) > distance]
        if near:
            left, right = (np.concatenate(side).astype(np.int64) for side in zip(*near, strict=True))
            other = left != right
            left, right = left[other], right[other]
            keys += [left * products + right, right * products + left]
            shares += [np.full(2 * len(left), 1.0 / distance)]
    pairs, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    together = np.bincount(inverse, weights=np.concatenate(shares), minlength=len(pairs))
    product, neighbour = pairs // products, pairs % products
    total = np.bincount(product, weights=together, minlength=products)
    weights = together / np.sqrt(total[product] * total[neighbour])
    order = np.lexsort((-weights, product))
    product, neighbour, weights = product[order], neighbour[order], weights[order]
    kept = np.arange(len(product)) - np.searchsorted(product, product) < most
    return np.stack([product, neighbour], axis=1)[kept].astype(np.int32), weights[kept].astype(np.float32)


@keras.saving.register_keras_serializable("tandem")
class NeighbourEncoder(keras.layers.Layer):
    """Adds to each product's vector those of its neighbours, with one trained factor for all.

        y_i = x_i + factor * sum_j w_ij x_j

    Call:
        vectors: [products, dim]. pairs: [pairs, 2] int32. weights: [pairs] float32, both of `neighbour_weights`.
        Returns [products, dim].
    """

    def build(self, vectors_shape: tuple[int | None, ...], **_: Any) -> None:
        self.factor = self.add_weight(shape=(), initializer=keras.initializers.Constant(0.5), name="factor")
        self.built = True

    def call(self, vectors: tf.Tensor, pairs: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        count = tf.cast(tf.shape(vectors)[0], tf.int64)
        near = tf.SparseTensor(tf.cast(pairs, tf.int64), weights, tf.stack([count, count]))
        return vectors + self.factor * tf.sparse.sparse_dense_matmul(near, vectors)
