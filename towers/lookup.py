"""Rows of an embedding layer's table."""

import keras
import tensorflow as tf
from keras import ops


def embed(layer: keras.layers.Embedding, rows: tf.Tensor) -> tf.Tensor:
    """What a call of the layer returns for rows from 0 on: Keras' own counts negative ones from the end, in four ops.

    Args:
        layer: built, its table [V, dim].
        rows: [...] int32, 0 to V - 1.

    Returns:
        [..., dim] in the layer's compute dtype.
    """
    return ops.cast(tf.gather(ops.convert_to_tensor(layer.embeddings), rows), layer.compute_dtype)
