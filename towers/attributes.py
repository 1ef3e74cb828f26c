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
    """The sum of the embeddings of a product's n attributes over n^power; zero where none is known.

    Power 1 is the mean. Power 1/2 keeps the length of a sum of unrelated vectors the same for any n (as Vaswani et al.
    2017, section 3.2.1, scale a dot product), so that attributes weigh, and learn, sqrt(n) times as much as in a mean.

    Args:
        attributes: number of attributes.
        dim: size of the vectors.
        stddev: of the normal distribution that the table starts from.
        power: of the number of attributes, which the sum is divided by.

    Call:
        members: [pairs, 2] int32, of `attribute_members`. products: how many products there are.
        Returns [products, dim].
    """

    def __init__(self, attributes: int, dim: int, stddev: float = 0.05, power: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attributes, self.dim, self.stddev, self.power = attributes, dim, stddev, power
        self.table = keras.layers.Embedding(
            attributes, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev), name="table"
        )

    def build(self, members_shape: tuple[int | None, ...] | None = None) -> None:
        self.table.build((None,))
        self.built = True

    def call(self, members: tf.Tensor, products: int) -> tf.Tensor:
        given = tf.math.bincount(members[:, 0], minlength=products, maxlength=products, dtype=tf.float32)
        weights = tf.gather(given, members[:, 0]) ** -self.power
        # A sparse product, since gathering each product's attributes would take most of a step's time.
        shares = tf.SparseTensor(tf.cast(members, tf.int64), weights, (products, self.attributes))
        return tf.sparse.sparse_dense_matmul(shares, self.table.embeddings)

    def get_config(self) -> dict[str, Any]:
        names = ("attributes", "dim", "stddev", "power")
        return super().get_config() | {name: getattr(self, name) for name in names}
