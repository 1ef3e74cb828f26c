"""The transformer block of the text and history encoders."""

from typing import Any, get_args

import keras
import tensorflow as tf
from keras import ops

from towers.config import Norm

_HIDDEN = -1e9  # added to the logits of what must not be seen
_STEPS = 6


def filled_length(ends: tf.Tensor, longest: int | tf.Tensor) -> tf.Tensor:
    """How many positions are worth computing: as many as the longest row has, rounded up to one of six lengths.

    Where oneDNN is on, it generates code for each shape it meets and keeps it: with every length a batch can have, a
    server would generate for hours and keep hundreds of megabytes.

    Args:
        ends: [batch, ...] int32, positions of each row; the largest counts.
        longest: the number of positions there are, at least 1.

    Returns:
        Scalar int32, from 1 to `longest`.
    """
    step = -(-longest // _STEPS)
    filled = tf.maximum(tf.reduce_max(ends), 1)
    return tf.minimum(-(-filled // step) * step, longest)


@keras.saving.register_keras_serializable("tandem")
class TransformerBlock(keras.layers.Layer):
    """Self-attention and a gated feed-forward layer, F(x) = W3 (silu(W1 x) * W2 x), both residual.

        pre:   x = x + Attention(RMSNorm(x));  x = x + F(RMSNorm(x))
        post:  x = RMSNorm(x + Attention(x));  x = RMSNorm(x + F(x))

    Xiong et al. 2020, figure 1, compare the two; the feed-forward layer is Shazeer 2020 (SwiGLU). With `max_distance` a
    learned bias is added to each head's logits for each distance between two positions (Raffel et al. 2020, section
    2.1), so that what a position sees does not depend on where the padding ends.

    Args:
        dim: size of the vectors.
        heads: attention heads; divides `dim`.
        dropout: share of attention weights and of residual values dropped in training.
        causal: whether a position sees only itself and earlier ones.
        max_distance: distances with a bias of their own, longer ones share the last; 0: no bias.
        norm: "pre" or "post".

    Call:
        x: [batch, length, dim] float. visible: [batch, length] bool, True where there is something to see.
        Returns [batch, length, dim].

    Raises:
        ValueError: if `heads` does not divide `dim`, or `norm` is another.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        dropout: float = 0.0,
        causal: bool = False,
        max_distance: int = 0,
        norm: Norm = "pre",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"heads must divide dim; received heads={heads}, dim={dim}")
        if norm not in get_args(Norm):
            raise ValueError(f"norm: received {norm!r}, expected one of {', '.join(get_args(Norm))}")
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.causal, self.max_distance, self.norm = causal, max_distance, norm
        self.attention_norm = keras.layers.RMSNormalization(name="attention_norm")
        self.qkv = keras.layers.Dense(3 * dim, use_bias=False, name="qkv")
        self.merge = keras.layers.Dense(dim, use_bias=False, name="merge")
        self.hidden_norm = keras.layers.RMSNormalization(name="hidden_norm")
        self.hidden = keras.layers.Dense(4 * dim, use_bias=False, name="hidden")
        self.out = keras.layers.Dense(dim, use_bias=False, name="out")
        self.drop = keras.layers.Dropout(dropout, name="drop")

    def build(self, x_shape: tuple[int | None, ...]) -> None:
        for layer in (self.attention_norm, self.qkv, self.merge, self.hidden_norm, self.hidden):
            layer.build((*x_shape[:-1], self.dim))
        self.out.build((*x_shape[:-1], 2 * self.dim))
        if self.max_distance:
            self.distance_bias = self.add_weight(
                shape=(self.max_distance, self.heads), initializer="zeros", name="distance_bias"
            )
        self.built = True

    def call(self, x: tf.Tensor, visible: tf.Tensor, training: bool = False) -> tf.Tensor:
        # [batch * length, dim]: a Dense layer asks for the shape of more than two axes as it runs, by a dozen ops.
        length, flat = ops.shape(x)[1], ops.reshape(x, (-1, self.dim))
        read = self.attention_norm(flat) if self.norm == "pre" else flat
        flat += self.drop(self._attend(read, length, visible, training), training=training)
        return ops.reshape(self._finish(flat, training), (-1, length, self.dim))

    def last(self, x: tf.Tensor, visible: tf.Tensor) -> tf.Tensor:
        """The last position of what a call returns without training, for a fraction of the work.

        Args:
            x, visible: as of a call.

        Returns:
            [batch, dim].
        """
        length = ops.shape(x)[1]
        normed = ops.reshape(x, (-1, self.dim))
        if self.norm == "pre":
            normed = self.attention_norm(normed)
        kernel = ops.cast(self.qkv.kernel, normed.dtype)
        latest = ops.reshape(normed, (-1, length, self.dim))[:, -1]
        query = self._by_head(ops.matmul(latest, kernel[:, : self.dim]), 1, 1)[0]
        key, value = self._by_head(ops.matmul(normed, kernel[:, self.dim :]), length, 2)
        weights = self._weights(query, key, self._bias(length), visible, slice(-1, None))
        seen = ops.reshape(ops.matmul(ops.cast(weights, value.dtype), value), (-1, self.dim))
        return self._finish(x[:, -1] + self.merge(seen), training=False)

    def _finish(self, x: tf.Tensor, training: bool) -> tf.Tensor:
        """[positions, dim] -> the same: the block from where attention is added."""
        if self.norm == "post":
            x = self.attention_norm(x)
            return self.hidden_norm(x + self.drop(self._feed_forward(x), training=training))
        return x + self.drop(self._feed_forward(self.hidden_norm(x)), training=training)

    def _feed_forward(self, x: tf.Tensor) -> tf.Tensor:
        """[positions, dim] -> the same."""
        gate, value = ops.split(self.hidden(x), 2, axis=-1)
        return self.out(ops.silu(gate) * value)

    def _attend(self, x: tf.Tensor, length: int | tf.Tensor, visible: tf.Tensor, training: bool) -> tf.Tensor:
        """[batch * length, dim] -> the same."""
        query, key, value = self._by_head(self.qkv(x), length, 3)
        weights = self._weights(query, key, self._bias(length), visible, slice(None))
        weights = self.drop(ops.cast(weights, value.dtype), training=training)
        seen = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.merge(ops.reshape(seen, (-1, self.dim)))

    def _by_head(self, projected: tf.Tensor, length: int | tf.Tensor, parts: int) -> list[tf.Tensor]:
        """[batch * length, parts * dim] -> `parts` times [batch, heads, length, dim / heads]."""
        split = ops.reshape(projected, (-1, length, parts, self.heads, self.dim // self.heads))
        return list(ops.unstack(ops.transpose(split, (2, 0, 3, 1, 4)), num=parts, axis=0))

    def _weights(
        self, query: tf.Tensor, key: tf.Tensor, bias: tf.Tensor | None, visible: tf.Tensor, positions: slice
    ) -> tf.Tensor:
        """[batch, heads, queries, length] float32, summing to 1 over the last; positions: of the queries."""
        logits = ops.cast(tf.matmul(query, key, transpose_b=True), "float32") / (self.dim // self.heads) ** 0.5
        if bias is not None:
            logits += bias[:, positions]
        return tf.nn.softmax(logits + ops.where(visible[:, None, None, :], 0.0, _HIDDEN))

    def _bias(self, length: int | tf.Tensor) -> tf.Tensor | None:
        """[heads or 1, length, length] float32: what is added to the logits of every example; None for nothing."""
        if not self.max_distance and not self.causal:
            return None
        # Of relative positions each corner is alike: where the length is open, the longest bias is one to cut from.
        longest = length if isinstance(length, int) or not self.max_distance else self.max_distance
        position = tf.range(longest)
        distance = position[:, None] - position[None, :]
        bias = tf.zeros((1, longest, longest))
        if self.max_distance:
            nearest = tf.clip_by_value(tf.abs(distance), 0, self.max_distance - 1)
            bias = tf.transpose(tf.gather(ops.cast(self.distance_bias, "float32"), nearest), (2, 0, 1))
        if self.causal:
            bias += tf.where(distance < 0, _HIDDEN, 0.0)[None]
        return bias[:, :length, :length]

    def get_config(self) -> dict[str, Any]:
        names = ("dim", "heads", "dropout", "causal", "max_distance", "norm")
        return super().get_config() | {name: getattr(self, name) for name in names}
