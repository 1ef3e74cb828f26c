"""People as sparse rows over the products: what each had to do with, and how much."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from catalog.feature_store import FeatureStore
from evaluation.arrays import Floats
from evaluation.requests import Requests


def user_profiles(features: FeatureStore, before: int, products: int) -> Any:
    """What each user had done before a moment (seconds since the epoch), CSR [U, N] float32: see `weigh`."""
    known = features.interaction_timestamp < before
    return weigh(
        features.interaction_user[known],
        features.interaction_product[known],
        features.weights[features.interaction_kind[known]],
        (len(features.user_ids), products),
    )


def request_profiles(requests: Requests, products: int, weights: Floats) -> Any:
    """What each request's user had done before it, CSR [R, N] float32: see `weigh`; weights: of each of KINDS."""
    owner = np.repeat(np.arange(len(requests)), requests.history_lengths)
    return weigh(owner, requests.history_product, weights[requests.history_kind], (len(requests), products))


def weigh(
    person: npt.NDArray[np.integer],
    product: npt.NDArray[np.integer],
    weight: Floats,
    shape: tuple[int, int],
) -> Any:
    """log(1 + sum of the events' weights) of each person and product, CSR float32.

    Args:
        person, product, weight: [events]. shape: people and products.
    """
    totals = sparse.coo_matrix((weight, (person, product)), shape).tocsr()
    totals.eliminate_zeros()
    totals.data = np.log1p(totals.data)
    return totals.astype(np.float32)
