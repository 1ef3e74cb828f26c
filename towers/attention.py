"""The transformer block of the text and history encoders."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

_HIDDEN = -1e9  # added to the logits of what must not be seen


@keras.saving.register_keras_serializable("tandem")
class TransformerBlock(keras.layers.Layer):
    """Pre-norm self-attention and a gated feed-forward layer, both residual.

        x = x + Attention(RMSNorm(x));  x = x + W3 (silu(W1 RMSNorm(x)) * W2 RMSNorm(x))

    Pre-norm follows Xiong et al. 2020, the feed-forward layer Shazeer 2020 (SwiGLU). With `max_distance` a learned
    bias is added to each head's logits for each distance between two positions (Raffel et al. 2020, section 2.1), so
    that what a position sees does not depend on where the padding ends.

    Args:
        dim: size of the vectors.
        heads: attention heads; divides `dim`.
        dropout: share of attention weights and of residual values dropped in training.
        causal: whether a position sees only itself and earlier ones.
        max_distance: distances with a bias of their own, longer ones share the last; 0: no bias.

    Call:
        x: [batch, length, dim] float. visible: [batch, length] bool, True where there is something to see.
        Returns [batch, length, dim].

    Raises:
        ValueError: if `heads` does not divide `dim`.
    """

    def __init__(
        self, dim: int, heads: int, dropout: float = 0.0, causal: bool = False, max_distance: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if dim % heads:
            raise ValueError(f"heads must divide dim; received heads={heads}, dim={dim}")
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.causal, self.max_distance = causal, max_distance
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
        x = x + self.drop(self._attend(self.attention_norm(x), visible, training), training=training)
        gate, value = ops.split(self.hidden(self.hidden_norm(x)), 2, axis=-1)
        return x + self.drop(self.out(ops.silu(gate) * value), training=training)

    def _attend(self, x: tf.Tensor, visible: tf.Tensor, training: bool) -> tf.Tensor:
        batch, length = ops.shape(x)[0], ops.shape(x)[1]
        size = self.dim // self.heads
        heads = ops.reshape(self.qkv(x), (batch, length, 3, self.heads, size))
        query, key, value = ops.unstack(ops.transpose(heads, (2, 0, 3, 1, 4)), axis=0)
        logits = ops.cast(tf.matmul(query, key, transpose_b=True), "float32") / size**0.5
        logits = logits + self._bias(length) + ops.where(visible[:, None, None, :], 0.0, _HIDDEN)
        weights = self.drop(ops.cast(tf.nn.softmax(logits), value.dtype), training=training)
        seen = ops.transpose(ops.matmul(weights, value), (0, 2, 1, 3))
        return self.merge(ops.reshape(seen, (batch, length, self.dim)))

    def _bias(self, length: int) -> tf.Tensor:
        """[heads or 1, length, length] float32: what is added to the logits of every example."""
        position = tf.range(length)
        distance = position[:, None] - position[None, :]
        bias = tf.zeros((1, length, length))
        if self.max_distance:
            nearest = tf.clip_by_value(tf.abs(distance), 0, self.max_distance - 1)
            bias = tf.transpose(tf.gather(ops.cast(self.distance_bias, "float32"), nearest), (2, 0, 1))
        if self.causal:
            bias += tf.where(distance < 0, _HIDDEN, 0.0)[None]
        return bias

    def get_config(self) -> dict[str, Any]:
        names = ("dim", "heads", "dropout", "causal", "max_distance")
        return super().get_config() | {name: getattr(self, name) for name in names}
