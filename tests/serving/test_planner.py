"""How one search is planned: the time it is given, what comes when the reranker fails, which version is followed."""

from collections.abc import Callable

import grpc
import pytest

from serving import planner
from serving.client import SearchClient
from serving.errors import BadRequestError, DeadlineError, ServingError
from serving.messages import PredictRequest, PredictResponse
from tests.serving.scripted import Behaviour, Never, ScriptedServer, answer, fails

Connect = Callable[..., SearchClient]
Scripts = Callable[..., ScriptedServer]


def test_retrieval_gets_its_share_of_the_time_and_the_reranker_the_rest(connect: Connect, scripted: Scripts) -> None:
    left = {}

    def timed(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        left[request.model_spec.name] = context.time_remaining()
        return answer(request, context)

    client = connect(scripted(retrieval=[timed], rerank=[timed]).address, retrieval_share=0.25)
    assert client.search("dress", timeout=40).reranked
    assert left["retrieval"] < 11 < left["rerank"]  # 10 of 40, which gRPC rounds up on the wire; and what is left


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
