"""What a shopper's history says of a candidate. B requests, C candidates, H history items.

`valid` [B, H] marks history items that exist; `hours` [B, H] are log hours since each.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from catalog.schema import KINDS

_NEVER = np.float32(1e9)


def cosines(cosine: tf.Tensor, valid: tf.Tensor, weight: tf.Tensor) -> Sequence[tf.Tensor]:
    """Largest, weighted mean and last cosine with the history, [B, C] each; 0 without history."""
    some = tf.reduce_any(valid, 1)[:, None]
    largest = tf.where(some, tf.reduce_max(tf.where(valid[:, None], cosine, -1.0), -1), 0.0)
    length = valid.shape[1]
    last = tf.argmax(tf.where(valid, tf.range(1, length + 1), 0), axis=1)
    latest = tf.gather(cosine, last, axis=2, batch_dims=1)
    return largest, tf.linalg.matvec(cosine, weight), tf.where(some, latest, 0.0)


def cosines_of_kind(cosine: tf.Tensor, same_kind: tf.Tensor, weight: tf.Tensor) -> Sequence[tf.Tensor]:
    """Largest and weighted mean cosine with the history items of a candidate's kind, and their weight; [B, C] each.

    Args:
        same_kind: [B, C, H] bool.
    """
    some = tf.reduce_any(same_kind, -1)
    largest = tf.where(some, tf.reduce_max(tf.where(same_kind, cosine, -1.0), -1), 0.0)
    weights = tf.where(same_kind, weight[:, None], 0.0)
    share = tf.reduce_sum(weights, -1)
    return largest, tf.math.divide_no_nan(tf.reduce_sum(weights * cosine, -1), share), share


def seen_before(same_row: tf.Tensor, kind: tf.Tensor, hours: tf.Tensor) -> Sequence[tf.Tensor]:
    """Whether the candidate was seen, bought, put in the cart, and log hours since it last was seen; [B, C] each."""
    seen = tf.reduce_any(same_row, -1)
    bought = tf.reduce_any(same_row & (kind == KINDS.index("purchase") + 1)[:, None], -1)
    carted = tf.reduce_any(same_row & (kind == KINDS.index("cart") + 1)[:, None], -1)
    nearest = tf.reduce_min(tf.where(same_row, hours[:, None], _NEVER), -1)
    since = tf.where(seen, nearest, 0.0)
    return tf.cast(seen, tf.float32), tf.cast(bought, tf.float32), tf.cast(carted, tf.float32), since


def hours_since_last(hours: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Log hours since the latest history item, [B]; 0 without history."""
    nearest = tf.reduce_min(tf.where(valid, hours, _NEVER), 1)
    return tf.where(tf.reduce_any(valid, 1), nearest, 0.0)


def log_hours(seconds: tf.Tensor) -> tf.Tensor:
    """log(1 + hours) of seconds, which count as 0 when negative."""
    return tf.math.log1p(tf.cast(tf.maximum(seconds, 0), tf.float32) / 3600.0)
