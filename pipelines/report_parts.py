"""The chapters of the report, each from what was judged."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.splits import judgments_for_training
from evaluation.aligned_truth import AlignedTruth
from evaluation.answers import Answer, best_and_worst, make_answer
from evaluation.arrays import Mask, Rows
from evaluation.boards import (
    Board,
    Curve,
    PlainTable,
    SliceTable,
    make_board,
    make_slice_table,
    recall_curve,
    sliced_curve,
    strongest_baselines,
)
from evaluation.cold_start import ColdRow, cold_claims, cold_products, cold_rows, cold_table
from evaluation.glossary import label
from evaluation.histories import history_claims, history_table
from evaluation.languages import language_claims, language_table
from evaluation.relevance import asked_again, logged_relevance
from evaluation.report import Claim
from evaluation.requests import Requests, Task
from evaluation.scores import Scores, score_rankings
from evaluation.slices import history_length_slices, product_slices, request_slices
from evaluation.taught_queries import taught_table
from evaluation.truth_scores import ORACLE, RECOMMENDATION_METRICS, SEARCH_METRICS, grades_of, score_against_truth
from pipelines.baselines import NOTE
from pipelines.counted_once import counted_once
from pipelines.judged_part import judged_board
from pipelines.judging import OURS, RETRIEVAL, ROLES, Shop

Block = Board | SliceTable | Curve
_HEADLINE = {"search": SEARCH_METRICS, "recommendation": RECOMMENDATION_METRICS}
_DRAWN = 5  # Baselines in a plot of recall; more lines could not be told apart.
_POPULARITY = "popularity"
_BY_HISTORY = (_POPULARITY, "item-to-item")
_LAST = 3  # Products of a history that are named beside an answer.
_LOGGED = (
    "recall@10", "recall@100", "precision@10", "f1@10", "hit_rate@10", "mrr", "map@10", "ndcg@10",
)  # fmt: skip


class TaskReport:
    """All about one task: its requests, every system's rankings, and their scores.

    Args:
        shop: what is judged on.
        truth: of a simulated shop; None for a real one.
        query_facts: the simulator's facts about each search's query, [R] rows.
        requests: of the test slice.
        rankings: system -> rows, of ours and of the baselines.
        masked: "nothing masked", "without <modality>" -> rows of exact retrieval; empty leaves the table out.
        seed: of the bootstrap.
    """

    def __init__(
        self,
        shop: Shop,
        truth: AlignedTruth | None,
        query_facts: pa.Table | None,
        requests: Requests,
        rankings: dict[str, Rows],
        masked: dict[str, Rows],
        seed: int,
    ) -> None:
        self.shop, self.requests, self.rankings = shop, requests, dict(rankings)
        self._masked, self._seed = masked, seed
        self._roles = ROLES | {name: "baseline" for name in rankings if name not in ROLES}
        self._slices = request_slices(requests, query_facts)
        parts = product_slices(shop.features, shop.data.products)
        self.true: Scores | None = None
        self._cold: list[ColdRow] = []
        self._truth = truth
        if truth is not None:
            judged = score_against_truth(truth, requests, rankings | masked, shop.eligible, parts)
            self.true = judged.scores
            groups = cold_products(shop.features, shop.snapshot)
            self._cold = cold_rows(rankings, judged.wanted, judged.wanted_grades, groups, requests.user, seed)
            self.rankings[ORACLE] = judged.oracle
        relevance = logged_relevance(shop.features, requests, shop.eligible)
        self.logged = score_rankings(self.rankings | masked, relevance, shop.eligible, (10, 100), product_slices=parts)

    @property
    def task(self) -> Task:
        """Search or recommendation."""
        return self.requests.task

    @property
    def scores(self) -> Scores:
        """Against the truth where there is one, else against the log."""
        return self.logged if self.true is None else self.true

    @property
    def metrics(self) -> tuple[str, ...]:
        """Metrics of the headline table, the most telling first."""
        return _LOGGED if self.true is None else _HEADLINE[self.task]

    @cached_property
    def headline(self) -> list[Board]:
        """Every system beside the oracle: against the truth, and against what was clicked."""
        boards = []
        with_oracle = self._roles | ({ORACLE: "oracle"} if ORACLE in self.rankings else {})
        if self.true is not None:
            key, title = f"{self.task}_truth", "against the truth"
            boards.append(self._board(self.true, with_oracle, self.metrics, key, title, NOTE[self.task]))
        note = "Relevant is what was clicked, put in the cart or bought; clicks reward whoever wrote the log."
        boards.append(self._board(self.logged, with_oracle, _LOGGED, f"{self.task}_log", "against the log", note))
        return boards

    def judged(self) -> Board | None:
        """Search against people's graded judgments, where the shop has any for these queries."""
        return judged_board(self.shop, self.requests, self.rankings, self._roles, self._seed)

    def counted_once(self) -> Board | None:
        """The headline with duplicates counted once, where products share titles."""
        return counted_once(self.shop, self._truth, self.requests, self.rankings, self._roles, self._seed)

    @cached_property
    def reranking(self) -> Board:
        """The reranker, and the baselines, against the order in which retrieval returned the same candidates."""
        return self._board(
            self.scores, self._roles, self.metrics, f"{self.task}_reranking", "reranked and not", against=RETRIEVAL
        )

    def masks(self) -> Board | None:
        """Exact retrieval with each modality masked in turn, each against nothing masked."""
        if not self._masked:
            return None
        note = (
            "Retrieval alone, by exact search with the released towers. Text, picture and behaviour (counters, price, "
            "rating, id) are masked in the products, history in the query; what nobody has is left out."
        )
        baselines = {name: role for name, role in self._roles.items() if role == "baseline"}
        roles = dict.fromkeys(self._masked, ROLES[RETRIEVAL]) | baselines
        return self._board(
            self.scores, roles, self.metrics, f"{self.task}_masks", "a modality masked", note, "nothing masked"
        )

    def slices(self) -> SliceTable:
        """The first recall or NDCG of the headline by slice."""
        return make_slice_table(
            self.scores,
            self._roles,
            "recall@100",
            self._slices,
            ours=OURS,
            key=f"{self.task}_slices",
            title=f"{self.task.capitalize()} by slice",
            clusters=self.requests.clusters,
            seed=self._seed,
        )

    def cold_start(self) -> PlainTable | None:
        """Products that the towers never met beside known ones of equal relevance; None without a truth."""
        title = f"{self.task.capitalize()}: products launched after training"
        return cold_table(self._cold, f"{self.task}_cold_start", title) if self._cold else None

    def languages(self) -> PlainTable | None:
        """Search by script and spelling; None where all queries are alike."""
        if self.task != "search":
            return None
        systems = [*self._roles, *([ORACLE] if self.true is not None else [])]
        return language_table(self.scores, systems, self._slices, self.requests.clusters, seed=self._seed)

    def taught(self) -> PlainTable | None:
        """Searches of queries that the reranker learned from, beside the others; None where there are none."""
        judgments = self.shop.data.judgments
        if self.task != "search" or judgments is None:
            return None
        queries = judgments["query"].to_pylist()
        learned = {query for query, mine in zip(queries, judgments_for_training(queries), strict=True) if mine}
        systems = [*self._roles, *([ORACLE] if self.true is not None else [])]
        return taught_table(self.scores, systems, asked_again(self.requests.queries, learned))

    def history_gap(self) -> PlainTable | None:
        """Recommendations against popularity by the length of the history, with intervals."""
        if self.task != "recommendation":
            return None
        classes = history_length_slices(self.requests)
        return history_table(self.scores, OURS, _POPULARITY, classes, self.requests.user, self._seed)

    def claims(self) -> list[Claim]:
        """What cold start, languages and short histories were to show."""
        claims = cold_claims(self._cold, self.task, OURS)
        if self.task == "search":
            claims += language_claims(self.scores, OURS, self._slices, self.requests.clusters, self._seed)
        else:
            lengths, users = self.requests.history_lengths, self.requests.user
            claims += history_claims(self.scores, OURS, _POPULARITY, lengths, users, self._seed)
        return claims

    def curves(self) -> list[Curve]:
        """Recall as k grows, of ours and of the strongest baselines; recall as the history grows."""
        strongest = strongest_baselines(self.scores, self._roles, "recall@100", _DRAWN)
        systems = [*ROLES, *strongest, *([ORACLE] if self.true is not None else [])]
        title = f"{self.task.capitalize()}: recall as k grows"
        curves = [recall_curve(self.scores, systems, key=f"{self.task}_recall", title=title)]
        if self.task == "recommendation":
            curves.append(
                sliced_curve(
                    self.scores,
                    [*ROLES, *(name for name in _BY_HISTORY if name in self._roles)],
                    "recall@100",
                    history_length_slices(self.requests),
                    key="recommendation_by_history",
                    title="Recommendation: recall@100 by events before",
                    x_label="events before the request, at least",
                )
            )
        return curves

    def extremes(self, count: int) -> list[list[Answer]]:
        """The best and the worst answers by the NDCG@10 of ours."""
        name = "ndcg@10" if self.task == "search" else ("appeal_ndcg@10" if self.true is not None else "ndcg@10")
        values = self.scores.metric(OURS, name)
        return [
            [self._answer(number, f"{label(name)} {values[number]:.2f}") for number in numbers.tolist()]
            for numbers in best_and_worst(self.requests, values, count)
        ]

    def _answer(self, number: int, note: str) -> Answer:
        """One request's answer of ours, with the truth's grades where there are any; who asked where nothing was."""
        rows = self.rankings[OURS][number]
        query = str(self.requests.queries[number])
        grades = None
        if self._truth is not None and query:
            grades = {OURS: grades_of(self._truth, np.array([query], object), rows[None, :])[0]}
        if not query:
            note += f"; {self._history(number)}"
        return make_answer(
            query, {OURS: rows}, self.shop.data.products, self.shop.data.images, note=note, grades=grades
        )

    def _history(self, number: int) -> str:
        """What somebody did before: how many events, and the titles of the last of them."""
        start, end = self.requests.history_start[number : number + 2].tolist()
        if start == end:
            return "a stranger"
        titles = self.shop.data.products.column("title")
        last = self.requests.history_product[max(start, end - _LAST) : end][::-1].tolist()
        events = f"{end - start} event{'s' if end - start > 1 else ''}"
        return f"after {events}, last on: {'; '.join(titles[row].as_py() for row in last)}"

    def _board(
        self,
        scores: Scores,
        roles: dict[str, Any],
        metrics: Sequence[str],
        key: str,
        title: str,
        note: str = "",
        against: str | None = None,
    ) -> Board:
        return make_board(
            scores,
            roles,
            metrics,
            key=key,
            title=f"{self.task.capitalize()}, {title}",
            note=note,
            clusters=self.requests.clusters,
            against=against,
            ours_only=True,
            seed=self._seed,
        )


def eligible_mask(rows: npt.NDArray[np.int32], products: int) -> Mask:
    """[N] bool, True at `rows`."""
    mask = np.zeros(products, dtype=bool)
    mask[rows] = True
    return mask
