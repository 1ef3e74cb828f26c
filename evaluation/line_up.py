"""All baselines of one moment: fitted to what was known before it, ranked by the same rules."""

from collections.abc import Sequence

import numpy as np

from catalog.feature_store import FeatureStore
from catalog.splits import SECONDS_PER_DAY
from evaluation.arrays import ABSENT, Gains, Ints, Mask, Rows, compact, first_occurrences, top_rows
from evaluation.baselines import ItemToItem, Popularity, Scorer, fill, parts_of
from evaluation.bm25 import BM25
from evaluation.catalogue import Catalogue
from evaluation.content_profile import ContentProfile
from evaluation.learned_ranker import Lists
from evaluation.matrix_factors import MatrixFactors
from evaluation.neighbourhoods import Neighbourhoods
from evaluation.profiles import user_profiles
from evaluation.recent_popularity import RecentPopularity
from evaluation.requests import Requests, allowed_products, made_up_requests
from evaluation.user_to_user import UserToUser
from evaluation.word_lifts import WordLifts
from evaluation.words import Analyzer

_FROM_EACH = 60  # Candidates that each method proposes for a recommendation.

TEXT_FEATURES = 4
"""How many of the features, the last ones, say what a product is to the query, whoever asks."""


class LineUp:
    """The methods that a shop can have without training a network.

    Recommendations are ranked by each method's own score, and popularity fills what it leaves empty. Searches: BM25
    finds, and the methods that have no notion of a query order its first k matches; what they have no score for stays
    behind, in BM25's order.

    Args:
        features: of the shop.
        catalogue: its products.
        eligible: [N], products that may be answered.
        before: seconds since the epoch; later events are not looked at.
        seed: of the factors.
        analyzer: texts into words; English stems if None.
    """

    def __init__(
        self,
        features: FeatureStore,
        catalogue: Catalogue,
        eligible: Mask,
        before: int,
        seed: int = 0,
        analyzer: Analyzer | None = None,
    ) -> None:
        self.eligible = eligible
        self._before = before
        self._facts = _facts(features, catalogue, before)
        self._popularity = Popularity.fit(features, before, eligible)
        profiles = user_profiles(features, before, len(eligible))
        neighbourhoods = Neighbourhoods(profiles, features.weights)
        analyzer = analyzer or Analyzer()
        self._bm25 = BM25(catalogue.texts, eligible, catalogue.titles, analyzer=analyzer)
        self._lifts = WordLifts(features, catalogue, before, analyzer)
        self._scorers: tuple[Scorer, ...] = (
            self._popularity,
            RecentPopularity.fit(features, before, eligible),
            ItemToItem.fit(features, before, eligible),
            UserToUser(neighbourhoods, "cosine"),
            UserToUser(neighbourhoods, "Pearson"),
            ContentProfile(catalogue.texts, eligible, analyzer),
            MatrixFactors(profiles, features.weights, seed=seed),
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

    def judged(self, queries: Sequence[str], query: Ints, product: Rows) -> tuple[Ints, Gains]:
        """Of judged pairs that BM25 finds, which they are, [P], and what a grade is learned from, [P, TEXT_FEATURES].

        Args:
            queries: [Q]. query: [J] rising, places in it. product: [J] rows.
        """
        requests = made_up_requests(list(queries), self._before)
        pairs, features, first = [], [], 0
        for part in parts_of(requests, len(self.eligible)):
            scores = np.where(self.eligible, self._bm25.score(part), -np.inf)
            start, end = np.searchsorted(query, [first, first + len(part)])
            asked = query[start:end] - first
            found = np.isfinite(scores[asked, product[start:end]])
            pairs.append(start + np.flatnonzero(found))
            features.append(self._text_features(part, scores, asked[found], product[start:end][found]))
            first += len(part)
        return np.concatenate(pairs), np.concatenate(features)

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
        return rankings, Lists(candidates, self._features(requests, scores, candidates))

    def _features(self, requests: Requests, scores: dict[str, Gains], rows: Rows) -> Gains:
        """[R, C, F]: log popularity, each method's score as a share of the request's best, `_facts`, TEXT_FEATURES."""
        taken = {name: _taken(values, rows) for name, values in scores.items()}
        popularity = [_log(taken[name]) for name in (Popularity.name, RecentPopularity.name)]
        shares = [_share(taken[name], _best(values)[:, None]) for name, values in scores.items() if name != BM25.name]
        facts = self._facts[rows]
        request, place = np.nonzero(rows >= 0)
        text = np.full((*rows.shape, TEXT_FEATURES), np.nan, np.float32)
        text[request, place] = self._text_features(requests, scores[BM25.name], request, rows[request, place])
        columns = np.concatenate([np.stack([*popularity, *shares], axis=2), facts, text], axis=2)
        known = np.isfinite(columns) & (rows >= 0)[:, :, None]
        return np.where(known, columns, np.nan).astype(np.float32)

    def _text_features(self, requests: Requests, scores: Gains, request: Ints, product: Rows) -> Gains:
        """[P, TEXT_FEATURES] of pairs: BM25's score, as a share of the request's best and as it is, and `WordLifts`.

        Args:
            scores: [R, N] of BM25. request, product: [P].
        """
        own = scores[request, product]
        share = _share(own, _best(scores)[request])
        lifts = self._lifts.score(requests.queries, request, product)
        return np.concatenate([np.stack([share, own], axis=1), lifts], axis=1)


def _reorder(rows: Rows, scores: Gains) -> Rows:
    """The products of each ranking by falling score; those that tie, or have none, in the order they came in."""
    order = np.argsort(-np.where(rows >= 0, _taken(scores, rows), -np.inf), axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    return compact(ordered, ordered != ABSENT)


def _facts(features: FeatureStore, catalogue: Catalogue, before: int) -> Gains:
    """[N, 4]: price, ratings, rating and log(1 + days since the launch)."""
    age = np.log1p(np.maximum((before - features.day0) / SECONDS_PER_DAY - features.launched, 0))
    return np.concatenate([catalogue.numbers, age[:, None].astype(np.float32)], axis=1)


def _log(values: Gains) -> Gains:
    return np.log(values, out=np.full(values.shape, np.nan, np.float32), where=values > 0)


def _best(scores: Gains) -> Gains:
    """The greatest score of each request, [R]."""
    return scores.max(axis=1, initial=-np.inf)


def _share(values: Gains, best: Gains) -> Gains:
    best = np.broadcast_to(best, values.shape)
    return np.divide(values, best, out=np.full(values.shape, np.nan, np.float32), where=best > 0)


def _taken(scores: Gains, rows: Rows) -> Gains:
    return np.take_along_axis(scores, np.maximum(rows, 0).astype(np.int64), axis=1)
