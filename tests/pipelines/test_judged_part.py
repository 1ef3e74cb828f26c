"""Judged searches, on a shop of four products."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from catalog.splits import judgments_for_training
from evaluation.boards import Role
from evaluation.requests import made_up_requests
from pipelines.judged_part import judged_board
from pipelines.judging import OURS, Shop

TAUGHT, ASKED, OTHER = (
    next(name for name in names if judgments_for_training([name])[0] == is_taught)
    for names, is_taught in (
        ([f"taught {number}" for number in range(20)], True),
        ([f"asked {number}" for number in range(20)], False),
        ([f"other {number}" for number in range(20)], False),
    )
)
GRADES = {"query": [ASKED, ASKED, OTHER, TAUGHT], "product_id": ["p2", "p3", "p2", "p2"], "grade": [3.0, 0.0, 3.0, 3.0]}
ROLES: dict[str, Role] = {OURS: "ours", "BM25": "baseline"}


def board(queries: list[str]) -> Any:
    products = pa.table({"product_id": ["p0", "p1", "p2", "p3"]})
    data: Any = SimpleNamespace(products=products, judgments=pa.table(GRADES))
    nothing: Any = None
    rankings = {OURS: np.array([[3, 2]] * len(queries), np.int32), "BM25": np.array([[0, 2]] * len(queries), np.int32)}
    shop = Shop(data, nothing, np.ones(4, bool), 0)
    return judged_board(shop, made_up_requests(queries, 0), rankings, ROLES, 0)


def test_searches_with_a_judgment_are_counted_and_resampled_by_query() -> None:
    made = board([ASKED, f" {ASKED.upper()}", OTHER, TAUGHT, "cap"])
    # Nobody judged "cap". Of the query asked twice ours ranks product 3, judged as wrong, before 2; the other query has
    # no judgment of 3, and neither has one of product 0, which BM25 ranks first.
    assert made.requests == 3
    assert made.row("BM25").means["ndcg@10"] == 1
    assert made.row(OURS).means["ndcg@10"] == pytest.approx((2 / np.log2(3) + 1) / 3)
    assert made.row(OURS).means["judged@10"] == pytest.approx((0.2 + 0.2 + 0.1) / 3)
    assert made.comparison("ndcg@10", OURS).difference.units == 2
    assert made.comparison("judged@10", OURS) is None


def test_no_table_without_a_judgment_that_was_kept_apart() -> None:
    assert board([TAUGHT, "cap"]) is None
