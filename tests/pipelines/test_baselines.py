"""The baselines of a shop of twelve products, half of them red, and a log in which searches came to nothing."""

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.splits import judgments_for_training
from evaluation.requests import made_up_requests
from pipelines.baselines import Baselines
from pipelines.judging import Shop
from tests.evaluation.conftest import DAY, event, store

QUERIES = [f"red w{number}" for number in range(60)]
TAUGHT = [query for query, mine in zip(QUERIES, judgments_for_training(QUERIES), strict=True) if mine]
HELD_OUT = [query for query in QUERIES if query not in TAUGHT]


def shop(judged: list[str]) -> Shop:
    """People gave 3 to products with a long title, and 0 to the others; the words tell them apart."""
    titles = [f"{'red' if number < 6 else 'blue'} {'silk ' * 9 if number % 2 else ''}cap" for number in range(12)]
    columns = {name: [""] * 12 for name in ("description", "category", "brand", "review_text")}
    products = pa.table(
        columns
        | {
            "product_id": [f"p{number}" for number in range(12)],
            "title": titles,
            "attributes": [json.dumps({})] * 12,
            "price": [math.nan] * 12,
            "rating_count": [0] * 12,
            "rating_average": [math.nan] * 12,
        }
    )
    rows = [(query, f"p{number}", 3.0 * (number % 2)) for query in judged for number in range(6)]
    names = ("query", "product_id", "grade")
    judgments = pa.table(dict(zip(names, zip(*rows, strict=True), strict=True))) if judged else None
    data: Any = SimpleNamespace(products=products, judgments=judgments)
    # Six clicks after searches in the reranker's slice, one on each red product.
    pages = [{"user": 0, "session": "s", "query": 0, "timestamp": 2 * DAY, "slice": 1} for _ in range(6)]
    shown = [[{"product": number, "position": 1, "click": True}] for number in range(6)]
    log = store(12, 1, ["red"], interactions=[event(0, 7, 1)], requests=pages, impressions=shown)
    return Shop(data, log, np.ones(12, bool), 4 * DAY, candidates=150)


def first_answers(judged: list[str]) -> list[int]:
    found: list[int] = Baselines(shop(judged), 0).rank(made_up_requests(["red"], 4 * DAY))["LightGBM"][0].tolist()
    return found


def test_grades_of_taught_queries_decide_between_products_that_clicks_do_not() -> None:
    answers = first_answers(TAUGHT)
    assert set(answers[:3]) == {1, 3, 5}
    assert set(answers[3:6]) == {0, 2, 4}
    assert answers[6] == -1, "blue products are not found"


def test_the_grades_that_evaluation_keeps_teach_nothing() -> None:
    # BM25 sets short titles first, and six clicks, one a product, say nothing else.
    assert set(first_answers(HELD_OUT)[:3]) == {0, 2, 4}
    assert len(HELD_OUT) > 10 < len(TAUGHT)


def test_judgments_of_what_bm25_does_not_find_teach_nothing() -> None:
    unknown = [query for query in (f"w{number}" for number in range(60)) if judgments_for_training([query])[0]]
    assert set(first_answers(unknown)[:3]) == set(first_answers([])[:3]) == {0, 2, 4}


def test_every_answer_is_as_deep_as_the_releases_and_the_stemmer_is_the_configs() -> None:
    requests = made_up_requests(["caps"], 4 * DAY)
    stemmed, plain = (Baselines(shop([]), 0, stemmer).rank(requests) for stemmer in ("english", ""))
    assert {rows.shape for rows in stemmed.values()} == {(1, 150)}
    assert (stemmed["BM25"] >= 0).sum() == 12
    assert (plain["BM25"] >= 0).sum() == 0
