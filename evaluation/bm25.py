"""BM25, the lexical baseline: stemmed, over every text field that the towers read."""

import logging
from collections.abc import Sequence

import bm25s
import numpy as np

from evaluation.arrays import ABSENT, Gains, Ints, Mask, Rows, Strings, compact
from evaluation.baselines import Ranker, fill, parts_of
from evaluation.requests import Requests
from evaluation.words import Analyzer

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets itself to DEBUG when it is imported


class BM25:
    """BM25 (Robertson and Zaragoza 2009) over the products' texts.

    A search is scored by its query. A recommendation has no query: the title of the user's last item takes its place.
    Products that share no word with the query are not returned; `fallback` fills the rest if given.

    Args:
        texts: [N], all a product's text: `catalog.schema.product_texts`.
        eligible: [N], products in the index; only their words are counted.
        titles: [N], the queries of recommendations; None leaves those unanswered (but for the fallback).
        fallback: fills what BM25 leaves empty.
        analyzer: texts into words; English stems if None.
        k1, b: saturation and length normalisation; Lucene's defaults.
    """

    name = "BM25"

    def __init__(
        self,
        texts: Sequence[str],
        eligible: Mask,
        titles: Sequence[str] | None = None,
        fallback: Ranker | None = None,
        analyzer: Analyzer | None = None,
        k1: float = 1.2,
        b: float = 0.75,
    ) -> None:
        self.titles = titles
        self.fallback = fallback
        self.analyzer = analyzer or Analyzer()
        self.rows = np.flatnonzero(eligible).astype(np.int32)
        self._products = len(eligible)
        self._word_ids: dict[str, int] = {}
        corpus = [
            [self._word_ids.setdefault(word, len(self._word_ids)) for word in words]
            for words in self.analyzer(texts[row] for row in self.rows.tolist())
        ]
        self._index = bm25s.BM25(k1=k1, b=b, method="lucene")
        if self._word_ids:
            self._index.index((corpus, dict(self._word_ids)), show_progress=False)

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`; products that share no word with the query have no score."""
        result = np.full((len(requests), self._products), -np.inf, np.float32)
        for request, words in enumerate(self.analyzer(self._queries(requests).tolist())):
            scores = self._scores(words)
            result[request, self.rows] = np.where(scores > 0, scores, -np.inf)
        return result

    def rank(self, requests: Requests, k: int) -> Rows:
        """See `evaluation.baselines.Ranker`."""
        parts = [requests]
        # A history may hide the first answers, so take as many more as the longest has.
        spare = 0
        if requests.task == "recommendation":
            spare = min(int(requests.history_lengths.max(initial=0)), self._products)
            parts = parts_of(requests, k + spare)
        found = [self._rank_part(part, k, spare) for part in parts]
        rows = np.concatenate(found or [np.zeros((0, k), np.int32)])
        return rows if self.fallback is None else fill(rows, self.fallback.rank(requests, k))

    def _rank_part(self, requests: Requests, k: int, spare: int) -> Rows:
        unique, inverse = np.unique(self._queries(requests), return_inverse=True)
        answers = [self._search(words, k + spare) for words in self.analyzer(unique.tolist())]
        rows = np.stack(answers)[inverse] if answers else np.zeros((0, k), np.int32)
        if requests.task == "recommendation":
            rows = compact(rows, (rows >= 0) & (requests.seen().gains(rows) == 0))
        return rows[:, :k]

    def _queries(self, requests: Requests) -> Strings:
        if requests.task == "search":
            return requests.queries
        last, _, _ = requests.last_events(1)
        titles = self.titles
        return np.array([titles[row] if titles is not None and row >= 0 else "" for row in last[:, 0].tolist()], object)

    def _search(self, words: list[str], k: int) -> Rows:
        result = np.full(k, ABSENT, np.int32)
        best = _best_positive(self._scores(words), k)
        result[: len(best)] = self.rows[best]
        return result

    def _scores(self, words: list[str]) -> Gains:
        known = [self._word_ids[word] for word in words if word in self._word_ids]
        scores: Gains = self._index.get_scores_from_ids(known) if known else np.zeros(len(self.rows), np.float32)
        return scores


def _best_positive(scores: np.ndarray, k: int) -> Ints:
    found = np.flatnonzero(scores > 0)
    if len(found) > k:
        threshold = np.partition(scores[found], len(found) - k)[len(found) - k]
        found = found[scores[found] >= threshold]
    return found[np.argsort(-scores[found], kind="stable")[:k]]
