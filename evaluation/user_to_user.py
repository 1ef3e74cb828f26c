"""What similar people had to do with: neighbourhoods of users by cosine or by Pearson's correlation."""

from typing import Any, Literal

import numpy as np
from scipy import sparse

from catalog.feature_store import FeatureStore
from evaluation.arrays import Gains
from evaluation.profiles import request_profiles, user_profiles
from evaluation.requests import Requests

Similarity = Literal["cosine", "Pearson"]


class UserToUser:
    """Products of the users whose profiles are most like the history: sum of similarity x what the neighbour did.

    cosine(a, b) = a·b / (|a| |b|). Pearson(a, b) is the same of the profiles less their means over all N products,
    those without an event counting as 0: in a log of clicks two people seldom rated what both know, so the correlation
    over common products alone (Resnick et al. 1994) is mostly undefined. Only positive similarities count; the user's
    own row is left out.

    Args:
        profiles: CSR [U, N], of `user_profiles`.
        similarity: see above.
        neighbours: kept for each request.
    """

    def __init__(self, profiles: Any, similarity: Similarity = "cosine", neighbours: int = 300) -> None:
        self.name = f"user-to-user, {similarity}"
        self.neighbours = neighbours
        self._profiles = profiles
        self._by_product = profiles.T.tocsr()
        self._centred = similarity == "Pearson"

    @classmethod
    def fit(cls, features: FeatureStore, before: int, products: int, similarity: Similarity) -> "UserToUser":
        """From the interactions before a moment (seconds since the epoch)."""
        return cls(user_profiles(features, before, products), similarity)

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`."""
        scores = (self.similarities(requests) @ self._profiles).toarray()
        return np.where(scores > 0, scores, -np.inf).astype(np.float32)

    def similarities(self, requests: Requests) -> Any:
        """The nearest users of each request, CSR [R, U]."""
        products = self._profiles.shape[1]
        asking = request_profiles(requests, products)
        common = (asking @ self._by_product).tocoo()
        mine, theirs = self._moments(asking), self._moments(self._profiles)
        together = common.data - mine[0][common.row] * theirs[0][common.col] / products
        spread = np.sqrt(mine[1][common.row] * theirs[1][common.col])
        similarity = np.divide(together, spread, out=np.zeros(len(spread)), where=spread > 0)
        kept = (similarity > 0) & (requests.user[common.row] != common.col)
        request, user, similarity = common.row[kept], common.col[kept], similarity[kept]
        order = np.lexsort((user, -similarity, request))
        request, user, similarity = request[order], user[order], similarity[order]
        nearest = np.arange(len(request)) - np.searchsorted(request, request) < self.neighbours
        pairs = (request[nearest], user[nearest])
        return sparse.csr_matrix((similarity[nearest].astype(np.float32), pairs), common.shape)

    def _moments(self, profiles: Any) -> tuple[np.ndarray, np.ndarray]:
        """Sum (0 if nothing is centred) and squared length after centring of each row."""
        squares = np.asarray(profiles.multiply(profiles).sum(axis=1), np.float64).ravel()
        if not self._centred:
            return np.zeros_like(squares), squares
        sums = np.asarray(profiles.sum(axis=1), np.float64).ravel()
        return sums, squares - sums**2 / profiles.shape[1]
