"""The rankings that the release is judged beside, each from what was known before the snapshot."""

import numpy as np

from catalog.errors import DataError
from catalog.progress import console
from catalog.schema import product_texts
from evaluation.arrays import Mask, Rows
from evaluation.baselines import Popularity, fill
from evaluation.learned_ranker import LearnedRanker
from evaluation.line_up import LineUp
from evaluation.relevance import logged_relevance
from evaluation.requests import Requests, Task, candidates_only, sample_requests
from evaluation.words import RememberingAnalyzer
from pipelines.judging import DEPTH, Shop
from pipelines.snapshot import launched_rows, snapshot_time

NOTE = {
    "search": "Popularity, the neighbourhoods, the content profile and ALS know no query: they order BM25's first "
    f"{DEPTH} matches. LightGBM reranks the same.",
    "recommendation": "BM25 asks for the title of the last product. LightGBM reranks what the others propose. Products "
    "that the shopper had to do with are not wanted and left out of every answer; a released model leaves out nothing.",
}
"""What the tables say about baselines in each task."""

_RERANK = 1
_LEARNED_FROM = 1000  # Requests of the reranker's slice; twice as many took twice the time and ranked no better.


class Baselines:
    """Every baseline, fitted once for both tasks.

    LightGBM learns as the reranker does: from requests of the reranker's slice, with the scores of methods that were
    fitted to the towers' slice. The methods themselves are then fitted to everything before the snapshot.

    Args:
        shop: what is judged on. seed: of the factors, the trees and the sample they learn from.
    """

    def __init__(self, shop: Shop, seed: int) -> None:
        self._shop, self._seed = shop, seed
        self._analyzer = RememberingAnalyzer()
        self._now = self._line_up(shop.eligible, shop.snapshot)
        day = shop.features.slices.rerank[0]
        launched = np.zeros(len(shop.eligible), dtype=bool)
        launched[launched_rows(shop.features, day)] = True
        self._past = self._line_up(launched, snapshot_time(shop.features, day))
        self._learned: dict[Task, LearnedRanker | None] = {}

    def rank(self, requests: Requests) -> dict[str, Rows]:
        """Every baseline's answers, [R, DEPTH] each; LightGBM's only where the log holds something to learn from."""
        rankings, lists = self._now.rank(requests, DEPTH)
        if requests.task not in self._learned:
            self._learned[requests.task] = self._learn(requests.task)
        learned = self._learned[requests.task]
        if learned is not None:
            rankings[learned.name] = learned.order(lists, DEPTH)
            if requests.task == "recommendation":
                rankings[learned.name] = fill(rankings[learned.name], rankings[Popularity.name])
        return {name: candidates_only(rows, requests, self._shop.eligible) for name, rows in rankings.items()}

    def _line_up(self, eligible: Mask, before: int) -> LineUp:
        products = self._shop.data.products
        return LineUp(
            self._shop.features,
            product_texts(products),
            products.column("title").to_pylist(),
            products.column("price").to_numpy(),
            eligible,
            before,
            self._seed,
            self._analyzer,
        )

    def _learn(self, task: Task) -> LearnedRanker | None:
        try:
            requests = sample_requests(self._shop.features, task, _LEARNED_FROM, self._seed, _RERANK)
            _, lists = self._past.rank(requests, DEPTH)
            wanted = logged_relevance(self._shop.features, requests, self._past.eligible)
            return LearnedRanker(lists, wanted.gains(lists.rows), self._seed)
        except DataError as error:
            console.print(f"evaluate: {error}; {LearnedRanker.name} is left out of {task}")
            return None
