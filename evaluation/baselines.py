"""What a shop has without Tandem: popularity and item-to-item (BM25 has its own file), ranked by the same rules."""

from itertools import pairwise
from typing import Protocol

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from evaluation.arrays import Floats, Gains, Ints, Mask, Rows, compact, first_occurrences, ragged_indices, top_rows
from evaluation.requests import Requests, allowed_products

_PAIRS_AT_ONCE = 4_000_000  # Co-occurring pairs sorted at a time, 32 MB.
_MOST_OF_A_USER = 1000  # Distinct products of one user that are counted: a robot's 50,000 would be 2.5e9 pairs.
_CHUNK = 64  # requests at once, at most
_CELLS = 6_400_000  # requests times products at once: 51 MB of doubles


class Ranker(Protocol):
    """Ranks the index for requests.

    Attributes:
        name: what the tables call it.
    """

    name: str

    def rank(self, requests: Requests, k: int) -> Rows:
        """The k best products of each request, best first, [R, k] int32, padded with -1.

        Only products in the index; for a recommendation only those that are new to the user.
        """
        ...


class Scorer(Protocol):
    """Scores every product for a few requests; what it does not score it has nothing to say about.

    Attributes:
        name: what the tables call it.
    """

    name: str

    def score(self, requests: Requests) -> Gains:
        """How well each product answers each request, [R, N] float32, -inf for nothing to say; dense, so for chunks."""
        ...


class Popularity:
    """The most popular products, the same for every request; a search query is ignored.

    Args:
        popularity: [N], any number that grows with popularity.
        eligible: [N], products in the index.
    """

    name = "popularity"

    def __init__(self, popularity: npt.NDArray[np.floating] | npt.NDArray[np.integer], eligible: Mask) -> None:
        self.popularity = np.asarray(popularity, np.float64)
        self.eligible = eligible

    @classmethod
    def fit(cls, features: FeatureStore, before: int, eligible: Mask) -> "Popularity":
        """Sum of the kinds' weights of the interactions before a moment (seconds since the epoch)."""
        known = features.interaction_timestamp < before
        weights = features.weights[features.interaction_kind[known]]
        return cls(np.bincount(features.interaction_product[known], weights, len(eligible)), eligible)

    def score(self, requests: Requests) -> Gains:
        """See `Scorer`; products that nobody had to do with have no score."""
        known = np.where(self.popularity > 0, self.popularity, -np.inf).astype(np.float32)
        return np.repeat(known[None, :], len(requests), axis=0)

    def rank(self, requests: Requests, k: int) -> Rows:
        """See `Ranker`."""
        # Every history may hide some of the first ones, so take as many more as the longest has.
        longest = int(requests.history_lengths.max(initial=0)) if requests.task == "recommendation" else 0
        spare = min(longest, len(self.eligible))
        best = top_rows(np.where(self.eligible, self.popularity, -np.inf)[None, :], k + spare)
        if requests.task == "search":
            return np.repeat(best, len(requests), axis=0)
        parts = []
        for part in parts_of(requests, k + spare):
            rows = np.repeat(best, len(part), axis=0)
            parts.append(compact(rows, (part.seen().gains(rows) == 0) & (rows >= 0))[:, :k])
        return np.concatenate(parts or [np.zeros((0, k), np.int32)])


class ItemToItem:
    """Products of the same people's histories: sum over the user's last items of the cosine of co-occurrence.

    cosine(i, j) = |users of both| / sqrt(|users of i| |users of j|) (Sarwar et al. 2001; Linden et al. 2003). An item
    of the history counts once, `recency` to the power of how many newer items there are. A search query is ignored.
    Where the neighbours run out, and for strangers, popularity fills the list.

    Args:
        user, product: [pairs] who had to do with what: see `cooccurrence_cosine`.
        eligible: [N], products in the index.
        popularity: fills the rest.
        neighbours: kept for each product. last: items of the history that count. recency: see above.
    """

    name = "item-to-item"

    def __init__(
        self,
        user: npt.NDArray[np.integer],
        product: npt.NDArray[np.integer],
        eligible: Mask,
        popularity: Popularity,
        neighbours: int = 200,
        last: int = 20,
        recency: float = 0.9,
    ) -> None:
        self.eligible = eligible
        self.popularity = popularity
        self.last = last
        self.recency = recency
        self.start, self.neighbour, self.cosine = cooccurrence_cosine(user, product, len(eligible), neighbours)

    @classmethod
    def fit(cls, features: FeatureStore, before: int, eligible: Mask) -> "ItemToItem":
        """From the interactions before a moment (seconds since the epoch)."""
        known = features.interaction_timestamp < before
        return cls(
            features.interaction_user[known],
            features.interaction_product[known],
            eligible,
            Popularity.fit(features, before, eligible),
        )

    def rank(self, requests: Requests, k: int) -> Rows:
        """See `Ranker`."""
        parts = [self._rank_chunk(part, k) for part in parts_of(requests, len(self.eligible))]
        return fill(np.concatenate(parts or [np.zeros((0, k), np.int32)]), self.popularity.rank(requests, k))

    def score(self, requests: Requests) -> Gains:
        """See `Scorer`."""
        products = len(self.eligible)
        request, item, weight = recent_items(requests, self.last, self.recency)
        owner, pair = ragged_indices(self.start[item], self.start[item + 1])
        cell = request[owner] * np.int64(products) + self.neighbour[pair]
        scores = np.bincount(cell, weight[owner] * self.cosine[pair], len(requests) * products)
        scores = scores.reshape(len(requests), products)
        return np.where(scores > 0, scores, -np.inf).astype(np.float32)

    def _rank_chunk(self, requests: Requests, k: int) -> Rows:
        return top_rows(np.where(allowed_products(requests, self.eligible), self.score(requests), -np.inf), k)


def recent_items(requests: Requests, last: int, recency: float) -> tuple[Ints, Rows, Floats]:
    """The last distinct products of each history, the newest weighing 1 and each older one `recency` times the next.

    Returns:
        request int64, item int32 and weight float64, one entry a request and product.
    """
    # A product often has several events in a row (view, cart, purchase), so look further back than `last` events.
    items, _, _ = requests.last_events(4 * last)
    newest_first = items[:, ::-1]
    distinct = first_occurrences(newest_first)
    age = np.cumsum(distinct, axis=1) - 1
    request, place = np.nonzero(distinct & (age < last))
    return request, newest_first[request, place], np.power(float(recency), age[request, place])


def cooccurrence_cosine(
    user: npt.NDArray[np.integer], product: npt.NDArray[np.integer], products: int, neighbours: int
) -> tuple[Ints, Rows, Gains]:
    """Each product's nearest neighbours by cosine of the sets of users, sparse.

    Args:
        user, product: [pairs], a user's in order of time; repetitions count once, and of a user's distinct products the
            latest thousand. products: N. neighbours: kept a product.

    Returns:
        start int64 [N + 1], neighbour int32 and cosine float32: product i has the neighbours [start[i], start[i + 1]).
    """
    users = int(user.max(initial=-1)) + 1
    by_user = _latest(user.astype(np.int64) * products + product, products)
    user_of, product_of = by_user // products, by_user % products
    user_start = np.searchsorted(user_of, np.arange(users + 1))
    popularity = np.bincount(product_of, minlength=products)
    order = np.argsort(product_of, kind="stable")
    # Pairs (product, other product of one of its users), in blocks of products that together have so many.
    other_count = np.diff(user_start)[user_of[order]]
    work = np.concatenate([[0], np.cumsum(np.bincount(product_of[order], other_count, products))])
    blocks = np.searchsorted(work, np.arange(0, max(int(work[-1]), 1) + _PAIRS_AT_ONCE, _PAIRS_AT_ONCE))
    pair_start = np.concatenate([[0], np.cumsum(popularity)])
    parts = []
    for first, last in pairwise(blocks.tolist()):
        mine = order[pair_start[first] : pair_start[min(last, products)]]
        owner, other = ragged_indices(user_start[user_of[mine]], user_start[user_of[mine] + 1])
        keys, both = np.unique(product_of[mine][owner] * np.int64(products) + product_of[other], return_counts=True)
        parts.append(_nearest(keys // products, keys % products, both, popularity, neighbours))
    item, neighbour, cosine = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    start = np.searchsorted(item, np.arange(products + 1))
    return start.astype(np.int64), neighbour.astype(np.int32), cosine.astype(np.float32)


def _latest(pairs: Ints, products: int) -> Ints:
    """Distinct pairs (user x products + product), rising: of each user the last ones."""
    distinct, age = np.unique(pairs[::-1], return_index=True)
    user = distinct // products
    order = np.lexsort((age, user))
    newer = np.arange(len(order)) - np.searchsorted(user, user)
    return np.sort(distinct[order[newer < _MOST_OF_A_USER]])


def _nearest(item: Ints, other: Ints, both: Ints, popularity: Ints, neighbours: int) -> tuple[Ints, Ints, Floats]:
    different = item != other
    item, other, both = item[different], other[different], both[different]
    cosine = both / np.sqrt(popularity[item] * popularity[other])
    order = np.lexsort((other, -cosine, item))
    item, other, cosine = item[order], other[order], cosine[order]
    rank = np.arange(len(item)) - np.searchsorted(item, item)
    kept = rank < neighbours
    return item[kept], other[kept], cosine[kept]


def fill(rows: Rows, rest: Rows) -> Rows:
    """Fill the empty places at the end of each ranking with another's products that it does not hold yet.

    Args:
        rows, rest: [R, k].
    """
    joined = np.concatenate([rows, rest], axis=1)
    return compact(joined, first_occurrences(joined))[:, : rows.shape[1]]


def parts_of(requests: Requests, width: int) -> list[Requests]:
    """The requests in chunks that dense arrays fit in memory for.

    Args:
        width: columns of such an array: products, as a rule.
    """
    size = max(1, min(_CHUNK, _CELLS // max(width, 1)))
    return [requests.select(np.arange(at, min(at + size, len(requests)))) for at in range(0, len(requests), size)]
