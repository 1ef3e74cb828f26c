"""Popularity that forgets: what is in demand now."""

import numpy as np

from catalog.feature_store import FeatureStore
from evaluation.arrays import Mask
from evaluation.baselines import Popularity

_SECONDS_A_DAY = 86_400


class RecentPopularity(Popularity):
    """Popularity whose events weigh half as much for every `HALF_LIFE_DAYS` that they are old."""

    name = "recent popularity"
    HALF_LIFE_DAYS = 7.0

    @classmethod
    def fit(cls, features: FeatureStore, before: int, eligible: Mask) -> "RecentPopularity":
        """Sum of the kinds' weights x 0.5^(age / half-life) of the interactions before a moment (seconds)."""
        known = features.interaction_timestamp < before
        kinds = features.weights[features.interaction_kind[known]]
        days = (before - features.interaction_timestamp[known]) / _SECONDS_A_DAY
        weights = kinds * 0.5 ** (days / cls.HALF_LIFE_DAYS)
        return cls(np.bincount(features.interaction_product[known], weights, len(eligible)), eligible)
