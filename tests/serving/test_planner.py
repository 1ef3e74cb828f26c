"""How one search is planned: the time it is given, what comes when the reranker fails, which version is followed."""

import math
import time
from collections.abc import Callable
from dataclasses import replace

import grpc
import numpy as np
import pytest

from serving import planner
from serving.client import Hit, Request, SearchClient
from serving.errors import BadRequestError, DeadlineError, ServingError
from serving.messages import PredictRequest, PredictResponse
from serving.tensors import make_proto
from tests.serving.scripted import Behaviour, Never, ScriptedServer, answer, fails

Connect = Callable[..., SearchClient]
Scripts = Callable[..., ScriptedServer]


def test_retrieval_may_take_all_of_the_time_but_the_reserve(connect: Connect, scripted: Scripts) -> None:
    left = {}

    def timed(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        left[request.model_spec.name] = context.time_remaining()
        return answer(request, context)

    client = connect(scripted(retrieval=[timed], rerank=[timed]).address)
    assert client.search("dress", timeout=40).reranked
    assert left["retrieval"] > 35
    assert left["rerank"] > 30


def test_the_reranker_is_not_asked_when_retrieval_left_it_no_time(
    connect: Connect, scripted: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of 30 seconds 15 are kept, and of the other 15 a little less is left after retrieval: less than 15 again.
    monkeypatch.setattr(planner, "_RESERVE_SECONDS", 30.0)
    monkeypatch.setattr(planner, "_RESERVE_SHARE", 0.5)
    server = scripted(retrieval=[answer], rerank=[answer])
    degraded = connect(server.address).search("dress", timeout=30)
    assert [hit.product_id for hit in degraded] == ["dress"]
    assert (degraded.reranked, degraded.degraded) == (False, "retrieval left no time for the reranker")
    assert not any(model == "rerank" for _, model in server.calls)


def test_the_order_of_retrieval_comes_when_the_reranker_is_late(connect: Connect, scripted: Scripts) -> None:
    never = Never()
    client = connect(scripted(retrieval=[answer], rerank=[answer, never]).address)
    assert client.search("dress").degraded is None
    late = client.search("dress", timeout=1)
    assert [hit.product_id for hit in late] == ["dress"]
    assert (late.model, late.version, late.reranked) == ("retrieval", 1, False)
    assert late.degraded == "the reranker was late"
    assert never.given_up.wait(30)


def test_the_reranker_is_waited_for_less_than_the_caller_waits(
    connect: Connect, scripted: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "_RESERVE_SECONDS", 10.0)
    monkeypatch.setattr(planner, "_RESERVE_SHARE", 0.5)
    left = []

    def timed(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        left.append(context.time_remaining())
        return answer(request, context)

    connect(scripted(retrieval=[answer], rerank=[timed]).address).search("dress", timeout=30)
    assert left[0] < 21  # 30 - 10, which gRPC rounds up on the wire


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (fails(grpc.StatusCode.INTERNAL), "the reranker failed"),
        (fails(grpc.StatusCode.UNAVAILABLE), "the reranker could not be reached"),
        (fails(grpc.StatusCode.RESOURCE_EXHAUSTED), "the reranker could not be reached"),
        (fails(grpc.StatusCode.INVALID_ARGUMENT), "the reranker refused the request"),
        (fails(grpc.StatusCode.NOT_FOUND), "no reranker of retrieval's version is served"),
        (lambda request, context: PredictResponse(), "the reranker failed"),  # no scores in it
    ],
)
def test_the_order_of_retrieval_comes_when_the_reranker_fails(
    connect: Connect, scripted: Scripts, failure: Behaviour, reason: str
) -> None:
    client = connect(scripted(retrieval=[answer], rerank=[failure]).address)
    degraded = client.search("dress")
    assert [hit.product_id for hit in degraded] == ["dress"]
    assert (degraded.reranked, degraded.degraded) == (False, reason)
    with pytest.raises(ServingError):
        client.rerank(client.retrieve("dress"), "dress")


def test_a_late_retrieval_is_an_error(connect: Connect, scripted: Scripts) -> None:
    client = connect(scripted(retrieval=[answer, Never()], rerank=[answer]).address)
    client.search("dress")
    with pytest.raises(DeadlineError):
        client.search("dress", timeout=0.3)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"hits": None}, "retrieval hits: received None; expected a tuple of Hits"),
        ({"hits": (Hit(5, 1.0),)}, "candidate product_id: received 5"),
        ({"hits": (Hit("dress", "1"),)}, "candidate score: received '1'"),
    ],
)
def test_a_retrieval_that_was_built_wrongly_is_the_callers_error(
    connect: Connect, scripted: Scripts, changed: dict[str, object], reason: str
) -> None:
    client = connect(scripted(retrieval=[answer], rerank=[answer]).address)
    found = client.retrieve("dress")
    with pytest.raises(BadRequestError, match=reason):
        client.rerank(replace(found, **changed), "dress")
    assert client.rerank(replace(found, hits=list(found.hits)), "dress").reranked


def test_a_model_that_is_no_reranker_is_named(
    connect: Connect, scripted: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planner, "RERANK", planner._Names(("other",), ("score",)))
    client = connect(scripted(retrieval=[answer], other=[answer]).address)
    with pytest.raises(BadRequestError, match="takes no candidates"):
        client.rerank(client.retrieve("dress"), "dress")


def test_an_answer_that_is_none_is_an_error(connect: Connect, scripted: Scripts) -> None:
    def short(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        response = answer(request, context)
        del response.outputs["score"]
        return response

    def long(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        response = answer(request, context)
        response.outputs["score"].tensor_shape.dim[0].size = 2
        return response

    client = connect(scripted(search=[short, long]).address)
    with pytest.raises(ServingError, match="search answered without score"):
        client.search("dress")
    with pytest.raises(ServingError, match="search answered with an unreadable tensor"):
        client.search("dress")


def answers_with(name: str, values: object) -> Behaviour:
    """A line of a script: the usual answer, with these values in one output."""

    def behaviour(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        response = answer(request, context)
        response.outputs[name].CopyFrom(make_proto(np.asarray(values)))
        return response

    return behaviour


SCORES = [[3.0, 2.0, 1.0]]


@pytest.mark.parametrize(
    "odd",
    [
        answers_with("click_probability", [0.5]),
        answers_with("click_probability", 0.5),
        answers_with("click_probability", [[0.5, 0.5]]),
        answers_with("score", [["3", "2", "1"]]),
        answers_with("score", [[True, False, True]]),
        answers_with("score", [[3.0, 2.0]]),
        answers_with("score", [[3.0, 2.0, 1.0, 0.0]]),
        answers_with("score", [[math.nan, 2.0, 1.0]]),
        answers_with("score", [[math.inf, 2.0, 1.0]]),
        answers_with("score", SCORES[0]),
    ],
)
def test_an_odd_answer_of_the_reranker_degrades(connect: Connect, scripted: Scripts, odd: Behaviour) -> None:
    client = connect(scripted(retrieval=[answer], rerank=[odd]).address)
    degraded = client.search("dress")
    assert [hit.product_id for hit in degraded] == ["dress"]
    assert (degraded.reranked, degraded.degraded) == (False, "the reranker failed")
    with pytest.raises(ServingError, match="rerank answered with"):
        client.rerank(client.retrieve("dress"), "dress")


def test_a_reranker_whose_shapes_do_not_parse_degrades(connect: Connect, scripted: Scripts) -> None:
    server = scripted(retrieval=[answer], rerank=[answer])
    server.broken.add("rerank")
    client = connect(server.address)
    assert client.search("dress").degraded == "the reranker failed"
    with pytest.raises(ServingError, match="rerank answered with unreadable signatures"):
        client.rerank(client.retrieve("dress"), "dress")


def test_what_a_reranker_says_of_padding_does_not_count(connect: Connect, scripted: Scripts) -> None:
    padded = answers_with("score", [[3.0, math.nan, -math.inf]])  # one candidate of three
    assert connect(scripted(retrieval=[answer], rerank=[padded]).address).search("dress").hits[0].score == 3.0


@pytest.mark.parametrize(
    "odd",
    [
        answers_with("product_id", [[b"\xff"]]),
        answers_with("product_id", [[7]]),
        answers_with("product_id", [["a", "b"]]),
        answers_with("score", [[math.nan]]),
        answers_with("retrieval_score", [1.0]),
        answers_with("query_embedding", ["a"]),
        answers_with("query_embedding", [["a", "b"]]),
    ],
)
def test_an_odd_answer_of_retrieval_is_an_error(connect: Connect, scripted: Scripts, odd: Behaviour) -> None:
    with pytest.raises(ServingError, match="retrieval answered with"):
        connect(scripted(retrieval=[odd]).address).retrieve("dress")


def test_a_place_without_a_product_needs_no_score(connect: Connect, scripted: Scripts) -> None:
    client = connect(scripted(search=[answers_with("score", [[math.nan]])]).address)
    assert client.search("").hits == ()  # the scripted id is the query


def test_two_versions_behind_one_address_are_followed_without_asking_for_their_shapes_again(
    connect: Connect, scripted: Scripts
) -> None:
    def second(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        return answer(request, context, version=2)

    server = scripted(search=[answer, second, second, answer, second, second])
    server.versions = [1, 2]
    client = connect(server.address)
    assert [client.search("dress").version for _ in range(6)] == [1, 2, 2, 1, 2, 2]
    assert server.predicted("search") == 6
    assert server.calls.count(("GetModelMetadata", "search")) == 2


class Clock:
    """In the place of the module `time`: stands still until it is moved."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(planner, "time", clock)
    return clock


def test_the_preferred_model_is_found_when_it_comes_later(connect: Connect, scripted: Scripts, clock: Clock) -> None:
    server = scripted(search_exact=[answer], retrieval_exact=[answer])
    client = connect(server.address)
    assert (client.search("dress").model, client.retrieve("dress").model) == ("search_exact", "retrieval_exact")
    server.load("search", [answer])
    server.load("retrieval", [answer])
    assert (client.search("dress").model, client.retrieve("dress").model) == ("search_exact", "retrieval_exact")
    clock.now += 5.1
    assert (client.search("dress").model, client.retrieve("dress").model) == ("search", "retrieval")


def test_the_preferred_model_is_looked_for_once_in_five_seconds(
    connect: Connect, scripted: Scripts, clock: Clock
) -> None:
    server = scripted(search_exact=[answer])
    client = connect(server.address)
    for looks in (1, 2, 3):
        assert {client.search("dress").model for _ in range(5)} == {"search_exact"}
        assert server.calls.count(("GetModelMetadata", "search")) == looks
        clock.now += 5.1
    assert server.predicted("search_exact") == 15


def test_the_preferred_model_is_looked_for_by_one_call_of_many(scripted: Scripts, clock: Clock) -> None:
    server = scripted(search_exact=[answer])
    with SearchClient(server.address) as client:
        client.search("dress")
        clock.now += 5.1
        look = client._planner.search([Request("dress")], 10, planner.CallOptions())
        assert next(look).rpc.method == "GetModelMetadata"
        client.search("dress")  # while the look is under way
    assert server.calls.count(("GetModelMetadata", "search")) == 1  # the first one's


def test_a_profile_column_of_a_new_version_is_learned(
    connect: Connect, scripted: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(search=[answer])
    client = connect(server.address)
    client.search("dress")
    server.widths["user_city"] = 1
    with pytest.raises(BadRequestError, match="columns city; this model knows country"):
        client.search("dress", user={"city": "Utrecht"})
    monkeypatch.setattr(planner, "_REMEMBERED_SECONDS", 0.0)  # as if time had passed
    assert len(client.search("dress", user={"city": "Utrecht"})) == 1
