"""Duplicates in tables and in answers, on a shop of four products of which two share a title."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.requests import made_up_requests, sample_requests
from pipelines.counted_once import counted_once, without_repeats
from pipelines.judging import OURS, RETRIEVAL, ROLES, Shop
from tests.evaluation.conftest import DAY, event, store

RANKINGS = {
    OURS: np.array([[0, 1, 2]], np.int32),
    "Tandem, retrieval order": np.array([[0, 2, 3]], np.int32),
    "BM25": np.array([[2, 0, 1]], np.int32),
}


class Grades:
    """One query's grades; whoever asks wants as much."""

    product_ids = np.array(["p0", "p1", "p2", "p3"])
    examination = np.ones(10, np.float32)

    def relevance(self, queries: list[str]) -> np.ndarray:
        return np.array([[2, 3, 1, 0]] * len(queries), np.uint8)

    def appeal(self, user_ids: list[str], session_ids: list[str], queries: list[str]) -> np.ndarray:
        return self.relevance(queries).astype(np.float32) / 10

    def conversion(self, user_ids: list[str]) -> np.ndarray:
        return np.full((len(user_ids), 4), 0.1, np.float32)


def shop(*titles: str) -> Shop:
    data: Any = SimpleNamespace(products=pa.table({"title": list(titles)}))
    features: Any = None  # Only asked where there is no truth.
    return Shop(data, features, np.ones(4, bool), 0)


def board(*titles: str) -> Any:
    truth: Any = Grades()
    return counted_once(shop(*titles), truth, made_up_requests(["cap"], 0), RANKINGS, ROLES | {"BM25": "baseline"}, 0)


def test_a_title_is_found_once_and_wanted_as_its_best_product_is() -> None:
    made = board("Cap", "cap ", "Bag", "Tent")
    # Titles have the grades 3, 1 and 0, so gains 7, 1 and 0. Ours answers cap, bag: the best there is.
    assert made.row(OURS).means["ndcg@10"] == pytest.approx(1)
    # BM25 answers bag, cap: (1 + 7 / log2 3) / (7 + 1 / log2 3).
    discount = 1 / np.log2(3)
    assert made.row("BM25").means["ndcg@10"] == pytest.approx((1 + 7 * discount) / (7 + discount))
    assert made.row("oracle").means["recall@100"] == 1
    assert "50% of the products share their title" in made.note
    assert "10.0% of the first 10 places of Tandem repeated" in made.note


def test_a_known_title_is_not_wanted_of_a_recommendation() -> None:
    # After a click on p0, a cap, the user turned to p1, another cap, and to p3.
    chosen = [
        {"user": 0, "query": -1, "timestamp": 4 * DAY + 1, "product": product, "kind": 2, "new": True}
        for product in (1, 3)
    ]
    page = {"user": 0, "session": "s", "query": -1, "timestamp": 4 * DAY, "slice": 3, "history_end": 1}
    log = store(4, 1, interactions=[event(0, 0, 1)], examples=chosen, requests=[page])
    made_of = shop("Cap", "cap", "Bag", "Tent")
    requests = sample_requests(log, "recommendation", 5, 0)
    answers = {name: np.array([[1, 3, 2]], np.int32) for name in ROLES}
    made: Any = counted_once(Shop(made_of.data, log, made_of.eligible, 4 * DAY), None, requests, answers, ROLES, 0)
    # The tent is all that can be found: it stands first once the cap is left out.
    means = made.row(OURS).means
    assert (means["recall@10"], means["recall@100"], means["ndcg@10"]) == (1, 1, 1)


def test_where_no_title_is_shared_there_is_no_table() -> None:
    assert board("Cap", "Bag", "Tent", "Rope") is None


def test_answers_without_repeats_are_ours_alone() -> None:
    kept = without_repeats(RANKINGS, shop("Cap", "cap", "Bag", "Tent"))
    assert kept[OURS].tolist() == [[0, 2, -1]]
    repeated = {**RANKINGS, RETRIEVAL: np.array([[1, 3, 0]], np.int32)}
    assert without_repeats(repeated, shop("Cap", "cap", "Bag", "Tent"))[RETRIEVAL].tolist() == [[1, 3, -1]]
    assert kept["BM25"].tolist() == RANKINGS["BM25"].tolist()
