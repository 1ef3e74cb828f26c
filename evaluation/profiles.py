"""People as sparse rows over the products: what each had to do with, and how much."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from catalog.feature_store import FeatureStore
from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.requests import Requests

_WEIGHTS = np.array([KIND_WEIGHTS[kind] for kind in KINDS])


def user_profiles(features: FeatureStore, before: int, products: int) -> Any:
    """What each user had done before a moment (seconds since the epoch), CSR [U, N] float32: see `weigh`."""
    known = features.interaction_timestamp < before
    return weigh(
        features.interaction_user[known],
        features.interaction_product[known],
        features.interaction_kind[known],
        (len(features.user_ids), products),
    )


def request_profiles(requests: Requests, products: int) -> Any:
    """What each request's user had done before it, CSR [R, N] float32: see `weigh`."""
    owner = np.repeat(np.arange(len(requests)), requests.history_lengths)
    return weigh(owner, requests.history_product, requests.history_kind, (len(requests), products))


def weigh(
    person: npt.NDArray[np.integer],
    product: npt.NDArray[np.integer],
    kind: npt.NDArray[np.integer],
    shape: tuple[int, int],
) -> Any:
    """log(1 + sum of the kinds' weights) of each person and product, CSR float32.

    Args:
        person, product, kind: [events]; kinds are indices in KINDS. shape: people and products.
    """
    totals = sparse.coo_matrix((_WEIGHTS[kind], (person, product)), shape).tocsr()
    totals.eliminate_zeros()
    totals.data = np.log1p(totals.data)
    return totals.astype(np.float32)
