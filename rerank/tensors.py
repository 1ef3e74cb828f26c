"""Small tensor helpers that features share."""

from typing import Any

import tensorflow as tf


def table(values: Any) -> tf.Variable:
    """A fixed table."""
    return tf.Variable(values, trainable=False)


def spread(per_request: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """[B] -> [B, C], in the shape of `row`."""
    return tf.broadcast_to(per_request[:, None], tf.shape(row))


def count(mask: tf.Tensor) -> tf.Tensor:
    """How many are true along the last axis, float32."""
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=-1)
