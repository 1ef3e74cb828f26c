"""Small tensor helpers that features share."""

from typing import Any

import tensorflow as tf

Tensors = dict[str, tf.Tensor]


def table(values: Any) -> tf.Variable:
    """A fixed table."""
    return tf.Variable(values, trainable=False)


def spread(per_request: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
    """[B] -> [B, C], in the shape of `row`."""
    return tf.broadcast_to(per_request[:, None], tf.shape(row))


def lower_bounds(ordered: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """How many of each row of `ordered`, [B, V] rising, are below `wanted`, [B, W]; int32 [B, W].

    What `tf.searchsorted` runs, without the ops that make any shape one of two axes.
    """
    return tf.raw_ops.LowerBound(sorted_inputs=ordered, values=wanted)


def count(mask: tf.Tensor) -> tf.Tensor:
    """How many are true along the last axis, float32."""
    return tf.reduce_sum(tf.cast(mask, tf.float32), axis=-1)
