"""What a shopper's history says of a candidate. B requests, C candidates, H history items.

`valid` [B, H] marks history items that exist; `hours` [B, H] are log hours since each.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from catalog.schema import KINDS
from rerank.tensors import Tensors

_NEVER = np.float32(1e9)
_NO_COSINE = np.float32(-2.0)
_ENDS = ("purchase", "cart")


class History(NamedTuple):
    """[B, H] each. row: int32, N for absent. valid: bool. recent, lasting: float32 shares that sum to 1, or to 0.

    `lasting` weighs events by their kind alone; in `recent` the weight is halved every few events besides. product:
    [B, H, width] each, what is known of the products.
    """

    row: tf.Tensor
    valid: tf.Tensor
    recent: tf.Tensor
    lasting: tf.Tensor
    product: Tensors


def known_events(row: Any, kind: Any, size: int) -> Any:
    """Which history items exist and are of products of the catalogue, [B, H] bool; tensors, or arrays of numpy.

    Args:
        size: N, products of the catalogue.
    """
    return (row >= 0) & (row < size) & (kind > 0)


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
    largest = tf.reduce_max(tf.where(same_kind, cosine, _NO_COSINE), -1)
    chosen = tf.cast(same_kind, cosine.dtype)
    share = tf.linalg.matvec(chosen, weight)
    mean = tf.math.divide_no_nan(tf.linalg.matvec(chosen * cosine, weight), share)
    return tf.where(largest > _NO_COSINE, largest, 0.0), mean, share


def seen_before(same_row: tf.Tensor, kind: tf.Tensor, hours: tf.Tensor) -> Sequence[tf.Tensor]:
    """Whether the candidate was seen, bought, put in the cart, and log hours since it last was seen; [B, C] each."""
    events = [tf.ones_like(hours), *(tf.cast(kind == KINDS.index(name) + 1, hours.dtype) for name in _ENDS)]
    times = tf.matmul(tf.cast(same_row, hours.dtype), tf.stack(events, -1))
    seen, bought, carted = tf.unstack(tf.minimum(times, 1.0), axis=-1)
    nearest = tf.reduce_min(tf.where(same_row, hours[:, None], _NEVER), -1)
    return seen, bought, carted, tf.where(seen > 0, nearest, 0.0)


def hours_since_last(hours: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """Log hours since the latest history item, [B]; 0 without history."""
    nearest = tf.reduce_min(tf.where(valid, hours, _NEVER), 1)
    return tf.where(tf.reduce_any(valid, 1), nearest, 0.0)


def log_hours(seconds: tf.Tensor) -> tf.Tensor:
    """log(1 + hours) of seconds, which count as 0 when negative."""
    return tf.math.log1p(tf.cast(tf.maximum(seconds, 0), tf.float32) / 3600.0)


def prices(price: tf.Tensor, past: tf.Tensor, weight: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Log price over the history's mean log price, its size, and whether both are known; prices: logs, 0 for none."""
    priced = tf.where(past > 0, weight, 0.0)
    mean = tf.math.divide_no_nan(tf.reduce_sum(priced * past, 1), tf.reduce_sum(priced, 1))[:, None]
    comparable = (price > 0) & (mean > 0)
    gap = tf.where(comparable, price - mean, 0.0)
    return gap, tf.abs(gap), tf.cast(comparable, tf.float32)


def shares(weight: tf.Tensor) -> tf.Tensor:
    """[B, H] weights over their sum; zeros stay zeros."""
    return tf.math.divide_no_nan(weight, tf.reduce_sum(weight, 1, keepdims=True))
