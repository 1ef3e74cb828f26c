"""What was relevant to each request, sparse: from the log, or from people's judgments."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.feature_store import FeatureStore
from catalog.splits import folded_query
from evaluation.arrays import Gains, Ints, Mask, Rows, Strings, ragged_indices

if TYPE_CHECKING:
    from evaluation.requests import Requests


@dataclass(frozen=True)
class Relevance:
    """Relevant products of R requests with their gains, as sorted pairs.

    Args:
        start: int64 [R + 1]; request i has the pairs [start[i], start[i + 1]).
        product: int32, product rows, ascending within a request. gain: float32, above 0.
    """

    start: Ints
    product: Rows
    gain: Gains

    @classmethod
    def from_pairs(
        cls,
        requests: int,
        request: npt.NDArray[np.integer],
        product: npt.NDArray[np.integer],
        gain: npt.NDArray[np.floating] | None = None,
    ) -> Self:
        """From pairs in any order; of a pair named twice the greatest gain counts; gains of 0 or less are dropped."""
        weight = np.ones(len(request), np.float32) if gain is None else gain.astype(np.float32)
        positive = weight > 0
        request, product, weight = request[positive], product[positive], weight[positive]
        order = np.lexsort((-weight, product, request))
        request, product, weight = request[order], product[order], weight[order]
        first = np.ones(len(request), dtype=bool)
        first[1:] = (request[1:] != request[:-1]) | (product[1:] != product[:-1])
        counts = np.bincount(request[first], minlength=requests)
        return cls(np.concatenate([[0], np.cumsum(counts)]), product[first].astype(np.int32), weight[first])

    def __len__(self) -> int:
        return len(self.start) - 1

    def gains(self, rows: Rows) -> Gains:
        """The gain of each ranked product, [R, K] float32; 0 where it is irrelevant or absent (-1)."""
        if not len(self.product):
            return np.zeros(rows.shape, np.float32)
        stride = np.int64(max(int(self.product.max()), int(rows.max(initial=0))) + 1)
        keys = np.repeat(np.arange(len(self)), np.diff(self.start)) * stride + self.product
        wanted = np.arange(len(rows))[:, None] * stride + rows
        place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        found = (keys[place] == wanted) & (rows >= 0)
        return np.where(found, self.gain[place], np.float32(0))

    def counts(self, products: Mask | None = None) -> Ints:
        """How many relevant products each request has, [R]; only those in the mask [N] if one is given."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.start))
        return np.bincount(owner if products is None else owner[products[self.product]], minlength=len(self))

    def ideal(self, k: int) -> Gains:
        """The k greatest gains of each request in falling order, padded with 0, [R, k]."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.start))
        order = np.lexsort((-self.gain, owner))
        rank = np.arange(len(order)) - self.start[owner]
        result = np.zeros((len(self), k), np.float32)
        kept = rank < k
        result[owner[kept], rank[kept]] = self.gain[order][kept]
        return result

    def restrict(self, products: Mask) -> Self:
        """Without the products outside the mask [N]."""
        owner = np.repeat(np.arange(len(self)), np.diff(self.start))
        kept = products[self.product]
        return type(self).from_pairs(len(self), owner[kept], self.product[kept], self.gain[kept])

    def without(self, other: Self) -> Self:
        """Without the pairs of another relevance of the same requests."""
        stride = np.int64(max(self.product.max(initial=0), other.product.max(initial=0)) + 1)
        owner, named = (np.repeat(np.arange(len(self)), np.diff(pairs.start)) for pairs in (self, other))
        kept = ~np.isin(owner * stride + self.product, named * stride + other.product)
        return type(self).from_pairs(len(self), owner[kept], self.product[kept], self.gain[kept])


def logged_relevance(features: FeatureStore, requests: "Requests", eligible: Mask) -> Relevance:
    """What the users did, as relevance; gains are the weights of the kinds (by default click 1,
    cart 3, purchase 5).

    Search: what was clicked, put in the cart or purchased on the request's own page; without pages, the episodes of the
    same user, query and time. Recommendation: the products, new to the user, of the user's next episodes that followed
    no query, up to the end of the request's time slice. Products outside the index count for nobody.
    """
    if requests.task == "recommendation":
        request, product, gain = _next_episodes(features, requests)
    elif (requests.request >= 0).all():
        request, product, gain = _page_actions(features, requests)
    else:
        request, product, gain = _query_episodes(features, requests)
    return Relevance.from_pairs(len(requests), request, product, gain).restrict(eligible)


_Pairs = tuple[Ints, Rows, Gains]


def _page_actions(features: FeatureStore, requests: "Requests") -> _Pairs:
    start = features.impression_start
    owner, shown = ragged_indices(start[requests.request], start[requests.request + 1])
    gain = np.zeros(len(shown), np.float32)
    for kind in ("click", "cart", "purchase"):
        happened = getattr(features, f"impression_{kind}")[shown]
        gain = np.maximum(gain, happened * np.float32(features.kind_weights[kind]))
    return owner, features.impression_product[shown], gain


def _query_episodes(features: FeatureStore, requests: "Requests") -> _Pairs:
    query_of = {text: i for i, text in enumerate(features.queries.tolist())}
    query = np.array([query_of.get(text, -2) for text in requests.queries.tolist()])
    users = np.int64(len(features.user_ids) + 1)
    # Dense numbers of the pairs that occur: with a time beside them, those of all pairs would not fit in 64 bits.
    examples = features.example_query.astype(np.int64) * users + features.example_user
    _, dense = np.unique(np.concatenate([examples, query * users + requests.user]), return_inverse=True)
    return _episodes_between(
        features,
        np.flatnonzero(features.example_query >= 0),
        dense[: len(examples)],
        dense[len(examples) :],
        requests.timestamps,
        requests.timestamps + 1,
    )


def _next_episodes(features: FeatureStore, requests: "Requests") -> _Pairs:
    day = (requests.timestamps - features.day0) // 86_400
    slices = features.slices
    bounds = np.array([slices.towers[1], slices.rerank[1], slices.validation[1], slices.test[1]])
    end_day = bounds[np.minimum(np.searchsorted(bounds, day, side="right"), len(bounds) - 1)]
    return _episodes_between(
        features,
        np.flatnonzero(features.example_new & (features.example_query < 0)),
        features.example_user.astype(np.int64),
        requests.user.astype(np.int64),
        requests.timestamps,
        features.day0 + end_day * 86_400,
    )


def _episodes_between(
    features: FeatureStore, usable: Ints, example_key: Ints, request_key: Ints, since: Ints, until: Ints
) -> _Pairs:
    """Pairs of each request with the usable examples of the same key and since <= timestamp < until."""
    order = usable[np.lexsort((features.example_timestamp[usable], example_key[usable]))]
    # One number that sorts like (key, time): seconds since the first event take far fewer than 2^33.
    base = np.concatenate([features.example_timestamp[order], since]).min()
    span = np.int64(2**33)
    moments = example_key[order] * span + (features.example_timestamp[order] - base)
    first = np.searchsorted(moments, request_key * span + (since - base))
    last = np.searchsorted(moments, request_key * span + (until - base))
    owner, found = ragged_indices(first, last)
    example = order[found]
    gain = features.weights.astype(np.float32)[features.example_kind[example]]
    return owner, features.example_product[example], gain


def judged_relevance(requests: "Requests", judgments: pa.Table, product_ids: list[str], eligible: Mask) -> Relevance:
    """People's judgments of the requests' queries; gain = grade. Queries nobody judged have no relevant product.

    Case and the blanks around a query do not count, as where judgments are kept apart for training.

    Args:
        judgments: query, product_id, grade. product_ids: [N]. eligible: [N], products in the index.
    """
    row_of = {product_id: row for row, product_id in enumerate(product_ids)}
    by_query: dict[str, tuple[list[int], list[float]]] = {}
    columns = (judgments.column(name).to_pylist() for name in ("query", "product_id", "grade"))
    for query, product_id, grade in zip(*columns, strict=True):
        if product_id in row_of:
            rows, grades = by_query.setdefault(folded_query(query), ([], []))
            rows.append(row_of[product_id])
            grades.append(grade)
    judged = [by_query.get(folded_query(query), ([], [])) for query in requests.queries.tolist()]
    owner = np.repeat(np.arange(len(requests)), [len(rows) for rows, _ in judged])
    product = np.array([row for rows, _ in judged for row in rows], np.int32)
    grade = np.array([grade for _, grades in judged for grade in grades], np.float32)
    return Relevance.from_pairs(len(requests), owner, product, grade).restrict(eligible)


def asked_again(queries: Strings, known: Collection[str]) -> Mask:
    """Which queries, [R], are among the known ones, whatever the case and the blanks around them."""
    folded = {folded_query(query) for query in known}
    return np.array([folded_query(query) in folded for query in queries.tolist()], np.bool_)
