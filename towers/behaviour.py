"""What shoppers did with a product, and its price, rating and age: raw numbers to one vector."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.thin_behaviour import Evidence, ThinBehaviourConfig, made_up

# (numerator, denominator, events of the denominator that the prior counts as)
RATES = (("click", "impression", 20.0), ("cart", "click", 5.0), ("purchase", "click", 5.0))
_RATING_PRIOR_COUNT = 10.0
_LEAST_PRIOR = 1e-4
_LIMIT = 5.0  # standard deviations a feature may be away from its mean

RAW_BEHAVIOUR = ("counters", "price", "category_price", "rating_average", "rating_count", "age_days")
"""Inputs of the encoder; every path, training and serving, brings these."""


@keras.saving.register_keras_serializable("tandem")
class BehaviourEncoder(keras.layers.Layer):
    """Counters as log1p and smoothed rates, price within its category, Bayesian rating and age, to one vector.

    A rate is the log of (numerator + n p) / (denominator + n) over p, p being the catalogue's rate and n the prior's
    strength: zero says "as everywhere". The rating is the mean of the product's ratings and 10 of the catalogue's.
    The features are normalised by the mean and standard deviation that `adapt` saw.

    Outside of training products with few events are read as `catalog.thin_behaviour` says, `typical` being the
    catalogue that was trained on.

    Args:
        counters: names of the counters, f"{kind}_{window}", in the order of the input.
        dim: size of the vector.
        config: how thin evidence is made up for.

    Call:
        counters: [batch, F] float32. price: [batch] float32, NaN unknown. category_price: [batch] float32, the log of
        1 + the median price of the category. rating_average: [batch] float32, NaN unknown. rating_count: [batch]
        float32. age_days: [batch] float32.
        Returns [batch, dim], zero where behaviour is absent, and [batch] bool: any counter or any rating.
    """

    def __init__(
        self, counters: Sequence[str], dim: int, config: ThinBehaviourConfig | None = None, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # counters and prices outgrow 16 bits
        self.counters, self.dim, self.config = tuple(counters), dim, config or ThinBehaviourConfig()
        self.windows = tuple(dict.fromkeys(name.rsplit("_", 1)[1] for name in self.counters))
        self.width = len(self.counters) + len(RATES) * len(self.windows) + 7
        self.hidden = keras.layers.Dense(2 * dim, activation="silu", name="hidden")
        self.out = keras.layers.Dense(dim, name="out")

    def build(self, counters_shape: tuple[int | None, ...] = (None, None), **_: Any) -> None:
        def constant(name: str, shape: tuple[int, ...], initializer: str) -> Any:
            return self.add_weight(
                shape=shape, initializer=initializer, trainable=False, dtype="float32", autocast=False, name=name
            )

        self.rate_priors = constant("rate_priors", (len(self.windows), len(RATES)), "ones")
        self.rating_prior = constant("rating_prior", (), "zeros")
        self.typical_counters = constant("typical_counters", (len(self.counters),), "zeros")
        self.typical_ratings = constant("typical_ratings", (), "zeros")
        self.mean = constant("mean", (self.width,), "zeros")
        self.deviation = constant("deviation", (self.width,), "ones")
        self.hidden.build((None, self.width))
        self.out.build((None, 2 * self.dim))
        self.built = True

    def call(
        self,
        counters: tf.Tensor,
        price: tf.Tensor,
        category_price: tf.Tensor,
        rating_average: tf.Tensor,
        rating_count: tf.Tensor,
        age_days: tf.Tensor,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not training:
            counters, rating_average, rating_count = self.made_up(counters, rating_average, rating_count, age_days)
        raw = self.features(counters, price, category_price, rating_average, rating_count, age_days)
        standard = tf.clip_by_value((raw - self.mean.value) / self.deviation.value, -_LIMIT, _LIMIT)
        presence = behaviour_presence(counters, rating_average, rating_count)
        vectors = self.out(self.hidden(tf.cast(standard, self.compute_dtype)))
        return vectors * tf.cast(presence, vectors.dtype)[:, None], presence

    def made_up(
        self, counters: tf.Tensor, rating_average: tf.Tensor, rating_count: tf.Tensor, age_days: tf.Tensor
    ) -> Evidence:
        """Counters, rating average and rating count, with few events brought near the typical product."""
        given = Evidence(counters, rating_average, rating_count)
        typical = Evidence(
            self.typical_counters.value[None], self.rating_prior.value[None], self.typical_ratings.value[None]
        )
        return made_up(tf, self.config, self.counters, given, age_days, typical)

    def features(
        self,
        counters: tf.Tensor,
        price: tf.Tensor,
        category_price: tf.Tensor,
        rating_average: tf.Tensor,
        rating_count: tf.Tensor,
        age_days: tf.Tensor,
    ) -> tf.Tensor:
        """[batch, width] float32: the features before normalisation, the same in training and in serving."""
        counters = tf.maximum(tf.cast(counters, tf.float32), 0.0)
        priced = tf.math.is_finite(price) & (price > 0)
        log_price = tf.where(priced, tf.math.log1p(tf.where(priced, price, 0.0)), 0.0)
        rated = _rated(rating_average, rating_count)
        count = tf.where(rated, rating_count, 0.0)
        ratings = tf.where(rated, rating_average, 0.0) * count + self.rating_prior.value * _RATING_PRIOR_COUNT
        rest = (
            tf.cast(priced, tf.float32),
            log_price,
            tf.where(priced, log_price - category_price, 0.0),
            tf.cast(rated, tf.float32),
            ratings / (count + _RATING_PRIOR_COUNT),
            tf.math.log1p(count),
            tf.math.log1p(tf.maximum(age_days, 0.0)),
        )
        return tf.concat([tf.math.log1p(counters), self._rates(counters), tf.stack(rest, axis=1)], axis=1)

    def _rates(self, counters: tf.Tensor) -> tf.Tensor:
        """[batch, windows * rates] log of each smoothed rate over its prior, those of one window side by side."""
        above, below = (
            [self.counters.index(f"{rate[part]}_{window}") for window in self.windows for rate in RATES]
            for part in (0, 1)
        )
        strength = tf.constant([float(rate[2]) for rate in RATES] * len(self.windows))
        prior = tf.reshape(self.rate_priors.value, [-1])
        rate = (tf.gather(counters, above, axis=1) + strength * prior) / (tf.gather(counters, below, axis=1) + strength)
        return tf.math.log(rate / prior)

    def adapt(
        self,
        inputs: Mapping[str, npt.NDArray[np.float32]],
        typical_counters: npt.NDArray[np.float32] | None = None,
        typical_ratings: float = 0.0,
    ) -> None:
        """Set priors, means and deviations from a sample of products at their examples' days, and the typical product.

        Args:
            inputs: RAW_BEHAVIOUR by name, [sample, ...] float32, as in `call`.
            typical_counters: [F] mean over the catalogue when training ends; None leaves every product as it is.
            typical_ratings: mean rating count over the catalogue.
        """
        if typical_counters is not None:
            self.typical_counters.assign(typical_counters)
            self.typical_ratings.assign(typical_ratings)
        counters = inputs["counters"].astype(np.float64)
        priors = np.full((len(self.windows), len(RATES)), _LEAST_PRIOR)
        for w, window in enumerate(self.windows):
            for r, (above, below, _) in enumerate(RATES):
                total = [counters[:, self.counters.index(f"{kind}_{window}")].sum() for kind in (above, below)]
                priors[w, r] = np.clip(total[0] / max(total[1], 1.0), _LEAST_PRIOR, 1.0)
        self.rate_priors.assign(priors)
        average, count = inputs["rating_average"], inputs["rating_count"]
        rated = np.isfinite(average) & (count > 0)
        self.rating_prior.assign(float(np.average(average[rated], weights=count[rated])) if rated.any() else 0.0)
        raw = self.features(**{name: tf.constant(inputs[name]) for name in RAW_BEHAVIOUR}).numpy().astype(np.float64)
        self.mean.assign(raw.mean(axis=0))
        deviation = raw.std(axis=0)
        self.deviation.assign(np.where(deviation > 1e-3, deviation, 1.0))

    def get_config(self) -> dict[str, Any]:
        config = self.config.model_dump(mode="json")
        return super().get_config() | {"counters": list(self.counters), "dim": self.dim, "config": config}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "BehaviourEncoder":
        return cls(**config | {"config": ThinBehaviourConfig.model_validate(config["config"])})


def behaviour_presence(counters: tf.Tensor, rating_average: tf.Tensor, rating_count: tf.Tensor) -> tf.Tensor:
    """[batch] bool: whether anything was ever done with the product, or anybody rated it."""
    return tf.reduce_any(counters > 0, axis=1) | _rated(rating_average, rating_count)


def _rated(rating_average: tf.Tensor, rating_count: tf.Tensor) -> tf.Tensor:
    return tf.math.is_finite(rating_average) & (rating_count > 0)


def category_log_prices(categories: Sequence[str], prices: npt.NDArray[np.float64]) -> tuple[dict[str, float], float]:
    """The log of 1 + the median price of each category, and of the whole catalogue.

    Args:
        categories: [N] category paths.
        prices: [N] float64, NaN unknown.

    Returns:
        The value of each category in which any price is known, and the catalogue's, for the others (0 if none is).
    """
    known = np.isfinite(prices)
    values: dict[str, list[float]] = {}
    for category, price in zip(np.asarray(categories, object)[known], prices[known], strict=True):
        values.setdefault(category, []).append(price)
    medians = {category: math.log1p(float(np.median(found))) for category, found in values.items()}
    return medians, math.log1p(float(np.median(prices[known]))) if known.any() else 0.0
