"""All baselines of one moment: fitted to what was known before it, ranked by the same rules."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from evaluation.arrays import ABSENT, Gains, Mask, Rows, compact, first_occurrences, top_rows
from evaluation.baselines import ItemToItem, Popularity, Scorer, fill, parts_of
from evaluation.bm25 import BM25
from evaluation.content_profile import ContentProfile
from evaluation.learned_ranker import Lists
from evaluation.matrix_factors import MatrixFactors
from evaluation.profiles import user_profiles
from evaluation.recent_popularity import RecentPopularity
from evaluation.requests import Requests, allowed_products
from evaluation.user_to_user import UserToUser
from evaluation.words import Analyzer

_FROM_EACH = 60  # Candidates that each method proposes for a recommendation.


class LineUp:
    """The methods that a shop can have without training a network.

    Recommendations are ranked by each method's own score, and popularity fills what it leaves empty. Searches: BM25
    finds, and the methods that have no notion of a query order its first k matches; what they have no score for stays
    behind, in BM25's order.

    Args:
        features: of the shop.
        texts, titles: [N], all a product's text, and its title.
        prices: [N], NaN where unknown.
        eligible: [N], products that may be answered.
        before: seconds since the epoch; later events are not looked at.
        seed: of the factors.
        analyzer: texts into words; English stems if None.
    """

    def __init__(
        self,
        features: FeatureStore,
        texts: Sequence[str],
        titles: Sequence[str],
        prices: npt.NDArray[np.floating],
        eligible: Mask,
        before: int,
        seed: int = 0,
        analyzer: Analyzer | None = None,
    ) -> None:
        self.eligible = eligible
        self._prices = np.asarray(prices, np.float32)
        self._popularity = Popularity.fit(features, before, eligible)
        profiles = user_profiles(features, before, len(eligible))
        self._bm25 = BM25(texts, eligible, titles, analyzer=analyzer)
        self._scorers: tuple[Scorer, ...] = (
            self._popularity,
            RecentPopularity.fit(features, before, eligible),
            ItemToItem.fit(features, before, eligible),
            UserToUser(profiles, "cosine"),
            UserToUser(profiles, "Pearson"),
            ContentProfile(texts, eligible, analyzer),
            MatrixFactors(profiles, seed=seed),
            self._bm25,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The methods, in the order of the tables."""
        return tuple(scorer.name for scorer in self._scorers)

    def rank(self, requests: Requests, k: int) -> tuple[dict[str, Rows], Lists]:
        """Every method's ranking [R, k], padded with -1, and candidates with features for a learned ranker."""
        # Without requests one empty part gives every array its shape.
        parts = [self._rank_part(part, k) for part in parts_of(requests, len(self.eligible)) or [requests]]
        popular = self._popularity.rank(requests, k)
        rankings = {name: np.concatenate([rows[name] for rows, _ in parts]) for name in self.names}
        if requests.task == "recommendation":
            rankings = {name: fill(rows, popular) for name, rows in rankings.items()}
        return rankings, Lists(
            np.concatenate([lists.rows for _, lists in parts]), np.concatenate([lists.features for _, lists in parts])
        )

    def _rank_part(self, requests: Requests, k: int) -> tuple[dict[str, Rows], Lists]:
        allowed = allowed_products(requests, self.eligible)
        scores = {scorer.name: np.where(allowed, scorer.score(requests), -np.inf) for scorer in self._scorers}
        if requests.task == "search":
            found = top_rows(scores[BM25.name], k)
            rankings = {name: _reorder(found, values) for name, values in scores.items()}
            candidates = found
        else:
            rankings = {name: top_rows(values, k) for name, values in scores.items()}
            proposed = np.concatenate([rows[:, :_FROM_EACH] for rows in rankings.values()], axis=1)
            candidates = compact(proposed, first_occurrences(proposed))
        return rankings, Lists(candidates, self._features(scores, candidates))

    def _features(self, scores: dict[str, Gains], rows: Rows) -> Gains:
        """[R, C, F]: each method's score as a share of the request's best, log popularity, BM25's score, the price."""
        taken = {name: _taken(values, rows) for name, values in scores.items()}
        best = {name: values.max(axis=1, initial=-np.inf)[:, None] for name, values in scores.items()}
        shares = [
            np.divide(values, best[name], out=np.full(values.shape, np.nan), where=best[name] > 0)
            for name, values in taken.items()
        ]
        popularity = [_log(taken[name]) for name in (Popularity.name, RecentPopularity.name)]
        price = np.where(rows >= 0, self._prices[rows], np.nan)
        columns = np.stack([*shares, *popularity, taken[BM25.name], price], axis=2)
        return np.where(np.isfinite(columns), columns, np.nan).astype(np.float32)


def _reorder(rows: Rows, scores: Gains) -> Rows:
    """The products of each ranking by falling score; those that tie, or have none, in the order they came in."""
    order = np.argsort(-np.where(rows >= 0, _taken(scores, rows), -np.inf), axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    return compact(ordered, ordered != ABSENT)


def _log(values: Gains) -> Gains:
    return np.log(values, out=np.full(values.shape, np.nan, np.float32), where=values > 0)


def _taken(scores: Gains, rows: Rows) -> Gains:
    return np.take_along_axis(scores, np.maximum(rows, 0).astype(np.int64), axis=1)
