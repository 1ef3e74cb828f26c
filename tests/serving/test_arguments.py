"""Arguments of the client's methods: what is received is named, with what is expected."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from serving.answers import Answer, Hit, Retrieval
from serving.arguments import call_seconds, check_retrieval, product_count, request_list
from serving.errors import BadRequestError
from serving.requests import Request

FOUND = Retrieval((Hit("dress", 1.0),), "retrieval", 1, False, np.ones(2, np.float32))


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None, "3"])
def test_k_is_a_number_of_products(k: int) -> None:
    with pytest.raises(BadRequestError, match=re.escape(f"k: received {k!r}; expected how many products")):
        product_count(k)


def test_k_may_be_numpys() -> None:
    assert (product_count(1), product_count(np.int64(3))) == (1, 3)


@pytest.mark.parametrize("timeout", [0, math.inf, math.nan, 1e30, 10**400, "1", True, None])
def test_a_timeout_is_seconds_of_at_most_a_day(timeout: float) -> None:
    with pytest.raises(BadRequestError, match=re.escape(f"timeout: received {timeout!r}; expected")):
        call_seconds(timeout)


def test_a_timeout_may_be_numpys() -> None:
    numbers = (0.5, 86_400, np.float32(30), np.int64(2))
    assert [call_seconds(number) for number in numbers] == [0.5, 86_400.0, 30.0, 2.0]


@pytest.mark.parametrize("requests", [["a"], "a", None, Request("a"), [Request("a"), None]])
def test_a_batch_is_of_requests(requests: object) -> None:
    with pytest.raises(BadRequestError, match=r"requests: received .*; expected Request"):
        request_list(requests)


def test_a_batch_may_be_an_iterator() -> None:
    requests = [Request("a"), Request("b")]
    assert request_list(iter(requests)) == requests
    assert request_list(()) == []


@pytest.mark.parametrize("retrieval", [None, (), Answer((), "search", 1, reranked=True)])
def test_what_is_reranked_is_what_was_retrieved(retrieval: object) -> None:
    with pytest.raises(BadRequestError, match=r"retrieval: received .*; expected what `retrieve` returned"):
        check_retrieval(retrieval)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"query_embedding": [1.0, 1.0]}, r"retrieval query_embedding: received \[1.0, 1.0\]; expected an array"),
        ({"query_embedding": np.array(["a"])}, "retrieval query_embedding: received array"),
        ({"version": 2**63}, "retrieval version: received 9223372036854775808; expected an int from 0 to"),
        ({"version": -1}, "retrieval version: received -1"),
        ({"version": "1"}, "retrieval version: received '1'"),
        ({"hits": None}, "retrieval hits: received None; expected a tuple of Hits"),
        ({"hits": (("dress", 1.0),)}, "retrieval hits: received"),
    ],
)
def test_a_retrieval_that_was_built_wrongly_is_named(changed: dict[str, object], reason: str) -> None:
    check_retrieval(FOUND)
    check_retrieval(replace(FOUND, hits=list(FOUND.hits), version=2**63 - 1))
    with pytest.raises(BadRequestError, match=reason):
        check_retrieval(replace(FOUND, **changed))
