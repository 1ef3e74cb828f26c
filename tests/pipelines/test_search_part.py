"""Whether an answer is the beginning of a list."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from evaluation.requests import Requests, made_up_requests
from pipelines.judging import Shop
from pipelines.search_part import search_claims, starts_alike

LISTED = np.array([[4, 2, 7, 9]], np.int32)
SCORES = np.array([[0.9, 0.5, 0.5 - 1e-7, 0.1]])


@pytest.mark.parametrize(
    ("answered", "alike"),
    [
        ([4, 2], True),
        ([4, 7], True),  # ties with 2 but for rounding
        ([4, 2, 7, 9], True),
        ([2, 4], False),
        ([4, 9], False),
        ([4, 8], False),  # is not in the list
        ([4, -1], False),
    ],
)
def test_an_answer_is_the_beginning_but_for_ties(answered: list[int], alike: bool) -> None:
    assert starts_alike(LISTED, SCORES, np.array([answered], np.int32)).tolist() == [alike]


def test_places_without_a_product_are_alike() -> None:
    listed, scores = np.array([[3, -1, -1]], np.int32), np.array([[0.2, -1e9, -1e9]])
    answers = np.array([[3, -1], [-1, -1]], np.int32)
    assert starts_alike(np.repeat(listed, 2, 0), np.repeat(scores, 2, 0), answers).tolist() == [True, False]


class Models:
    """A release that finds products 0, 1 and 2, and orders 2, 0, 1; `answer` is what its `search` says."""

    def __init__(self, answer: list[int]) -> None:
        self.answer, self.asked = answer, 0

    def inputs(self, requests: Requests) -> Any:
        return {"query": requests.queries}

    def retrieve(self, inputs: Any) -> Any:
        return {"rows": np.tile(np.array([0, 1, 2], np.int32), (len(inputs["query"]), 1))}

    def rerank(self, inputs: Any, candidates: Any) -> Any:
        scores = np.tile(np.array([0.9, 0.6, 0.3], np.float32), (len(inputs["query"]), 1))
        return {"rows": candidates["rows"][:, [2, 0, 1]], "score": scores}

    def search(self, inputs: Any) -> Any:
        self.asked += len(inputs["query"])
        return {"rows": np.tile(np.array(self.answer, np.int32), (len(inputs["query"]), 1))}


@pytest.mark.parametrize(
    ("answer", "collapsed", "met"),
    [([2, 0], False, True), ([0, 2], False, False), ([2, 0], True, False), ([2, 1], True, True)],
)
def test_search_is_asked_for_a_sample_of_each_task(answer: list[int], collapsed: bool, met: bool) -> None:
    models: Any = Models(answer)
    # Products 0 and 2 share a title, so an answer that names a title once goes on with product 1.
    data: Any = SimpleNamespace(products=pa.table({"title": ["Cap", "Bag", "cap"]}))
    nothing: Any = None
    shop = Shop(data, nothing, np.ones(3, bool), 0)
    tasks = [made_up_requests(["a"] * 100, 0), made_up_requests(["b"] * 3, 0)]
    (claim,) = search_claims(models, shop, tasks, collapsed, 0)
    assert models.asked == 64 + 3
    assert (claim.measured, claim.met) == (f"{67 if met else 0} of 67", met)
