"""The query tower: text, picture, history and profile to one unit vector."""

from typing import Any

import keras
import tensorflow as tf

from towers.config import TowersConfig
from towers.fusion import make_fusion
from towers.history import HistoryEncoder, ItemEncoder
from towers.identity import HashedIdentity
from towers.lookup import embed
from towers.preset_text import PresetTextEncoder
from towers.product_tower import modality_mask
from towers.text import TextEncoder
from towers.tower_image import ImageProjection

QUERY_MODALITIES = ("text", "image", "history", "profile")


def profile_buckets(column: str, values: tf.Tensor, buckets: int) -> tf.Tensor:
    """[batch] string values of one profile column to [batch] int32 rows of the profile table; "" to row 0."""
    hashed = 1 + tf.strings.to_hash_bucket_fast(tf.strings.join([f"{column}=", values]), buckets - 1)
    return tf.cast(tf.where(values == "", tf.zeros_like(hashed), hashed), tf.int32)


@keras.saving.register_keras_serializable("tandem")
class ProfileEncoder(keras.layers.Layer):
    """The sum of the embeddings of a user's known profile values.

    Args:
        buckets: rows of the table; 0 stands for an unknown value.
        dim: size of the vector.

    Call:
        rows: [batch, columns] int32, of `profile_buckets`.
        Returns [batch, dim], and [batch] bool, whether any value is known.
    """

    def __init__(self, buckets: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.buckets, self.dim = buckets, dim
        self.table = keras.layers.Embedding(
            buckets, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05), name="table"
        )

    def build(self, rows_shape: tuple[int | None, ...]) -> None:
        self.table.build(rows_shape)
        self.built = True

    def call(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        vectors = embed(self.table, rows)
        known = rows > 0
        total = tf.reduce_sum(vectors * tf.cast(known, vectors.dtype)[..., None], axis=1)
        return total, tf.reduce_any(known, axis=1)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"buckets": self.buckets, "dim": self.dim}


class QueryTower(keras.layers.Layer):
    """Query modalities, in the order of QUERY_MODALITIES, fused to one unit vector.

    Args:
        config: of the towers.
        categories: number of product categories, with 0 for "none".
        text: the text encoder shared with the products.
        image: the picture projection shared with the products.
        identity: the table of hashed product ids shared with the products.

    Call:
        vectors: [batch, 4, dim]. presence: [batch, 4] bool.
        Returns [batch, dim] of unit length, and [batch, 4] float32 weights of the modalities.
    """

    def __init__(
        self,
        config: TowersConfig,
        categories: int,
        text: TextEncoder | PresetTextEncoder,
        image: ImageProjection,
        identity: HashedIdentity,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.dim = config.dim
        self.id_dropout = config.training.id_dropout
        self.read = [name for name in QUERY_MODALITIES if name == "text" or name not in config.left_out]
        self.text, self.image, self.identity = text, image, identity
        self.items = ItemEncoder(categories, config.dim, name="items")
        history = config.history
        self.history = HistoryEncoder(
            history.length,
            config.dim,
            history.blocks,
            history.heads,
            history.dropout,
            history.norm,
            history.gaps,
            history.kinds,
            name="history",
        )
        self.profile = ProfileEncoder(config.profile_buckets, config.dim, name="profile")
        self.fusion = make_fusion(
            config.fusion,
            len(QUERY_MODALITIES),
            config.dim,
            config.training.modality_dropout,
            config.seed + 1,
            name="fusion",
        )
        self.random = keras.random.SeedGenerator(config.seed + 2)

    def build(self, vectors_shape: tuple[int | None, ...], **_: Any) -> None:
        self.items.build((None, None, self.dim))
        self.history.build((None, self.history.length, self.dim))
        self.profile.build((None, None))
        self.fusion.build(vectors_shape)
        self.built = True

    def call(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        presence &= modality_mask(QUERY_MODALITIES, self.read)
        fused, weights = self.fusion(vectors, presence=presence, training=training)
        return tf.math.l2_normalize(tf.cast(fused, tf.float32), axis=-1, epsilon=1e-9), weights

    def states(
        self,
        buckets: tf.Tensor,
        categories: tf.Tensor,
        contents: tf.Tensor,
        kinds: tf.Tensor,
        timestamps: tf.Tensor,
        present: tf.Tensor,
        training: bool = False,
    ) -> tf.Tensor:
        """The history encoder's states at every position.

        Args:
            buckets: [batch, H, 2] int32, hashed ids. categories: [batch, H] int32.
            contents: [batch, H, dim] float32, cached content vectors.
            kinds: [batch, H] int32. timestamps: [batch, H] int64.
            present: [batch, H] bool; the absent ones are on the left.
            training: whether ids are dropped at random.

        Returns:
            [batch, H, dim].
        """
        items = self._items(buckets, categories, contents, training)
        return self.history(items, kinds=kinds, timestamps=timestamps, present=present, training=training)

    def last_state(
        self,
        buckets: tf.Tensor,
        categories: tf.Tensor,
        contents: tf.Tensor,
        kinds: tf.Tensor,
        timestamps: tf.Tensor,
        present: tf.Tensor,
    ) -> tf.Tensor:
        """[batch, dim]: of `states`, the one at the last position, without training."""
        items = self._items(buckets, categories, contents, training=False)
        return self.history.last(items, kinds=kinds, timestamps=timestamps, present=present)

    def _items(self, buckets: tf.Tensor, categories: tf.Tensor, contents: tf.Tensor, training: bool) -> tf.Tensor:
        identity = self.identity(buckets)
        if training and self.id_dropout:
            kept = keras.random.uniform(tf.shape(categories), seed=self.random) >= self.id_dropout
            identity *= tf.cast(kept, identity.dtype)[..., None]
        return self.items(identity, category=categories, content=tf.cast(contents, identity.dtype))
