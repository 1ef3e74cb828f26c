"""A shopper's last events: causal self-attention over items, read at any position."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from catalog.schema import KINDS
from towers.attention import TransformerBlock
from towers.config import Norm
from towers.lookup import embed

GAP_BUCKETS = 32
_LOG2 = float(np.log(2.0))


def gap_buckets(seconds: tf.Tensor) -> tf.Tensor:
    """[...] int64 seconds to [...] int32: 1 + floor(log2(1 + seconds)), at most 31; negative ones count as 0 s."""
    log2 = tf.math.log1p(tf.cast(tf.maximum(seconds, 0), tf.float32)) / _LOG2
    return 1 + tf.minimum(tf.cast(log2, tf.int32), GAP_BUCKETS - 2)


def push_right(present: tf.Tensor, *values: tf.Tensor) -> list[tf.Tensor]:
    """Move the present items of each history to its end, in their order; the absent ones come first.

    Args:
        present: [batch, H] bool.
        values: [batch, H] tensors that run parallel.

    Returns:
        `present` and `values`, reordered alike.
    """
    order = tf.argsort(tf.cast(present, tf.int32), axis=1, stable=True)
    return [tf.gather(value, order, batch_dims=1) for value in (present, *values)]


@keras.saving.register_keras_serializable("tandem")
class ItemEncoder(keras.layers.Layer):
    """A product as an item of a history: its id, its category and its cached content vector, added up.

    Args:
        categories: number of categories, 0 being "none".
        dim: size of the vectors.

    Call:
        identity: [..., dim], of `HashedIdentity`, zero for an unknown id. category: [...] int32. content: [..., dim].
        Returns [..., dim].
    """

    def __init__(self, categories: int, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.categories, self.dim = categories, dim
        self.category = keras.layers.Embedding(
            categories, dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.05), name="category"
        )
        self.content = keras.layers.Dense(dim, use_bias=False, name="content")

    def build(self, identity_shape: tuple[int | None, ...], **_: Any) -> None:
        self.category.build(identity_shape[:-1])
        self.content.build((*identity_shape[:-1], self.dim))
        self.built = True

    def call(self, identity: tf.Tensor, category: tf.Tensor, content: tf.Tensor) -> tf.Tensor:
        flat = self.content(tf.reshape(content, (-1, self.dim)))
        return identity + embed(self.category, category) + tf.reshape(flat, tf.shape(identity))

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"categories": self.categories, "dim": self.dim}


@keras.saving.register_keras_serializable("tandem")
class HistoryEncoder(keras.layers.Layer):
    """Causal self-attention over the items of a history (Kang and McAuley 2018, with relative positions).

    An item is given its kind and the time since the item before it; the time between the position that is read and
    the moment of the question scales and shifts what is read (Perez et al. 2018, FiLM), so one pass over a sequence
    answers for all of its positions. Nothing depends on where in the window a history starts.

    Args:
        length: the longest history, H.
        dim: size of the vectors.
        blocks: transformer blocks.
        heads: attention heads; divides `dim`.
        dropout: on the items and in the blocks, in training.
        norm: of the blocks, "pre" or "post".
        gaps: whether times are read, both between items and up to the question.
        kinds: whether the items' kinds are read.

    Call:
        items: [batch, H, dim]. kinds: [batch, H] int32, index in KINDS + 1. timestamps: [batch, H] int64 seconds.
        present: [batch, H] bool, the absent ones on the left.
        Returns [batch, H, dim] states; `read` turns states into answers.
    """

    def __init__(
        self,
        length: int,
        dim: int,
        blocks: int,
        heads: int,
        dropout: float,
        norm: Norm = "pre",
        gaps: bool = True,
        kinds: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.length, self.dim, self.heads, self.dropout, self.norm = length, dim, heads, dropout, norm
        self.depth, self.gaps, self.kinds = blocks, gaps, kinds
        small = keras.initializers.RandomNormal(stddev=0.05)
        if kinds:
            self.kind = keras.layers.Embedding(len(KINDS) + 1, dim, embeddings_initializer=small, name="kind")
        if gaps:
            self.gap = keras.layers.Embedding(GAP_BUCKETS, dim, embeddings_initializer=small, name="gap")
            self.since = keras.layers.Embedding(GAP_BUCKETS, 2 * dim, embeddings_initializer="zeros", name="since")
        self.norm_in = keras.layers.RMSNormalization(name="norm_in")
        self.norm_out = keras.layers.RMSNormalization(name="norm_out")
        self.drop = keras.layers.Dropout(dropout, name="drop")
        self.blocks = [
            TransformerBlock(dim, heads, dropout, causal=True, max_distance=length, norm=norm, name=f"block_{i}")
            for i in range(blocks)
        ]

    def build(self, items_shape: tuple[int | None, ...], **_: Any) -> None:
        for layer in [*([self.kind] if self.kinds else []), *([self.gap, self.since] if self.gaps else [])]:
            layer.build(items_shape[:-1])
        for block in (self.norm_in, self.norm_out, *self.blocks):
            block.build(items_shape)
        self.built = True

    def call(
        self, items: tf.Tensor, kinds: tf.Tensor, timestamps: tf.Tensor, present: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        x = self._events(items, kinds, timestamps, present, training)
        for block in self.blocks:
            x = block(x, visible=present, training=training)
        return self.norm_out(x)

    def last(self, items: tf.Tensor, kinds: tf.Tensor, timestamps: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """[batch, dim]: the last position of what a call returns without training; the last block computes no other."""
        x = self._events(items, kinds, timestamps, present, training=False)
        for block in self.blocks[:-1]:
            x = block(x, visible=present)
        return self.norm_out(self.blocks[-1].last(x, visible=present) if self.blocks else x[:, -1])

    def _events(
        self, items: tf.Tensor, kinds: tf.Tensor, timestamps: tf.Tensor, present: tf.Tensor, training: bool
    ) -> tf.Tensor:
        x = items
        if self.kinds:
            x += embed(self.kind, kinds)
        if self.gaps:
            first = tf.zeros_like(timestamps[:, :1])
            known = present & tf.concat([tf.zeros_like(present[:, :1]), present[:, :-1]], axis=1)
            gaps = gap_buckets(timestamps - tf.concat([first, timestamps[:, :-1]], axis=1))
            x += embed(self.gap, tf.where(known, gaps, 0))
        return self.drop(self.norm_in(x), training=training) * tf.cast(present, x.dtype)[..., None]

    def read(self, states: tf.Tensor, seconds_since: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """What a history answers some time after its last event.

        Args:
            states: [batch, dim], at that event's position.
            seconds_since: [batch] int64, from that event to the question.
            present: [batch] bool, whether there is any event.

        Returns:
            [batch, dim], zero where there is none.
        """
        if self.gaps:
            scale, shift = tf.split(embed(self.since, gap_buckets(seconds_since)), 2, axis=-1)
            states = states * (1.0 + scale) + shift
        return states * tf.cast(present, states.dtype)[:, None]

    def get_config(self) -> dict[str, Any]:
        names = ("length", "dim", "heads", "dropout", "norm", "gaps", "kinds")
        return super().get_config() | {name: getattr(self, name) for name in names} | {"blocks": self.depth}
