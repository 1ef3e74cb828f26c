"""Product ids as hashed embeddings, shared by the product tower and the history."""

from typing import Any

import keras
import tensorflow as tf

from towers.lookup import embed

HASHES = 2


def id_buckets(ids: tf.Tensor, buckets: int) -> tf.Tensor:
    """[...] string ids to [..., 2] int32 rows of the table, by two independent hashes."""
    rows = [tf.strings.to_hash_bucket_fast(tf.strings.join([f"{salt}:", ids]), buckets) for salt in range(HASHES)]
    return tf.cast(tf.stack(rows, axis=-1), tf.int32)


@keras.saving.register_keras_serializable("tandem")
class HashedIdentity(keras.layers.Layer):
    """The sum of two rows of one table, chosen by two hashes of an id (hash embeddings, Svenstrup et al. 2017).

    Two ids share both rows with probability 2 / buckets^2, so a table no larger than the catalogue is enough. Over a
    catalogue that never grows, one row an id is exact: `buckets` is then [..., 1], the number of each product.

    Args:
        buckets: rows of the table.
        dim: size of the vectors.
        stddev: of the normal distribution that the table starts from.

    Call:
        buckets: [..., 2] int32, of `id_buckets`, or [..., 1].
        Returns [..., dim].
    """

    def __init__(self, buckets: int, dim: int, stddev: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buckets, self.dim, self.stddev = buckets, dim, stddev
        self.table = keras.layers.Embedding(
            buckets, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=stddev), name="table"
        )

    def build(self, buckets_shape: tuple[int | None, ...]) -> None:
        self.table.build(buckets_shape)
        self.built = True

    def call(self, buckets: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(embed(self.table, buckets), axis=-2)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"buckets": self.buckets, "dim": self.dim, "stddev": self.stddev}
