"""Scores against the simulator's truth: what each shopper in fact wants, whoever wrote the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.progress import track
from evaluation import metrics
from evaluation.aligned_truth import TruthLike
from evaluation.arrays import ABSENT, Floats, Gains, Ints, Mask, Rows, Strings, check_rankings, top_rows
from evaluation.requests import Requests, allowed_products
from evaluation.scores import CURVE_KS, Scores

Number = TypeVar("Number", bound=np.generic)

ORACLE = "oracle"
WANTED = 100
FIRST = 10

SEARCH_METRICS = ("ndcg@10", "recall@100", "appeal_ndcg@10", "grade3_recall@100", "ctr@10", "cvr@10", "purchases@10")
RECOMMENDATION_METRICS = ("recall@100", "appeal_ndcg@10", "ctr@10", "cvr@10", "purchases@10")


@dataclass(frozen=True)
class TruthScores:
    """`score_against_truth`'s result.

    Args:
        scores: of every system and of the oracle.
        oracle: [R, K] product rows, the best possible answers to these requests by these shoppers.
        wanted: [R, WANTED] product rows, what recall@100 asks for, the greatest appeal first; -1 where there are fewer.
        wanted_grades: [R, WANTED] uint8, the query's grade of each of them; 0 in recommendations.
    """

    scores: Scores
    oracle: Rows
    wanted: Rows
    wanted_grades: npt.NDArray[np.uint8]


def score_against_truth(
    truth: TruthLike,
    requests: Requests,
    rankings: dict[str, Rows],
    eligible: Mask,
    product_slices: dict[str, Mask] | None = None,
    depth: int = 200,
    chunk: int = 64,
) -> TruthScores:
    """Score rankings, and the oracle, against the truth; dense in chunks of requests only.

    The oracle ranks by appeal; in a search all products with a grade above 0 come before the others, which costs it
    next to no clicks and makes it the ceiling of recall too.

    The metrics, per request:
        ndcg@10: gains 2^grade - 1 of the query's graded relevance, whoever asks (search only).
        appeal_ndcg@10: gains are the appeal, P(click | examined), to this shopper in this session for this query.
        recall@100: of the wanted set, the 100 candidates with the greatest appeal (in a search only those with a grade
            above 0), so it never asks for more than fits; fewer if there are fewer.
        grade3_recall@100: of the products of grade 3, over min(their number, 100) (search only).
        ctr@10: expected clicks on the first ten / 10. purchases@10: expected purchases / 10. cvr@10: purchases a click,
            undefined for an empty answer.

    Candidates are the products in the index and, for a recommendation, new to the user: for the oracle and for what is
    wanted as for every system.

    Args:
        truth: of the simulated shop, in the order of the product rows: an `AlignedTruth`.
        requests: [R], with sessions.
        rankings: system -> [R, K] product rows after `candidates_only`, -1 for none.
        eligible: [N], products in the index.
        product_slices: slice -> [N], to see recall@100 of the wanted products in it alone.
        depth: length of the oracle's ranking. chunk: requests at once; memory is chunk x N.
    """
    products = len(eligible)
    if len(truth.product_ids) != products:
        raise DataError(f"received a truth of {len(truth.product_ids):,} products for {products:,}; align it first")
    systems = {name: check_rankings(rows, products, name) for name, rows in rankings.items()}
    slices = product_slices or {}
    names = [*systems, ORACLE]
    metric_names = SEARCH_METRICS if requests.task == "search" else RECOMMENDATION_METRICS
    count = len(requests)
    scores = Scores(
        values={name: {metric: np.full(count, np.nan) for metric in metric_names} for name in names},
        curve_ks=CURVE_KS,
        recall_curve={name: np.full((count, len(CURVE_KS)), np.nan) for name in names},
        product_slices={part: {name: np.full(count, np.nan) for name in names} for part in slices},
    )
    oracle = np.full((count, depth), ABSENT, np.int32)
    wanted = np.full((count, WANTED), ABSENT, np.int32)
    wanted_grades = np.zeros((count, WANTED), np.uint8)
    for at in track(list(_chunks(requests, chunk)), f"truth, {requests.task}"):
        facts = _TruthChunk.compute(truth, requests.select(at), eligible, max(depth, WANTED))
        oracle[at] = facts.oracle[:, :depth]
        wanted[at] = facts.wanted
        if facts.grades is not None:
            wanted_grades[at] = _taken(facts.grades, facts.wanted)
        for name in names:
            rows = oracle[at] if name == ORACLE else systems[name][at]
            _score_chunk(scores, name, at, rows, facts, slices)
    for name in names:
        scores.coverage[name] = metrics.coverage_at(
            oracle if name == ORACLE else systems[name], int(eligible.sum()), FIRST
        )
    return TruthScores(scores, oracle, wanted, wanted_grades)


def grades_of(truth: TruthLike, queries: Strings, rows: Rows) -> npt.NDArray[np.uint8]:
    """The truth's grade, 0..3, of each ranked product for its query, [R, K]; 0 where absent. For few requests."""
    unique, inverse = np.unique(queries, return_inverse=True)
    return _taken(truth.relevance(unique.tolist())[inverse], rows)


def _chunks(requests: Requests, size: int) -> Iterator[Ints]:
    """Request numbers in chunks; equal queries together, so that each one's relevance is computed about once."""
    order = np.argsort(requests.queries, kind="stable")
    for first in range(0, len(order), size):
        yield order[first : first + size]


@dataclass(frozen=True)
class _TruthChunk:
    """The truth about a chunk of requests: dense [R, N], 0 for what may not answer, and the rankings that follow.

    `best` [R, >= FIRST] ranks by appeal, `oracle` [R, depth] is its ranking, `wanted` [R, WANTED] are the wanted
    products, `is_wanted` the same as a mask.
    """

    appeal: Gains
    purchase: Gains
    grades: npt.NDArray[np.uint8] | None
    best: Rows
    oracle: Rows
    wanted: Rows
    is_wanted: Mask
    examination: Gains

    @classmethod
    def compute(cls, truth: TruthLike, requests: Requests, eligible: Mask, depth: int) -> "_TruthChunk":
        allowed = allowed_products(requests, eligible)
        users, sessions, queries = (
            column.tolist() for column in (requests.user_ids, requests.session_ids, requests.queries)
        )
        appeal = np.where(allowed, truth.appeal(users, sessions, queries), np.float32(0))
        people, person = np.unique(requests.user_ids, return_inverse=True)
        purchase = appeal * truth.conversion(people.tolist())[person]
        best = top_rows(np.where(allowed, appeal, -np.inf), depth if requests.task == "recommendation" else FIRST)
        oracle, grades = best, None
        fits = _taken(appeal, best) > 0
        if requests.task == "search":
            unique, inverse = np.unique(requests.queries, return_inverse=True)
            grades = np.where(allowed, truth.relevance(unique.tolist())[inverse], np.uint8(0))
            # Appeal is a probability, so 1 more puts every relevant product before every other.
            oracle = top_rows(np.where(allowed, appeal + (grades > 0), -np.inf), depth)
            fits = (_taken(grades, oracle) > 0) & (_taken(appeal, oracle) > 0)
        wanted = np.where(fits, oracle, ABSENT)[:, :WANTED].astype(np.int32)
        # A spare last column takes the padding, row -1.
        is_wanted = np.zeros((len(wanted), allowed.shape[1] + 1), dtype=bool)
        np.put_along_axis(is_wanted, wanted.astype(np.int64), True, axis=1)
        return cls(appeal, purchase, grades, best, oracle, wanted, is_wanted[:, :-1], np.asarray(truth.examination))


def _score_chunk(scores: Scores, name: str, at: Ints, rows: Rows, facts: _TruthChunk, slices: dict[str, Mask]) -> None:
    values = scores.values[name]
    wanted_count = (facts.wanted >= 0).sum(axis=1)
    hits = _taken(facts.is_wanted, rows)
    values["recall@100"][at] = metrics.recall_at(hits, wanted_count, 100)
    scores.recall_curve[name][at] = np.stack([metrics.recall_at(hits, wanted_count, k) for k in CURVE_KS], axis=1)
    for part, products in slices.items():
        relevant = ((facts.wanted >= 0) & products[np.maximum(facts.wanted, 0)]).sum(axis=1)
        in_slice = hits & products[np.maximum(rows, 0)]
        scores.product_slices[part][name][at] = metrics.recall_at(in_slice, relevant, 100)

    first = rows[:, :FIRST]
    appeal = _taken(facts.appeal, first)
    values["appeal_ndcg@10"][at] = metrics.ndcg_at(appeal, _taken(facts.appeal, facts.best), FIRST)
    clicks = metrics.expected_clicks(appeal, facts.examination, FIRST)
    purchases = metrics.expected_clicks(_taken(facts.purchase, first), facts.examination, FIRST)
    values["ctr@10"][at] = clicks / FIRST
    values["purchases@10"][at] = purchases / FIRST
    values["cvr@10"][at] = np.divide(purchases, clicks, out=np.full(len(at), np.nan), where=clicks > 0)
    if facts.grades is not None:
        _score_grades(values, at, rows, facts.grades)


def _score_grades(values: dict[str, Floats], at: Ints, rows: Rows, grades: npt.NDArray[np.uint8]) -> None:
    found = _taken(grades, rows)
    of_grade = [(grades == grade).sum(axis=1) for grade in (3, 2, 1)]
    ends = np.cumsum(of_grade, axis=0)
    places = np.arange(FIRST)
    ideal = 3 - (places[None, None, :] >= ends[:, :, None]).sum(axis=0)
    values["ndcg@10"][at] = metrics.ndcg_at(metrics.exponential_gain(found), metrics.exponential_gain(ideal), FIRST)
    values["grade3_recall@100"][at] = metrics.recall_at(found == 3, of_grade[0], 100, capped=True)


def _taken(dense: npt.NDArray[Number], rows: Rows) -> npt.NDArray[Number]:
    taken = np.take_along_axis(dense, np.maximum(rows, 0).astype(np.int64), axis=1)
    return np.where(rows >= 0, taken, dense.dtype.type(0))
