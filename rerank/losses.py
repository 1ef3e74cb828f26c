"""What training minimises: log-loss of the heads under the position-based click model, and a softmax over each list."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from catalog.outcomes import HEADS
from rerank.config import RerankConfig
from rerank.ranking_model import HeadLogs, ranking_score

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


def head_worths(config: RerankConfig) -> dict[str, float]:
    """What each head is worth in a list's gains, in clicks: of those that `config.heads` learns from."""
    worths = {"click": 1.0, "cart": config.cart_weight, "purchase": config.purchase_weight}
    return {head: worth for head, worth in worths.items() if config.heads == head or config.heads not in HEADS}


def list_loss(logs: HeadLogs, log_examination: tf.Tensor, labels: ListLabels, config: RerankConfig) -> tf.Tensor:
    """The weighted sum of the configured losses, [B]."""
    worths = head_worths(config)
    parts = []
    if config.loss != "listwise":
        parts.append(config.pointwise_weight * pointwise_loss(logs, log_examination, labels, tuple(worths)))
    if config.loss != "pointwise":
        gain = tf.add_n([worth * getattr(labels, head) for head, worth in worths.items()])
        score = ranking_score(logs, config.cart_weight, config.purchase_weight)
        listwise = listwise_loss(score, log_examination, gain, labels, config.unshown_weight)
        parts.append(config.listwise_weight * listwise)
    return tf.add_n(parts)


def pointwise_loss(
    logs: HeadLogs, log_examination: tf.Tensor, labels: ListLabels, heads: Sequence[str] = HEADS
) -> tf.Tensor:
    """Log-loss of `heads` on the shown products, summed over each list, [B].

    Never-shown products stay out: counted as label 0, at whatever weight, they pull the probabilities of the products
    most like those at the top of a page down, and the examination of all later positions up.

    P(click at position p) = P(examined at p) P(click | examined) (Richardson et al. 2007); so for cart and purchase.
    """
    losses = [_log_loss(getattr(logs, head) + log_examination, getattr(labels, head)) for head in heads]
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


def teacher_loss(score: tf.Tensor, teacher: tf.Tensor, labels: ListLabels) -> tf.Tensor:
    """-sum_i softmax(teacher)_i log softmax(score)_i over the products of each list, [B]."""
    teacher, score = (tf.where(labels.present, values, -1e9) for values in (teacher, score))
    return tf.nn.softmax_cross_entropy_with_logits(tf.nn.softmax(teacher), score)


def _log_loss(log_probability: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    log_probability = tf.minimum(log_probability, _MOST_CERTAIN)
    return -(label * log_probability + (1.0 - label) * tf.math.log(-tf.math.expm1(log_probability)))
