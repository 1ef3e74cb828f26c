"""Alternating least squares on the log (Hu, Koren and Volinsky 2008), by the library `implicit`."""

from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from catalog.feature_store import FeatureStore
from evaluation.arrays import Gains
from evaluation.profiles import request_profiles, user_profiles
from evaluation.requests import Requests


class MatrixFactors:
    """Inner product of product factors and the user's, which are solved anew from the history before each request.

    So a user who came after the fit is treated as everybody is; without a history there is nothing to say.

    Args:
        profiles: CSR [U, N], of `user_profiles`.
        factors, regularization, alpha, iterations: of the model; alpha is how much surer an event makes than none.
        seed: of the start.
    """

    name = "ALS"

    def __init__(
        self,
        profiles: Any,
        factors: int = 32,
        regularization: float = 10.0,
        alpha: float = 40.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        # One thread everywhere: sums in another order would be other factors.
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(
                factors, regularization, alpha, iterations=iterations, num_threads=1, random_state=seed
            )
            self._model.fit(profiles, show_progress=False)

    @classmethod
    def fit(cls, features: FeatureStore, before: int, products: int, seed: int = 0) -> "MatrixFactors":
        """From the interactions before a moment (seconds since the epoch)."""
        return cls(user_profiles(features, before, products), seed=seed)

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`."""
        items = self._model.item_factors
        profiles = request_profiles(requests, len(items))
        people = self._model.recalculate_user(np.arange(len(requests)), profiles)
        known = np.diff(profiles.indptr) > 0
        return np.where(known[:, None], people @ items.T, -np.inf).astype(np.float32)
