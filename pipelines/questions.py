"""Logged requests as the questions that the towers answer."""

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from towers.validation import Questions


def request_questions(features: FeatureStore, requests: npt.NDArray[np.int32], length: int) -> Questions:
    """Some of the store's requests, with the last `length` events before each."""
    users, queries = features.request_user[requests], features.request_query[requests]
    rows, kinds, timestamps = features.history(users, features.request_history_end[requests], length)
    texts = np.full(len(requests), "", object)
    typed = queries >= 0
    texts[typed] = np.asarray(features.queries, dtype=object)[queries[typed]]
    return Questions(
        texts, rows, kinds, timestamps, np.asarray(features.request_timestamp[requests]), np.asarray(users)
    )


def stranger_questions(
    features: FeatureStore, profiles: npt.NDArray[np.int32], length: int, limit: int = 64
) -> Questions:
    """Requests that tell nothing but perhaps a profile, as every new visitor's home page: no query, no history.

    Args:
        features: of the shop.
        profiles: [U, columns] of every user, see `profile_table`.
        length: H, of the history.
        limit: profiles at most, the commonest; besides them nobody's.
    """
    _, users, counts = np.unique(profiles, axis=0, return_index=True, return_counts=True)
    asked = [-1, *users[np.argsort(-counts, kind="stable")][:limit]] if profiles.size else [-1]
    nothing = np.zeros((len(asked), length), np.int64)
    return Questions(
        texts=np.full(len(asked), "", object),
        rows=np.full(nothing.shape, features.n_products, np.int32),
        kinds=nothing.astype(np.int32),
        timestamps=nothing,
        timestamp=np.full(len(asked), features.day0, np.int64),
        users=np.array(asked, np.int32),
    )


def slice_requests(features: FeatureStore, slice_code: int, limit: int, seed: int | None) -> npt.NDArray[np.int32]:
    """At most `limit` requests of one time slice, rising: the latest ones, or with a seed a sample of all."""
    requests = np.flatnonzero(features.request_slice == slice_code)
    if len(requests) > limit and seed is None:
        latest = np.argsort(features.request_timestamp[requests], kind="stable")[-limit:]
        requests = np.sort(requests[latest])
    elif len(requests) > limit:
        requests = np.sort(np.random.default_rng(seed).choice(requests, limit, replace=False))
    return requests.astype(np.int32)
