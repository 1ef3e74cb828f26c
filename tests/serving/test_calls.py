"""What is sent again, how often, and what is not: plans by hand, and both clients against a server with a script."""

import random
import threading
import time
from collections.abc import Callable

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import call_record
from serving.calls import Caller, Reply, RetryBudget, Rpc, Send, Start, Wait, backoff
from serving.client import ClientConfig, SearchClient
from serving.errors import BadRequestError, DeadlineError, ServerUnavailableError
from serving.messages import PredictRequest, PredictResponse
from tests.serving.scripted import Never, ScriptedServer, answer, fails

Connect = Callable[..., SearchClient]
Scripts = Callable[..., ScriptedServer]

UNAVAILABLE = fails(grpc.StatusCode.UNAVAILABLE)
HARD_LIMIT = "received metadata size exceeds hard limit (value length 20000 vs. 16384)"


class Handle:
    cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class Failure(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        super().__init__()
        self._code, self._details = code, details

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details


def rpc() -> Rpc:
    return Rpc("Predict", None, time.monotonic() + 60)


@given(st.integers(1, 20), st.floats(0.001, 1.0), st.floats(0.001, 10.0), st.integers())
def test_a_pause_is_anything_up_to_twice_the_one_before(failures: int, first: float, most: float, seed: int) -> None:
    assert 0.0 <= backoff(failures, first, most, random.Random(seed)) <= min(most, first * 2 ** (failures - 1))


def test_pauses_are_spread_over_their_whole_range() -> None:
    chance = random.Random(1)
    pauses = [backoff(3, 0.1, 10.0, chance) for _ in range(1000)]
    assert min(pauses) < 0.01
    assert max(pauses) > 0.39  # 0.1 * 2^2 is the most
    assert sum(pauses) / 1000 == pytest.approx(0.2, abs=0.02)


def test_half_the_tokens_are_spent_on_failures_and_answers_give_them_back() -> None:
    budget = RetryBudget(4.0, 0.5)
    budget.take()
    assert budget.allows  # 3 of 4
    budget.take()
    assert not budget.allows
    budget.give()
    assert budget.allows
    for _ in range(10):
        budget.take()
    for _ in range(5):
        budget.give()  # from 0, not from less: 2.5
    assert budget.allows


def test_a_server_that_fails_twice_is_asked_three_times(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[UNAVAILABLE, UNAVAILABLE, answer])
    assert connect(server.address).search("dress").hits[0].product_id == "dress"
    assert server.predicted("search") == 3


def test_an_overloaded_server_is_asked_again_and_then_named(connect: Connect, scripted: Scripts) -> None:
    exhausted = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "queue full")
    server = scripted(search=[exhausted, answer, exhausted])
    client = connect(server.address)
    assert len(client.search("dress")) == 1
    with pytest.raises(ServerUnavailableError, match=r"too much to do \(queue full\)"):
        client.search("dress")
    assert server.predicted("search") == 2 + 3


@pytest.mark.parametrize(
    "text",
    [
        "The batch scheduling queue to which this task was submitted is full; currently 8 batches enqueued",
        call_record.OVERLOADED,
    ],
)
def test_a_full_queue_is_not_taken_for_a_server_that_is_gone(connect: Connect, scripted: Scripts, text: str) -> None:
    server = scripted(search=[fails(grpc.StatusCode.UNAVAILABLE, text)])
    with pytest.raises(ServerUnavailableError, match="has too much to do") as error:
        connect(server.address, attempts=1).search("dress")
    assert "no server answers" not in str(error.value)


@pytest.mark.parametrize("code", [grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.INTERNAL])
def test_what_would_fail_again_is_not_sent_again(connect: Connect, scripted: Scripts, code: grpc.StatusCode) -> None:
    server = scripted(search=[fails(code)])
    with pytest.raises(Exception, match="as scripted"):
        connect(server.address).search("dress")
    assert server.predicted("search") == 1


def test_a_message_over_the_limit_is_not_sent_again(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[answer])
    client = connect(server.address, max_message_bytes=1500)
    client.search("dress")
    with pytest.raises(BadRequestError, match="raise max_message_bytes"):
        client.search("x" * 999, user={"country": "y" * 1000})
    assert server.calls == [("GetModelMetadata", "search"), ("Predict", "search")]  # the first search's


def test_metadata_over_the_hard_limit_is_the_callers_error(connect: Connect, scripted: Scripts) -> None:
    client = connect(scripted(search=[answer]).address)
    client.search("dress")
    with pytest.raises(BadRequestError, match=r"metadata size exceeds hard limit .* send less metadata"):
        client.search("dress", metadata={"x-basket": "b" * 20_000})
    assert len(client.search("dress")) == 1


def test_metadata_over_the_hard_limit_is_sent_once_and_costs_no_token() -> None:
    caller = Caller(ClientConfig(retry_tokens=2))
    plan = caller.call(rpc())
    assert isinstance(next(plan), Send)
    with pytest.raises(Failure):
        plan.send(Reply(error=Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, HARD_LIMIT)))
    assert caller._budget.allows  # one token less would be half


def test_metadata_over_the_soft_limit_is_sent_again_and_then_named(connect: Connect, scripted: Scripts) -> None:
    refused = fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "received metadata size exceeds soft limit (9191 vs. 8192)")
    client = connect(scripted(search=[refused, answer, refused]).address)
    assert len(client.search("dress")) == 1
    with pytest.raises(BadRequestError, match="send less metadata"):
        client.search("dress")


def test_one_attempt_is_no_retry(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[UNAVAILABLE, answer])
    with pytest.raises(ServerUnavailableError, match="as scripted"):
        connect(server.address, attempts=1).search("dress")
    assert server.predicted("search") == 1


def test_an_outage_is_met_with_little_more_than_the_calls_alone(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[UNAVAILABLE])
    client = connect(server.address, attempts=3, retry_tokens=10)
    for _ in range(20):
        with pytest.raises(ServerUnavailableError):
            client.search("dress")
    # The metadata gave nothing back: the tokens were all there. Failures leave 9, 8, 7 tokens in the first call and
    # 6, 5 in the second; from there on 5 or fewer, so that the 18 others are sent once.
    assert server.predicted("search") == 3 + 2 + 18


def test_a_retry_that_would_come_too_late_is_not_waited_for() -> None:
    config = ClientConfig(initial_backoff=1e6, max_backoff=1e6)
    plan = Caller(config).call(rpc())
    assert isinstance(next(plan), Send)
    with pytest.raises(Failure):
        plan.send(Reply(error=Failure(grpc.StatusCode.UNAVAILABLE)))


def test_a_server_that_never_answers_costs_the_timeout_and_no_more_requests(
    connect: Connect, scripted: Scripts
) -> None:
    never = Never()
    server = scripted(search=[answer, never])
    client = connect(server.address)
    client.search("dress")
    with pytest.raises(DeadlineError, match="did not answer in time"):
        client.search("dress", timeout=0.2)
    assert never.given_up.wait(30)
    assert server.predicted("search") == 2


def test_the_first_of_two_answers_is_taken_and_the_other_request_cancelled(connect: Connect, scripted: Scripts) -> None:
    never = Never()
    server = scripted(search=[never, answer])
    client = connect(server.address, hedge_after=0.05)
    assert client.search("dress").hits[0].product_id == "dress"
    assert never.given_up.wait(30)
    assert server.predicted("search") == 2


def test_a_hedge_that_fails_leaves_the_first_request_running(connect: Connect, scripted: Scripts) -> None:
    hedged = threading.Event()

    def late(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        assert hedged.wait(30)
        return answer(request, context)

    def refuses(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        context.add_callback(hedged.set)
        return UNAVAILABLE(request, context)

    server = scripted(search=[late, refuses])
    assert connect(server.address, hedge_after=0.05).search("dress").hits[0].product_id == "dress"
    assert server.predicted("search") == 2


def test_an_early_answer_is_not_hedged(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[answer])
    client = connect(server.address, hedge_after=29)
    for _ in range(3):
        client.search("dress")
    assert server.predicted("search") == 3


def test_hedges_are_paid_from_the_budget() -> None:
    caller = Caller(ClientConfig(hedge_after=0.1, retry_tokens=2, retry_token_ratio=0.1))
    plan, first, second = caller.call(rpc()), Handle(), Handle()
    assert isinstance(next(plan), Start)
    assert plan.send(first) == Wait((first,), 0.1)
    assert isinstance(plan.send(None), Start)  # 2 tokens are more than half; this takes one
    assert plan.send(second) == Wait((first, second), None)
    with pytest.raises(StopIteration) as end:
        plan.send(Reply("answer", handle=second))
    assert end.value.value == "answer"
    assert (first.cancelled, second.cancelled) == (True, False)

    caller._budget.take()
    plan = caller.call(rpc())
    next(plan)
    plan.send(first)
    assert plan.send(None) == Wait((first,), None)  # 0.1 are left: no second request


def test_a_call_that_is_given_up_cancels_its_requests() -> None:
    plan, first, second = Caller(ClientConfig(hedge_after=0.1)).call(rpc()), Handle(), Handle()
    next(plan)
    plan.send(first)
    plan.send(None)
    plan.send(second)
    plan.close()
    assert first.cancelled
    assert second.cancelled


def test_a_failed_attempt_is_hedged_anew() -> None:
    plan, first, second = Caller(ClientConfig(hedge_after=0.1)).call(rpc()), Handle(), Handle()
    next(plan)
    plan.send(first)
    plan.send(None)
    plan.send(second)
    unavailable = Failure(grpc.StatusCode.UNAVAILABLE)
    assert plan.send(Reply(error=unavailable, handle=first)) == Wait((second,), None)
    plan.send(Reply(error=unavailable, handle=second))  # the pause
    assert isinstance(plan.send(None), Start)
