"""The rankings that the release is judged beside, each from what was known before the snapshot."""

import numpy as np

from catalog.errors import DataError
from catalog.grades import scaled_grades
from catalog.progress import console
from catalog.splits import folded_query, judgments_for_training
from evaluation.arrays import ABSENT, Gains, Mask, Rows
from evaluation.baselines import Popularity, fill
from evaluation.catalogue import Catalogue
from evaluation.learned_grades import LearnedGrades
from evaluation.learned_ranker import LearnedRanker, Lists
from evaluation.line_up import LineUp
from evaluation.relevance import logged_relevance
from evaluation.requests import Requests, Task, candidates_only, sample_requests
from evaluation.words import RememberingAnalyzer
from pipelines.judging import Shop
from pipelines.snapshot import launched_rows, snapshot_time

NOTE = {
    "search": "Popularity, the neighbourhoods, the content profile and ALS know no query: they order as many of BM25's "
    "first matches as the release has candidates, at least 100. LightGBM reranks the same.",
    "recommendation": "BM25 asks for the title of the last product. LightGBM reranks what the others propose. Products "
    "that the shopper had to do with are not wanted and left out of every answer; a released model leaves out nothing.",
}
"""What the tables say about baselines in each task."""

_GRADE_WEIGHT = 1.25  # of an expected grade in LightGBM's score: what `rerank.relevance.weight` is by default

_RERANK = 1
_LEARNED_FROM = 4000  # Requests of the reranker's slice; 1,000 found 6 % less than all of the fashion catalogue's.


class Baselines:
    """Every baseline, fitted once for both tasks.

    LightGBM learns as the reranker does: from requests of the reranker's slice, with the scores of methods that were
    fitted to the towers' slice. The methods themselves are then fitted to everything before the snapshot. Grades are
    learned from the judgments that the reranker learns from, and added to LightGBM's score as they are to its own.

    Args:
        shop: what is judged on. seed: of the factors, the trees and the sample they learn from.
        stemmer: language of the words' stems, "" for none.
    """

    def __init__(self, shop: Shop, seed: int, stemmer: str = "english") -> None:
        self._shop, self._seed = shop, seed
        self._analyzer = RememberingAnalyzer(stemmer)
        self._catalogue = Catalogue.read(shop.data.products)
        self._now = self._line_up(shop.eligible, shop.snapshot)
        day = shop.features.slices.rerank[0]
        launched = np.zeros(len(shop.eligible), dtype=bool)
        launched[launched_rows(shop.features, day)] = True
        self._past = self._line_up(launched, snapshot_time(shop.features, day))
        self._graded = self._learn_grades()
        self._learned: dict[Task, LearnedRanker | None] = {}

    def rank(self, requests: Requests) -> dict[str, Rows]:
        """Every baseline's answers, [R, depth] each; LightGBM's only where the log holds something to learn from."""
        rankings, lists = self._now.rank(requests, self._shop.depth)
        if requests.task not in self._learned:
            self._learned[requests.task] = self._learn(requests.task)
        learned = self._learned[requests.task]
        if learned is not None:
            rankings[learned.name] = learned.order(lists, self._shop.depth, self._grades(lists, requests.task))
            if requests.task == "recommendation":
                rankings[learned.name] = fill(rankings[learned.name], rankings[Popularity.name])
        return {name: candidates_only(rows, requests, self._shop.eligible) for name, rows in rankings.items()}

    def _grades(self, lists: Lists, task: Task) -> Gains | None:
        if task == "recommendation" or self._graded is None:
            return None
        return _GRADE_WEIGHT * self._graded.grades(lists)

    def _line_up(self, eligible: Mask, before: int) -> LineUp:
        return LineUp(self._shop.features, self._catalogue, eligible, before, self._seed, self._analyzer)

    def _learn(self, task: Task) -> LearnedRanker | None:
        try:
            requests = sample_requests(self._shop.features, task, _LEARNED_FROM, self._seed, _RERANK)
            _, lists = self._past.rank(requests, self._shop.depth)
            wanted = logged_relevance(self._shop.features, requests, self._past.eligible)
            return LearnedRanker(lists, wanted.gains(lists.rows), self._seed)
        except DataError as error:
            console.print(f"evaluate: {error}; {LearnedRanker.name} is left out of {task}")
            return None

    def _learn_grades(self) -> LearnedGrades | None:
        """From the judgments that the reranker learns from; None where there are none of what BM25 finds."""
        judgments = self._shop.data.judgments
        if judgments is None:
            return None
        row_of = {product: row for row, product in enumerate(self._shop.product_ids)}
        rows = np.array([row_of.get(product, ABSENT) for product in judgments["product_id"].to_pylist()], np.int32)
        queries = np.array([folded_query(query) for query in judgments["query"].to_pylist()], object)
        mine = np.flatnonzero(judgments_for_training(queries.tolist()) & (rows >= 0))
        if not len(mine):
            return None
        asked, query = np.unique(queries[mine], return_inverse=True)
        mine, query = mine[order := np.argsort(query, kind="stable")], query[order]
        found, features = self._past.judged(asked.tolist(), query, rows[mine])
        grades = scaled_grades(judgments["grade"].to_numpy())[mine][found]
        return LearnedGrades(features, grades, self._seed) if len(found) else None
