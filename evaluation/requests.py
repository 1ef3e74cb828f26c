"""What is asked in an evaluation: a sample of the log's requests, or queries made up, with the history before each."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.splits import folded_query
from evaluation.arrays import ABSENT, Ints, Mask, Rows, Strings, compact, ragged_indices
from evaluation.relevance import Relevance

Task = Literal["search", "recommendation"]

STRANGER = -1
TEST_SLICE = 3


@dataclass(frozen=True)
class Requests:
    """R requests of one task, each with everything its user did before it.

    Args:
        task: "search" (every query has text) or "recommendation" (every query is "").
        request: int32 [R], row of the shown page in the features; -1 if the request comes from no page.
        user: int32 [R], row of the user; -1 for a stranger.
        user_ids, session_ids, queries: str [R].
        timestamps: int64 [R], seconds.
        history_start: int64 [R + 1]; request i has the events [history_start[i], history_start[i + 1]), oldest first.
        history_product: int32; history_kind: int8, index in KINDS; history_timestamp: int64, seconds.
    """

    task: Task
    request: Rows
    user: Rows
    user_ids: Strings
    session_ids: Strings
    queries: Strings
    timestamps: Ints
    history_start: Ints
    history_product: Rows
    history_kind: npt.NDArray[np.int8]
    history_timestamp: Ints

    def __len__(self) -> int:
        return len(self.queries)

    def __repr__(self) -> str:
        users = len(np.unique(self.user))
        return (
            f"Requests({len(self):,} of {self.task} by {users:,} users, {len(self.history_product):,} history events)"
        )

    @property
    def history_lengths(self) -> Ints:
        """How many events each request's history has, [R]."""
        return np.diff(self.history_start)

    @cached_property
    def clusters(self) -> tuple[npt.NDArray[np.integer], ...]:
        """[R] each, what makes requests alike, for the bootstrap: the user, and of searches the query."""
        if self.task == "recommendation":
            return (self.user,)
        _, asked = np.unique([folded_query(query) for query in self.queries.tolist()], return_inverse=True)
        return (self.user, asked)

    def select(self, chosen: Ints | Mask) -> Self:
        """The chosen requests, in the order given."""
        index = np.arange(len(self))[chosen]
        lengths = self.history_lengths[index]
        _, events = ragged_indices(self.history_start[index], self.history_start[index] + lengths)
        return replace(
            self,
            request=self.request[index],
            user=self.user[index],
            user_ids=self.user_ids[index],
            session_ids=self.session_ids[index],
            queries=self.queries[index],
            timestamps=self.timestamps[index],
            history_start=np.concatenate([[0], np.cumsum(lengths)]),
            history_product=self.history_product[events],
            history_kind=self.history_kind[events],
            history_timestamp=self.history_timestamp[events],
        )

    def last_events(self, length: int) -> tuple[Rows, npt.NDArray[np.int8], Ints]:
        """The last `length` events of each history, padded on the left with (-1, -1, 0).

        Returns:
            product rows int32, kinds int8 (index in KINDS) and timestamps int64 (seconds), each [R, length].
        """
        end = self.history_start[1:]
        index = end[:, None] - np.arange(length, 0, -1)[None, :]
        present = index >= self.history_start[:-1, None]
        if not len(self.history_product):
            present[:] = False
            shape = present.shape
            return np.full(shape, ABSENT, np.int32), np.full(shape, -1, np.int8), np.zeros(shape, np.int64)
        index = np.where(present, index, 0)
        return (
            np.where(present, self.history_product[index], np.int32(ABSENT)),
            np.where(present, self.history_kind[index], np.int8(-1)),
            np.where(present, self.history_timestamp[index], np.int64(0)),
        )

    def seen(self) -> Relevance:
        """The products that each request's user had interacted with before it, as pairs."""
        owner = np.repeat(np.arange(len(self)), self.history_lengths)
        return Relevance.from_pairs(len(self), owner, self.history_product)


def made_up_requests(queries: list[str], timestamp: int) -> Requests:
    """Searches by strangers without a history, all at one time."""
    count = len(queries)
    nothing = np.zeros(0, np.int64)
    return Requests(
        task="search",
        request=np.full(count, ABSENT, np.int32),
        user=np.full(count, STRANGER, np.int32),
        user_ids=np.full(count, "", dtype=object),
        session_ids=np.full(count, "", dtype=object),
        queries=np.array(queries, dtype=object),
        timestamps=np.full(count, timestamp, np.int64),
        history_start=np.zeros(count + 1, np.int64),
        history_product=nothing.astype(np.int32),
        history_kind=nothing.astype(np.int8),
        history_timestamp=nothing,
    )


def sample_requests(
    features: FeatureStore, task: Task, limit: int, seed: int, slice_code: int = TEST_SLICE
) -> Requests:
    """At most `limit` pages of one time slice that were asked for, drawn at random without repetition, in time order.

    A slice without pages of this kind, logged or presumed, is asked at its episodes instead: one request an episode, no
    session known.

    Args:
        features: the shop's features.
        task: which requests. limit: how many. seed: of the draw.
        slice_code: 0 towers, 1 rerank, 2 validation, 3 test.

    Raises:
        DataError: when the slice holds no request of this task.
    """
    is_search = task == "search"
    chosen = np.flatnonzero((features.request_slice == slice_code) & ((features.request_query >= 0) == is_search))
    from_pages = len(chosen) > 0
    if not from_pages:
        chosen = np.flatnonzero((features.example_slice == slice_code) & ((features.example_query >= 0) == is_search))
    if not len(chosen):
        raise DataError(
            f"the log holds no {task} request in time slice {slice_code}; expected at least one to judge by"
        )
    if len(chosen) > limit:
        chosen = np.random.default_rng(seed).choice(chosen, size=limit, replace=False)
    prefix = "request" if from_pages else "example"
    timestamps = getattr(features, f"{prefix}_timestamp")[chosen]
    order = np.lexsort((chosen, timestamps))
    chosen, timestamps = chosen[order], timestamps[order]
    user = getattr(features, f"{prefix}_user")[chosen]
    query = getattr(features, f"{prefix}_query")[chosen]
    end = getattr(features, f"{prefix}_history_end")[chosen].astype(np.int64)
    start = np.minimum(features.user_start[user], end)
    _, events = ragged_indices(start, end)
    nothing = np.full(len(chosen), "", dtype=object)
    return Requests(
        task=task,
        request=(chosen if from_pages else np.full(len(chosen), ABSENT)).astype(np.int32),
        user=user.astype(np.int32),
        user_ids=features.user_ids[user],
        session_ids=features.request_session[chosen] if from_pages else nothing,
        queries=features.queries[query] if is_search else nothing,
        timestamps=timestamps.astype(np.int64),
        history_start=np.concatenate([[0], np.cumsum(end - start)]),
        history_product=features.interaction_product[events],
        history_kind=features.interaction_kind[events],
        history_timestamp=features.interaction_timestamp[events],
    )


def allowed_products(requests: Requests, eligible: Mask) -> Mask:
    """Which products may answer each request, [R, N]: those in the index and, for a recommendation, new to the user.

    Use it on a chunk of requests; it is dense.
    """
    allowed = np.repeat(eligible[None, :], len(requests), axis=0)
    if requests.task == "recommendation":
        owner = np.repeat(np.arange(len(requests)), requests.history_lengths)
        allowed[owner, requests.history_product] = False
    return allowed


def candidates_only(rows: Rows, requests: Requests, eligible: Mask) -> Rows:
    """Drop from each ranking what may not answer its request, and close the gaps; the same rule for every system.

    Args:
        rows: [R, K] product rows, -1 for none. eligible: [N], products in the index.
    """
    keep = (rows >= 0) & eligible[np.maximum(rows, 0)]
    if requests.task == "recommendation":
        keep &= requests.seen().gains(rows) == 0
    return compact(rows, keep)
