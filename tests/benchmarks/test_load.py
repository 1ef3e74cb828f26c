"""What a load tells, and what both loops send to a server that answers at once."""

import threading

import grpc
import numpy as np
import pytest

from benchmarks.load import Load, closed_loop, open_loop
from tests.benchmarks.made_up_server import Echo, answering

REQUESTS = [b"a", b"b", b"c"]


def test_rates_and_percentiles() -> None:
    load = Load(np.array([0.01, 0.02, 0.03]), elapsed=2.0, rows=4)
    assert load.rate == 6.0  # 3 answers of 4 rows in 2 s
    assert load.p50 == pytest.approx(20.0)


def test_no_answer_is_slower_than_any() -> None:
    load = Load(np.array([]), elapsed=1.0, failed=5)
    assert load.rate == 0.0
    assert load.p99 == float("inf")


def test_a_closed_loop_s_clients_ask_again_when_they_have_their_answer() -> None:
    echo = Echo()
    with answering(echo) as address:
        load = closed_loop(address, REQUESTS, clients=2, seconds=0.3)
    assert len(load.seconds) == len(echo.asked) > 2
    assert set(echo.asked) == set(REQUESTS)
    assert load.seconds.sum() <= 2 * load.elapsed  # two clients, each with one request on its way
    assert load.elapsed >= 0.3


def test_a_closed_loop_raises_the_first_failure() -> None:
    with (
        answering(Echo(refused=frozenset(REQUESTS))) as address,
        pytest.raises(grpc.RpcError, match="as asked for"),
    ):
        closed_loop(address, REQUESTS, clients=2, seconds=10.0)


def test_an_open_loop_sends_each_request_in_turn_and_counts_what_is_refused_and_what_is_wrong() -> None:
    """Of 200 requests in turns of three, 67 are the first, 67 the second and 66 the third."""
    echo = Echo(refused=frozenset([b"b"]))
    with answering(echo) as address:
        load = open_loop(address, REQUESTS, 1000.0, 0.2, right=lambda number, answer: (number, answer) == (0, b"a"))
    assert sorted(echo.asked) == [b"a"] * 67 + [b"b"] * 67 + [b"c"] * 66
    assert load.statuses == {"OK": 133, "UNAVAILABLE": 67}
    assert (load.failed, load.wrong) == (67, 66)
    assert len(load.seconds) == len(load.moments) == 133
    assert (np.diff(load.moments) >= 0).all()
    assert load.moments[-1] <= load.elapsed


def test_an_open_loop_raises_what_the_check_of_an_answer_raises() -> None:
    with answering(Echo()) as address, pytest.raises(ZeroDivisionError):
        open_loop(address, REQUESTS, 100.0, 0.1, right=lambda number, answer: bool(1 / 0))


def test_an_open_loop_s_latency_counts_from_when_a_request_was_due() -> None:
    """Four requests at random moments, none of which is answered before the last has come."""
    together = threading.Barrier(4)

    def wait(request: bytes, context: grpc.ServicerContext) -> bytes:
        together.wait(30)
        return request

    with answering(wait) as address:
        load = open_loop(address, [b"a"], 20.0, 0.2)
    due = np.cumsum(np.random.default_rng(0).exponential(1 / 20.0, 4))
    assert (len(load.seconds), load.failed) == (4, 0)
    assert load.seconds.max() >= due[-1] - due[0]


def test_an_open_loop_ends_early_when_it_is_told_to() -> None:
    """The server says so at its fifth request; 30 s of requests would come."""
    echo, over = Echo(), threading.Event()

    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        if len(echo.asked) == 4:
            over.set()
        return echo(request, context)

    with answering(answer) as address:
        load = open_loop(address, REQUESTS, 100.0, 30.0, until=over)
    assert 5 <= load.statuses["OK"] == len(echo.asked) < 3000
