"""The users whose profiles are most like a history, by cosine and by Pearson's correlation."""

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from scipy import sparse

from evaluation.arrays import Floats, Rows
from evaluation.profiles import request_profiles
from evaluation.requests import Requests

Similarity = Literal["cosine", "Pearson"]

_PAIRS_AT_ONCE = 4_000_000  # Pairs of a request and a user of one of its products: 48 MB, and some times that to sort.


class Neighbourhoods:
    """Similarities of requests to users; both kinds rest on the same inner products, which are computed once.

    cosine(a, b) = a·b / (|a| |b|). Pearson(a, b) is the same of the profiles less their means over all N products,
    those without an event counting as 0: in a log of clicks two people seldom rated what both know, so the correlation
    over common products alone (Resnick et al. 1994) is mostly undefined. Only positive similarities count; the user's
    own row is left out.

    Args:
        profiles: CSR [U, N], of `user_profiles`. weights: of each of KINDS, as in the profiles.
        neighbours: kept for each request.
    """

    def __init__(self, profiles: Any, weights: Floats, neighbours: int = 300) -> None:
        self.profiles = profiles
        self.neighbours = neighbours
        self._weights = weights
        self._by_product = profiles.T.tocsr()
        self._moments = _moments(profiles)
        self._last: tuple[Requests, dict[Similarity, Any]] | None = None

    def similarities(self, requests: Requests) -> dict[Similarity, Any]:
        """The nearest users of each request, CSR [R, U] of each kind; the last answer is kept for who asks it again."""
        if self._last is None or self._last[0] is not requests:
            asking = request_profiles(requests, self.profiles.shape[1], self._weights)
            bounds = pairwise(self._bounds(asking))
            parts = [self._nearest_of(asking[first:last], requests.user[first:last]) for first, last in bounds]
            cosine, pearson = (sparse.vstack(part, format="csr") for part in zip(*parts, strict=True))
            self._last = requests, {"cosine": cosine, "Pearson": pearson}
        return self._last[1]

    def _bounds(self, asking: Any) -> list[int]:
        """Where to cut the requests, so that a part has about so many pairs, or is one request."""
        users = np.diff(self._by_product.indptr)[asking.indices]
        owner = np.repeat(np.arange(asking.shape[0]), np.diff(asking.indptr))
        pairs = np.bincount(owner, users, asking.shape[0])
        block = (np.cumsum(pairs) - pairs) // _PAIRS_AT_ONCE
        return [0, *(1 + np.flatnonzero(np.diff(block))).tolist(), asking.shape[0]]

    def _nearest_of(self, asking: Any, user: Rows) -> tuple[Any, Any]:
        common = (asking @ self._by_product).tocoo()
        mine, theirs = _moments(asking), self._moments
        mean = mine[0][common.row] * theirs[0][common.col] / self.profiles.shape[1]
        cosine = _ratio(common.data, mine[1][common.row] * theirs[1][common.col])
        pearson = _ratio(common.data - mean, mine[2][common.row] * theirs[2][common.col])
        return self._nearest(common, cosine, user), self._nearest(common, pearson, user)

    def _nearest(self, common: Any, similarity: Floats, asker: Rows) -> Any:
        kept = (similarity > 0) & (asker[common.row] != common.col)
        request, user, similarity = common.row[kept], common.col[kept], similarity[kept]
        order = np.lexsort((user, -similarity, request))
        request, user, similarity = request[order], user[order], similarity[order]
        nearest = np.arange(len(request)) - np.searchsorted(request, request) < self.neighbours
        pairs = (request[nearest], user[nearest])
        return sparse.csr_matrix((similarity[nearest].astype(np.float32), pairs), common.shape)


def _ratio(together: Floats, squares: Floats) -> Floats:
    spread = np.sqrt(squares)
    return np.divide(together, spread, out=np.zeros(len(spread)), where=spread > 0)


def _moments(profiles: Any) -> tuple[Floats, Floats, Floats]:
    """Sum, squared length, and squared length less the mean of each row."""
    squares = np.asarray(profiles.multiply(profiles).sum(axis=1), np.float64).ravel()
    sums = np.asarray(profiles.sum(axis=1), np.float64).ravel()
    return sums, squares, squares - sums**2 / profiles.shape[1]
