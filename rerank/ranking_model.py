"""DCN-V2 with heads for click, cart and purchase, and the examination curve that training corrects position by."""

from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.config import RerankConfig
from rerank.cross_network import CrossNetwork

HEADS = ("click", "cart", "purchase")
_CLIP = 5.0  # standard deviations; crosses are polynomials and outliers would dominate them
_EXAMINATION_STEP = (
    15.0  # the curve's logits move so many times faster than other weights, which see far more gradients
)


class HeadLogs(NamedTuple):
    """Natural logs of P(click), P(cart), P(purchase), given that the product is examined; [B, C] float32 each."""

    click: tf.Tensor
    cart: tf.Tensor
    purchase: tf.Tensor


class RankingModel(keras.Model):
    """Cross network and deep network in parallel (Wang et al. 2021, figure 1b), one shared bottom for three heads.

    Args:
        config: sizes of the networks.
        numbers: F, columns of `Features.numeric`.

    Call:
        numeric [B, C, F] float32, value [B, C, A] int32 buckets (0 for none), profile [B, P] int32. Returns HeadLogs.

    Position is no input: what was seen at which position is `examination`, and only the loss knows it.
    """

    def __init__(self, config: RerankConfig, numbers: int) -> None:
        super().__init__(name="ranking_model")
        policy = keras.DTypePolicy(config.precision)
        self._config = config
        self.mean = self.add_weight(shape=(numbers,), initializer="zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape=(numbers,), initializer="ones", trainable=False, name="scale")
        self.value_embedding = keras.layers.Embedding(config.value_buckets, config.value_dim, name="values")
        self.profile_embedding = keras.layers.Embedding(config.profile_buckets, config.profile_dim, name="profile")
        self.cross = CrossNetwork(config.cross_layers, config.projection_dim, dtype=policy, name="cross")
        self.deep = [
            keras.layers.Dense(units, activation="relu", dtype=policy, name=f"deep_{place}")
            for place, units in enumerate(config.deep_units)
        ]
        self.dropout = keras.layers.Dropout(config.dropout, seed=config.seed, dtype=policy)
        units = 1 if config.heads in HEADS else len(HEADS)
        self.heads = keras.layers.Dense(units, dtype="float32", name="heads")

    def adapt(self, mean: npt.NDArray[np.float32], deviation: npt.NDArray[np.float32]) -> None:
        """Fix the normalisation: each [F], of training data. A column that never varies is only shifted."""
        self.mean.assign(mean)
        self.scale.assign(1.0 / np.where(deviation > 1e-5, deviation, 1.0))

    def call(self, numeric: tf.Tensor, value: tf.Tensor, profile: tf.Tensor, training: bool = False) -> HeadLogs:
        inputs = self._inputs(numeric, value, profile)
        deep = inputs
        for layer in self.deep:
            deep = self.dropout(layer(deep), training=training)
        logits = self.heads(tf.concat([tf.cast(self.cross(inputs), tf.float32), tf.cast(deep, tf.float32)], -1))
        if self._config.heads in HEADS:
            return HeadLogs(*(tf.math.log_sigmoid(logits[..., 0]),) * len(HEADS))
        click, cart, purchase = tf.unstack(tf.math.log_sigmoid(logits), axis=-1)
        if self._config.heads == "conditional":
            return HeadLogs(click, click + cart, click + purchase)
        return HeadLogs(click, cart, purchase)

    def _inputs(self, numeric: tf.Tensor, value: tf.Tensor, profile: tf.Tensor) -> tf.Tensor:
        normal = tf.clip_by_value((numeric - self.mean) * self.scale, -_CLIP, _CLIP)
        known = tf.cast(value > 0, tf.float32)[..., None]
        values = tf.reduce_sum(self.value_embedding(value) * known, axis=2)
        persons = self.profile_embedding(profile)
        flat = tf.reshape(persons, [tf.shape(profile)[0], 1, profile.shape[1] * self._config.profile_dim])
        spread = tf.broadcast_to(flat, [tf.shape(numeric)[0], tf.shape(numeric)[1], flat.shape[2]])
        return tf.concat([normal, values, spread], -1)


class Examination(keras.layers.Layer):
    """P(a shopper looks at position p): 1 at position 1, free values in (0, 1) at knots, between them linear in logs.

    Knots are 2, 3, 5, 8, 13, ...: a power of the position, as curves of attention are found to be (Joachims et al.
    2017), is met exactly, and what a few thousand clicks cannot tell is not guessed at.

    Args:
        positions: later ones share the value of this one.
        learned: else everything counts as examined.

    Call:
        position: any shape, int32, 1-based; 0 (unknown, or never shown) counts as examined. Returns log P, float32.
    """

    def __init__(self, positions: int, learned: bool = True, **kwargs: Any) -> None:
        super().__init__(name="examination", **kwargs)
        self.positions = positions
        self.learned = learned
        self._knots = _knots(positions)
        self._weights = tf.constant(_interpolation(self._knots, positions))
        self._gaps = tf.constant(np.diff(np.log(self._knots), prepend=0.0).astype(np.float32))
        self.logits = self.add_weight(shape=(len(self._knots),), initializer="zeros", trainable=learned, name="logits")

    def start_from(self, curve: npt.NDArray[np.float32]) -> None:
        """Set the knots to their values in `curve`, [positions] in (0, 1)."""
        curve = np.clip(curve[self._knots - 1], 0.02, 0.98)
        self.logits.assign(np.log(curve / (1 - curve)) / _EXAMINATION_STEP)

    def call(self, position: tf.Tensor) -> tf.Tensor:
        if not self.learned:
            return tf.zeros(tf.shape(position))
        curve = tf.linalg.matvec(self._weights, self._logs())
        return tf.gather(curve, tf.clip_by_value(position - 1, 0, self.positions - 1))

    def bend(self) -> tf.Tensor:
        """Sum over the knots of the squared change of d log P / d log position; 0 for a power of the position."""
        if not self.learned:
            return tf.zeros([])
        logs = self._logs()
        slopes = (logs - tf.concat([[0.0], logs[:-1]], 0)) / self._gaps
        return tf.reduce_sum(tf.square(slopes[1:] - slopes[:-1]))

    def curve(self) -> npt.NDArray[np.float32]:
        """[positions] P(examined) at positions 1, 2, ..."""
        return np.exp(np.asarray(self(tf.range(1, self.positions + 1))))

    def _logs(self) -> tf.Tensor:
        return tf.math.log_sigmoid(tf.convert_to_tensor(self.logits) * _EXAMINATION_STEP)


def _knots(positions: int) -> npt.NDArray[np.int64]:
    """Fibonacci numbers from 2 on that are below `positions`, and that itself."""
    knots, following = [], (2, 3)
    while following[0] < positions:
        knots.append(following[0])
        following = (following[1], sum(following))
    return np.array([*knots, max(positions, 2)])


def _interpolation(knots: npt.NDArray[np.int64], positions: int) -> npt.NDArray[np.float32]:
    """[positions, knots] weights of the knots' logs in each position's, linear in the log of the position."""
    places = np.log(np.arange(1, positions + 1))
    with_first = np.log(np.concatenate([[1], knots]))
    columns = [np.interp(places, with_first, row) for row in np.eye(len(with_first))]
    return np.stack(columns[1:], axis=1).astype(np.float32)


def order_score(logs: HeadLogs, grade: tf.Tensor, config: RerankConfig) -> tf.Tensor:
    """What candidates are ordered by: the log of what showing one is worth, and what its expected grade adds."""
    return ranking_score(logs, config.cart_weight, config.purchase_weight) + config.relevance.weight * grade


def ranking_score(logs: HeadLogs, cart_weight: float, purchase_weight: float) -> tf.Tensor:
    """log(P(click) + cart_weight P(cart) + purchase_weight P(purchase)): the log of what showing the product is worth.

    A log, so that a softmax over a list of scores is the chance of each product to be the one that is chosen.
    """
    weighted = ((logs.click, 1.0), (logs.cart, cart_weight), (logs.purchase, purchase_weight))
    parts = [log + float(np.log(weight)) for log, weight in weighted if weight > 0]
    return tf.reduce_logsumexp(tf.stack(parts, 0), 0)
