"""What is known of each product as a set of attributes: brand, categories, colour."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Members = npt.NDArray[np.int32]


def attribute_members(attributes: Sequence[Sequence[int]]) -> Members:
    """[pairs, 2] int32 of (product row, attribute row), in rising order, from each product's attribute rows."""
    pairs = [(row, attribute) for row, given in enumerate(attributes) for attribute in sorted(set(given))]
    return np.array(pairs, np.int32).reshape(-1, 2)


@keras.saving.register_keras_serializable("tandem")
class AttributeEncoder(keras.layers.Layer):
    """The mean of the embeddings of a product's attributes; zero where none is known.

    Args:
        attributes: number of attributes.
        dim: size of the vectors.
        stddev: of the normal distribution that the table starts from.

    Call:
        members: [pairs, 2] int32, of `attribute_members`. products: how many products there are.
        Returns [products, dim].
    """

    def __init__(self, attributes: int, dim: int, stddev: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attributes, self.dim, self.stddev = attributes, dim, stddev
        self.table = keras.layers.Embedding(
            attributes, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev), name="table"
        )

    def build(self, members_shape: tuple[int | None, ...] | None = None) -> None:
        self.table.build((None,))
        self.built = True

    def call(self, members: tf.Tensor, products: int) -> tf.Tensor:
        given = tf.math.bincount(members[:, 0], minlength=products, maxlength=products, dtype=tf.float32)
        weights = 1.0 / tf.gather(given, members[:, 0])
        # A sparse product, since gathering each product's attributes would take most of a step's time.
        mean = tf.SparseTensor(tf.cast(members, tf.int64), weights, (products, self.attributes))
        return tf.sparse.sparse_dense_matmul(mean, self.table.embeddings)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"attributes": self.attributes, "dim": self.dim, "stddev": self.stddev}
