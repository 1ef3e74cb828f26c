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


def stranger_question(features: FeatureStore, timestamp: int, length: int) -> Questions:
    """One request that tells nothing, as every new visitor's home page is: no query, no history, no profile.

    Args:
        features: of the shop.
        timestamp: seconds, when it is asked.
        length: H, of the history.
    """
    none = np.zeros((1, length), np.int64)
    return Questions(
        texts=np.array([""], dtype=object),
        rows=np.full((1, length), features.n_products, np.int32),
        kinds=none.astype(np.int32),
        timestamps=none,
        timestamp=np.array([timestamp], np.int64),
        users=np.array([-1], np.int32),
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
