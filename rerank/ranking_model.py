"""DCN-V2 with heads for click, cart and purchase."""

from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.outcomes import HEADS
from rerank.config import RerankConfig
from rerank.cross_network import CrossNetwork

_CLIP = 5.0  # standard deviations; crosses are polynomials and outliers would dominate them


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

    `rank` is the same call with `value_vectors`, [B, C, value_dim], in place of the buckets: those of a catalogue can
    be looked up instead of summed.

    Position is no input: what was seen at which position is `rerank.examination`, and only the loss knows it.
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

    @property
    def learned_variables(self) -> list[Any]:
        """Those that a gradient reaches: without profile columns it is none of their embedding's."""
        unused = [] if self._config.profile_columns else self.profile_embedding.trainable_variables
        return [found for found in self.trainable_variables if not any(found is other for other in unused)]

    def adapt(self, mean: npt.NDArray[np.float32], deviation: npt.NDArray[np.float32]) -> None:
        """Fix the normalisation: each [F], of training data. A column that never varies is only shifted."""
        self.mean.assign(mean)
        self.scale.assign(1.0 / np.where(deviation > 1e-5, deviation, 1.0))

    def call(self, numeric: tf.Tensor, value: tf.Tensor, profile: tf.Tensor, training: bool = False) -> HeadLogs:
        return self.rank(numeric, self.value_vectors(value), profile, training)

    def value_vectors(self, value: tf.Tensor) -> tf.Tensor:
        """[..., A] int32 buckets -> [..., value_dim], the sum of the values' embeddings."""
        known = tf.cast(value > 0, tf.float32)[..., None]
        return tf.reduce_sum(self.value_embedding(value) * known, axis=-2)

    def rank(self, numeric: tf.Tensor, values: tf.Tensor, profile: tf.Tensor, training: bool = False) -> HeadLogs:
        """HeadLogs of a call, from [B, C, value_dim] `value_vectors`."""
        inputs = self._inputs(numeric, values, profile)
        # [B C, inputs]: layers ask for the shape of more than two axes when they run, a dozen ops a time.
        inputs = tf.reshape(inputs, [-1, inputs.shape[-1]])
        deep = inputs
        for layer in self.deep:
            deep = self.dropout(layer(deep), training=training)
        logits = self._logits(tf.cast(self.cross(inputs), tf.float32), tf.cast(deep, tf.float32))
        logits = tf.reshape(logits, [-1, tf.shape(numeric)[1], logits.shape[-1]])
        if self._config.heads in HEADS:
            return HeadLogs(*(tf.math.log_sigmoid(logits[..., 0]),) * len(HEADS))
        click, cart, purchase = tf.unstack(tf.math.log_sigmoid(logits), axis=-1)
        if self._config.heads == "conditional":
            return HeadLogs(click, click + cart, click + purchase)
        return HeadLogs(click, cart, purchase)

    def _logits(self, crossed: tf.Tensor, deep: tf.Tensor) -> tf.Tensor:
        """What `heads` makes of both networks' outputs side by side, without a copy of the larger."""
        width = crossed.shape[-1]
        if not self.heads.built:
            self.heads.build((None, width + deep.shape[-1]))
        kernel = self.heads.kernel.value
        return tf.matmul(crossed, kernel[:width]) + tf.matmul(deep, kernel[width:]) + self.heads.bias.value

    def _inputs(self, numeric: tf.Tensor, values: tf.Tensor, profile: tf.Tensor) -> tf.Tensor:
        normal = tf.raw_ops.ClipByValue(
            t=(numeric - self.mean) * self.scale, clip_value_min=-_CLIP, clip_value_max=_CLIP
        )
        persons = self.profile_embedding(profile)
        if profile.shape[1] == 0:
            return tf.concat([normal, values], -1)
        flat = tf.reshape(persons, [tf.shape(profile)[0], 1, profile.shape[1] * self._config.profile_dim])
        spread = tf.broadcast_to(flat, [tf.shape(numeric)[0], tf.shape(numeric)[1], flat.shape[2]])
        return tf.concat([normal, values, spread], -1)


def order_score(logs: HeadLogs, grade: tf.Tensor, config: RerankConfig) -> tf.Tensor:
    """What candidates are ordered by: the log of what showing one is worth, and what its expected grade adds."""
    return ranking_score(logs, config.cart_weight, config.purchase_weight) + config.relevance.weight * grade


def ranking_score(logs: HeadLogs, cart_weight: float, purchase_weight: float) -> tf.Tensor:
    """log(P(click) + cart_weight P(cart) + purchase_weight P(purchase)): the log of what showing the product is worth.

    A log, so that a softmax over a list of scores is the chance of each product to be the one that is chosen.
    """
    weighted = ((logs.click, 1.0), (logs.cart, cart_weight), (logs.purchase, purchase_weight))
    parts = tf.stack([log + float(np.log(weight)) for log, weight in weighted if weight > 0])
    most = tf.stop_gradient(tf.reduce_max(parts, 0))  # finite, as logs of a sigmoid are
    return most + tf.math.log(tf.reduce_sum(tf.exp(parts - most), 0))
