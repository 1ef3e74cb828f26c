"""The small trained layer between the picture network's embeddings and the towers."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tandem")
class ImageProjection(keras.layers.Layer):
    """Picture embeddings to the towers' vectors: RMSNorm, a hidden SiLU layer, a linear one.

    Args:
        dim: size of the vectors; the hidden layer has twice as many units.

    Call:
        embeddings: [batch, E] float, of the picture network. presence: [batch] bool.
        Returns [batch, dim], zero where there is no picture.
    """

    def __init__(self, dim: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dim = dim
        self.norm = keras.layers.RMSNormalization(name="norm")
        self.hidden = keras.layers.Dense(2 * dim, activation="silu", name="hidden")
        self.out = keras.layers.Dense(dim, name="out")

    def build(self, embeddings_shape: tuple[int | None, ...]) -> None:
        self.norm.build(embeddings_shape)
        self.hidden.build(embeddings_shape)
        self.out.build((embeddings_shape[0], 2 * self.dim))
        self.built = True

    def call(self, embeddings: tf.Tensor, presence: tf.Tensor) -> tf.Tensor:
        vectors = self.out(self.hidden(self.norm(embeddings)))
        return vectors * tf.cast(presence, vectors.dtype)[:, None]

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dim": self.dim}
