"""Alternating least squares on the log (Hu, Koren and Volinsky 2008), by the library `implicit`."""

from typing import Any

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from threadpoolctl import threadpool_limits

from evaluation.arrays import Floats, Gains
from evaluation.profiles import request_profiles
from evaluation.requests import Requests


class MatrixFactors:
    """Inner product of product factors and the user's, which are solved anew from the history before each request.

    So a user who came after the fit is treated as everybody is; without a history there is nothing to say.

    Args:
        profiles: CSR [U, N], of `user_profiles`. weights: of each of KINDS, as in the profiles.
        factors, regularization, alpha, iterations: of the model; alpha is how much surer an event makes than none.
        seed: of the start.
    """

    name = "ALS"

    def __init__(
        self,
        profiles: Any,
        weights: Floats,
        factors: int = 32,
        regularization: float = 10.0,
        alpha: float = 40.0,
        iterations: int = 15,
        seed: int = 0,
    ) -> None:
        self._weights = weights
        # One thread everywhere: sums in another order would be other factors.
        with threadpool_limits(1, "blas"):
            self._model = AlternatingLeastSquares(
                factors, regularization, alpha, iterations=iterations, num_threads=1, random_state=seed
            )
            self._model.fit(profiles, show_progress=False)

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`."""
        items = self._model.item_factors
        profiles = request_profiles(requests, len(items), self._weights)
        people = self._model.recalculate_user(np.arange(len(requests)), profiles)
        known = np.diff(profiles.indptr) > 0
        return np.where(known[:, None], people @ items.T, -np.inf).astype(np.float32)
