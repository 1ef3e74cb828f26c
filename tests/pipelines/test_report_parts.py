"""What the report shows of answers, on a shop of four products."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.requests import Requests
from evaluation.scores import Scores
from pipelines import report_parts
from pipelines.judging import OURS, RETRIEVAL, ROLES
from pipelines.report_parts import TaskReport

PRODUCTS = pa.table(
    {
        "product_id": ["p0", "p1", "p2", "p3"],
        "title": ["Cap", "Bag", "Tent", "Lamp"],
        "price": [1.0, 2.0, 3.0, 4.0],
        "currency": [""] * 4,
        "image_row": pa.array([-1] * 4, pa.int32()),
    }
)


def report(task: Any, queries: list[str], histories: list[list[int]], values: dict[str, list[float]]) -> TaskReport:
    """A report of requests by hand whose metrics are given; every request is answered with products 3 and 2."""
    count, lengths = len(queries), [len(history) for history in histories]
    products = np.concatenate([*map(np.array, histories), np.zeros(0)]).astype(np.int32)
    names = np.array([str(number) for number in range(count)], object)
    numbers = np.arange(count, dtype=np.int32)
    made = object.__new__(TaskReport)  # Its scores are those given.
    made.requests = Requests(
        task=task, request=numbers, user=numbers, user_ids=names, session_ids=names,
        queries=np.array(queries, object), timestamps=numbers.astype(np.int64),
        history_start=np.cumsum([0, *lengths]), history_product=products,
        history_kind=np.zeros(len(products), np.int8), history_timestamp=np.arange(len(products)),
    )  # fmt: skip
    shop: Any = SimpleNamespace(data=SimpleNamespace(products=PRODUCTS, images=np.zeros((0, 1, 1, 3), np.uint8)))
    made.shop, made._truth = shop, None
    made.rankings = {OURS: np.array([[3, 2]] * count, np.int32)}
    made.logged = Scores({OURS: {name: np.array(column) for name, column in values.items()}}, (), {})
    made.true = made.logged if "appeal_ndcg@10" in values else None
    return made


def test_the_best_and_the_worst_recommendations_say_who_asked() -> None:
    histories = [[0, 1, 2, 3, 1], [], [0]]
    made = report(
        "recommendation", [""] * 3, histories, {"ndcg@10": [0.5, 0.1, 0.3], "appeal_ndcg@10": [0.9, 0.2, 0.4]}
    )
    (best,), (worst,) = made.extremes(1)
    # Newest first, three at most.
    assert best.note == "appeal NDCG@10 0.90; after 5 events, last on: Bag; Lamp; Tent"
    assert worst.note == "appeal NDCG@10 0.20; a stranger"
    assert made._history(2) == "after 1 event, last on: Cap"
    assert [item.title for item in worst.lists[0].items] == ["Lamp", "Tent"]


def test_the_best_and_the_worst_searches_are_named_by_their_query() -> None:
    made = report("search", ["cap", "bag"], [[0], []], {"ndcg@10": [0.2, 0.7]})
    (best,), (worst,) = made.extremes(1)
    assert (best.query, best.note) == ("bag", "NDCG@10 0.70")
    assert (worst.query, worst.note) == ("cap", "NDCG@10 0.20")


def test_short_histories_are_a_table_and_claims_of_recommendations_alone() -> None:
    values = {"recall@100": [0.4, 0.6]}
    made = report("recommendation", ["", ""], [[], [1]], values)
    made.logged.values["popularity"] = {"recall@100": np.array([0.5, 0.5])}
    made._seed, made._cold = 0, []
    table = made.history_gap()
    assert table is not None
    assert [row[:4] for row in table.rows] == [(0, 1, 0.4, 0.5), (1, 1, 0.6, 0.5)]
    assert [claim.text for claim in made.claims()] == ["Recommendation recall@100 after one event, against popularity"]
    assert report("search", ["cap"], [[]], {"ndcg@10": [1.0]}).history_gap() is None


def test_each_board_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = report("search", ["cap", "bag"], [[], []], {})
    made.logged = Scores(
        {name: dict.fromkeys(report_parts._LOGGED, np.ones(2)) for name in (OURS, RETRIEVAL, "BM25")}, (), {}
    )
    made._roles, made._seed = ROLES | {"BM25": "baseline"}, 0
    asked = []
    monkeypatch.setattr(report_parts, "make_board", lambda *_, key, **__: asked.append(key) or key)
    for _ in range(2):
        assert (made.headline, made.reranking) == (["search_log"], "search_reranking")
    assert asked == ["search_log", "search_reranking"]
