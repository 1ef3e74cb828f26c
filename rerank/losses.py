"""What training minimises: log-loss of the heads under the position-based click model, and a softmax over each list."""

from typing import NamedTuple

import tensorflow as tf

from rerank.ranking_model import HeadLogs

_MOST_CERTAIN = -1e-6  # log of the largest probability; keeps log(1 - p) finite


class ListLabels(NamedTuple):
    """What happened to each product of each list, [B, L]: float32 0/1, but `shown` and `present` bool.

    shown: stood on the page. present: a product at all. Products that are present and not shown were retrieved only.
    """

    click: tf.Tensor
    cart: tf.Tensor
    purchase: tf.Tensor
    shown: tf.Tensor
    present: tf.Tensor


def item_weights(labels: ListLabels, unshown_weight: float) -> tf.Tensor:
    """1 for a shown product, `unshown_weight` for one that was only retrieved, 0 for padding; [B, L]."""
    weights = tf.where(labels.shown, 1.0, unshown_weight)
    return tf.where(labels.present, weights, 0.0)


def pointwise_loss(logs: HeadLogs, log_examination: tf.Tensor, labels: ListLabels) -> tf.Tensor:
    """Log-loss of the three heads on the shown products, summed over each list, [B].

    Never-shown products stay out: counted as label 0, at whatever weight, they pull the probabilities of the products
    most like those at the top of a page down, and the examination of all later positions up.

    P(click at position p) = P(examined at p) P(click | examined) (Richardson et al. 2007); so for cart and purchase.
    """
    losses = [
        _log_loss(log + log_examination, label)
        for log, label in zip(logs, (labels.click, labels.cart, labels.purchase), strict=True)
    ]
    return tf.reduce_sum(tf.where(labels.shown, tf.add_n(losses), 0.0), 1)


def listwise_loss(
    score: tf.Tensor, log_examination: tf.Tensor, gain: tf.Tensor, labels: ListLabels, unshown_weight: float
) -> tf.Tensor:
    """-sum_i gain_i log softmax_i(score + log weight), [B]; 0 for a list without a click.

    A product's weight is its chance to be chosen whatever it is: examination if it was shown, `unshown_weight` if not.
    The curve itself learns from `pointwise_loss` alone, which knows how many clicks there were.
    """
    weight = item_weights(labels, unshown_weight)
    log_weight = tf.math.log(tf.maximum(weight, 1e-12)) + tf.stop_gradient(log_examination)
    logits = tf.where(weight > 0, score + log_weight, -1e9)
    return -tf.reduce_sum(gain * tf.nn.log_softmax(logits, axis=1), 1)


def _log_loss(log_probability: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    log_probability = tf.minimum(log_probability, _MOST_CERTAIN)
    return -(label * log_probability + (1.0 - label) * tf.math.log(-tf.math.expm1(log_probability)))
