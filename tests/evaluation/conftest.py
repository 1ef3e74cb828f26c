"""A tiny log, a made-up truth and requests by hand, for every test of the evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from catalog.feature_store import FeatureStore
from catalog.schema import KINDS
from catalog.splits import Slices
from evaluation.requests import Requests, Task

DAY = 86_400
SLICES = Slices((0, 2), (2, 3), (3, 4), (4, 6))

# dtype of each prefix's columns, as the contract of the feature store has them.
_COLUMNS = {
    "interaction": {
        "user": np.int32, "product": np.int32, "kind": np.int8, "timestamp": np.int64, "query": np.int32,
        "weight": np.float32, "target": np.bool_,
    },
    "example": {
        "user": np.int32, "query": np.int32, "timestamp": np.int64, "history_end": np.int64, "product": np.int32,
        "kind": np.int8, "weight": np.float32, "new": np.bool_, "slice": np.int8, "day": np.int32, "request": np.int32,
    },
    "request": {
        "user": np.int32, "session": object, "query": np.int32, "timestamp": np.int64, "history_end": np.int64,
        "slice": np.int8, "day": np.int32,
    },
    "impression": {
        "product": np.int32, "position": np.int32, "click": np.bool_, "cart": np.bool_, "purchase": np.bool_,
    },
}  # fmt: skip


def store(
    products: int,
    users: int,
    queries: Sequence[str] = (),
    interactions: Sequence[dict[str, Any]] = (),
    examples: Sequence[dict[str, Any]] = (),
    requests: Sequence[dict[str, Any]] = (),
    impressions: Sequence[Sequence[dict[str, Any]]] = (),
) -> FeatureStore:
    """A feature store from rows; columns that a row does not name are 0. `impressions` holds a list a request."""
    rows = {
        "interaction": list(interactions),
        "example": list(examples),
        "request": list(requests),
        "impression": [row for page in impressions for row in page],
    }
    columns = {
        f"{prefix}_{name}": np.array([row.get(name, 0) for row in rows[prefix]], dtype)
        for prefix, dtypes in _COLUMNS.items()
        for name, dtype in dtypes.items()
    }
    pages = [len(page) for page in impressions] or [0] * len(requests)
    return FeatureStore(
        day0=0,
        slices=SLICES,
        user_ids=np.array([f"u{user}" for user in range(users)], object),
        user_columns={},
        queries=np.array(list(queries), object),
        launched=np.zeros(products, np.int32),
        snapshots=np.zeros((SLICES.days + 1, products, 0), np.float32),
        snapshot_features=(),
        user_start=np.searchsorted(columns["interaction_user"], np.arange(users + 1)).astype(np.int64),
        impression_start=np.concatenate([[0], np.cumsum(pages)]).astype(np.int64),
        **columns,
    )


def event(user: int, product: int, timestamp: int, kind: str = "click") -> dict[str, Any]:
    """One interaction."""
    return {"user": user, "product": product, "timestamp": timestamp, "kind": KINDS.index(kind), "query": -1}


@dataclass
class MadeUpTruth:
    """A truth of random numbers, the same for the same words; the interface of `catalog.truth.Truth`."""

    product_ids: np.ndarray
    examination: np.ndarray

    @property
    def products(self) -> int:
        return len(self.product_ids)

    def relevance(self, queries: Sequence[str]) -> np.ndarray:
        rows = [self._random("query", text).choice(4, self.products, p=[0.7, 0.1, 0.1, 0.1]) for text in queries]
        return np.array(rows, np.uint8).reshape(len(queries), self.products)

    def appeal(self, user_ids: Sequence[str], session_ids: Sequence[str], queries: Sequence[str]) -> np.ndarray:
        keys = zip(user_ids, session_ids, queries, strict=True)
        rows = [self._random("appeal", *key).random(self.products) for key in keys]
        return np.array(rows, np.float32).reshape(len(queries), self.products)

    def conversion(self, user_ids: Sequence[str]) -> np.ndarray:
        rows = [0.3 * self._random("conversion", user).random(self.products) for user in user_ids]
        return np.array(rows, np.float32).reshape(len(user_ids), self.products)

    def _random(self, *words: str) -> np.random.Generator:
        return np.random.default_rng(list("\x1f".join(words).encode()))


def requests_by_hand(task: Task, queries: Sequence[str], histories: Sequence[Sequence[int]]) -> Requests:
    """Requests of users u0, u1, ... in sessions s0, s1, ... with clicks on the given products before."""
    lengths = [len(history) for history in histories]
    products = np.array([row for history in histories for row in history], np.int32)
    count = len(histories)
    return Requests(
        task=task,
        request=np.arange(count, dtype=np.int32),
        user=np.arange(count, dtype=np.int32),
        user_ids=np.array([f"u{i}" for i in range(count)], object),
        session_ids=np.array([f"s{i}" for i in range(count)], object),
        queries=np.array(list(queries), object),
        timestamps=np.full(count, 4 * DAY, np.int64),
        history_start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        history_product=products,
        history_kind=np.full(len(products), KINDS.index("click"), np.int8),
        history_timestamp=np.arange(len(products), dtype=np.int64),
    )


@pytest.fixture
def make_store() -> Callable[..., FeatureStore]:
    return store


@pytest.fixture
def make_event() -> Callable[..., dict[str, Any]]:
    return event


@pytest.fixture
def make_truth() -> type[MadeUpTruth]:
    return MadeUpTruth


@pytest.fixture
def make_requests() -> Callable[..., Requests]:
    return requests_by_hand
