"""Requests merged into batches: what is merged, what is refused, who gets which answer."""

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tensorflow.core.framework.tensor_shape_pb2 import TensorShapeProto
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving import batch_lane, batch_padding
from serving.batch_lane import Batch
from serving.batching import LARGE_POOL, POOL, Batcher, can_batch, text_bytes
from serving.batching_parameters import DEFAULT_BYTE_LIMITS, BatchingParameters, ByteLimits
from serving.call_record import Call, CallPool, calls_in_hand, current_call, in_hand
from serving.errors import Rejection
from tests.serving.asking import eventually

SECONDS = 30.0


class Recorder:
    """Runs y = 2 x, and keeps the sizes of what it ran. While `gate` is closed, runs wait."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.in_company: list[bool] = []
        self.started = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def __call__(self, inputs: Any, timeout: float | None) -> dict[str, np.ndarray]:
        self.sizes.append(len(inputs["x"]))
        self.in_company.append(batch_lane.in_company())
        self.started.release()
        assert self.gate.wait(SECONDS)
        if (inputs["x"] < 0).any():
            raise Rejection(grpc.StatusCode.INVALID_ARGUMENT, "a negative number")
        return {"y": inputs["x"] * 2}


@pytest.fixture
def make() -> Iterator[Callable[..., Batcher]]:
    made: list[Batcher] = []

    def build(
        observe: Callable[[Batch], None] | None = None,
        limits: ByteLimits = DEFAULT_BYTE_LIMITS,
        ahead: int = 0,
        **parameters: Any,
    ) -> Batcher:
        settings = BatchingParameters(**{"num_batch_threads": 1, "max_batch_size": 8, **parameters})
        made.append(Batcher(settings, observe, limits, ahead))
        return made[-1]

    yield build
    for batcher in made:
        batcher.close()


def x(*values: float) -> dict[str, np.ndarray]:
    return {"x": np.array(values, np.float32)}


def held_up(
    pool: ThreadPoolExecutor, batcher: Batcher, run: Recorder, request: dict[str, np.ndarray]
) -> Future[dict[str, np.ndarray]]:
    """A request whose run has begun and ends once the gate is opened."""
    run.gate.clear()
    answer = pool.submit(batcher.run, "kind", run, request, SECONDS)
    assert run.started.acquire(timeout=SECONDS)
    return answer


def ask_behind_a_run(
    batcher: Batcher, run: Recorder, requests: list[dict[str, np.ndarray]], timeout: float | None = SECONDS
) -> list[Any]:
    """Each request's answer, or its error; all of them wait, in this order, while the only batch thread is busy."""
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        first = held_up(pool, batcher, run, x(0))
        waiting: list[Future[dict[str, np.ndarray]]] = []
        for number, request in enumerate(requests, start=1):
            waiting.append(pool.submit(batcher.run, "kind", run, request, timeout))
            while batcher.waiting < sum(len(r["x"]) for r in requests[:number]):
                if any(future.done() for future in waiting):
                    break
        run.gate.set()
        first.result()
        return [future.exception() or future.result()["y"].tolist() for future in waiting]


def test_what_waits_together_runs_together_and_each_gets_its_own(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    assert ask_behind_a_run(make(), run, [x(1), x(2, 3), x(4)]) == [[2], [4, 6], [8]]
    assert run.sizes == [1, 4]


def test_a_batch_holds_no_more_than_its_largest_size(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    assert ask_behind_a_run(make(max_batch_size=2), run, [x(n) for n in range(5)]) == [[2 * n] for n in range(5)]
    assert run.sizes == [1, 2, 2, 1]


def test_a_request_waits_for_company_no_longer_than_the_timeout(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    batcher = make(batch_timeout_micros=20_000)
    assert batcher.run("kind", run, x(1), SECONDS)["y"].tolist() == [2]
    # A full batch does not wait: with an hour's timeout these two would never end otherwise.
    patient = make(batch_timeout_micros=3_600_000_000, max_batch_size=2)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: patient.run("kind", run, x(n), SECONDS)["y"].tolist(), [1, 2]))
    assert answers == [[2], [4]]
    assert run.sizes == [1, 2]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_lane, "_PATIENCE", SECONDS)


@pytest.mark.usefixtures("patient")
def test_a_batch_waits_for_its_share_of_the_calls_in_hand(make: Callable[..., Batcher]) -> None:
    """Two calls are being answered while one waits: two of the three are the share of each of two threads."""
    run, batcher = Recorder(), make(num_batch_threads=2)
    with ThreadPoolExecutor(2) as pool, in_hand(Call()), in_hand(Call()):
        first = pool.submit(batcher.run, "kind", run, x(1), SECONDS)
        while batcher.waiting < 1:
            assert not first.done()
        second = pool.submit(batcher.run, "kind", run, x(2), SECONDS)
        assert [future.result()["y"].tolist() for future in (first, second)] == [[2], [4]]
    assert run.sizes == [2]


@pytest.mark.usefixtures("patient")
def test_and_no_longer_than_they_are_in_hand(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make()
    with ThreadPoolExecutor(1) as pool:
        with in_hand(Call()):
            waits = pool.submit(batcher.run, "kind", run, x(1), SECONDS)
            while batcher.waiting < 1:
                assert not waits.done()
        assert waits.result()["y"].tolist() == [2]


def test_nor_longer_than_some_milliseconds(make: Callable[..., Batcher]) -> None:
    with in_hand(Call()):
        assert make().run("kind", Recorder(), x(1), SECONDS)["y"].tolist() == [2]


@pytest.mark.usefixtures("patient")
def test_a_call_that_waits_for_its_batch_is_not_in_hand(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make()

    def work(failing: bool) -> int:
        with in_hand(current_call()):
            batcher.run("kind", run, x(-1 if failing else 1), SECONDS)
            return calls_in_hand()

    with CallPool(1, "test", lambda call: None) as pool:
        assert pool.submit(work, False).result() == 1
        assert isinstance(pool.submit(work, True).exception(), Rejection)
    assert calls_in_hand() == 0


def test_the_next_batch_is_with_its_model_while_one_runs(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make(ahead=1)
    with ThreadPoolExecutor(4) as pool:
        runs = held_up(pool, batcher, run, x(1))
        follows = pool.submit(batcher.run, "kind", run, x(2), SECONDS)
        assert run.started.acquire(timeout=SECONDS)
        waiting = [pool.submit(batcher.run, "kind", run, x(value), SECONDS) for value in (3, 4)]
        eventually(lambda: batcher.waiting == 2)
        run.gate.set()
        assert [future.result()["y"].tolist() for future in (runs, follows, *waiting)] == [[2], [4], [6], [8]]
    assert run.sizes == [1, 1, 2]
    assert run.in_company == [False, True, True]


def test_a_batch_is_in_company_while_calls_are_read_and_for_a_while_after(
    make: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    run, batcher = Recorder(), make()
    monkeypatch.setattr(batch_lane, "_HALF_LIFE", 3600.0)
    batcher.run("kind", run, x(1), SECONDS)
    with in_hand(Call()):
        batcher.run("kind", run, x(2), SECONDS)
    batcher.run("kind", run, x(3), SECONDS)
    monkeypatch.setattr(batch_lane, "_HALF_LIFE", 1e-6)
    batcher.run("kind", run, x(4), SECONDS)
    assert run.in_company == [False, True, True, False]


def test_another_kind_is_not_kept_waiting_by_batches_that_follow_each_other(make: Callable[..., Batcher]) -> None:
    """Four clients of full batches leave no moment in which nothing runs; a lone request has its turn between them."""
    batcher, stop = make(ahead=1, max_batch_size=2), threading.Event()

    def slow(inputs: Any, timeout: float | None) -> dict[str, np.ndarray]:
        time.sleep(0.02)
        return {"y": inputs["x"]}

    def ask_on() -> None:
        while not stop.is_set():
            batcher.run("many", slow, x(1, 2), SECONDS)

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(ask_on) for _ in range(4)]
        eventually(lambda: batcher.waiting >= 2)
        try:
            assert batcher.run("one", slow, x(3), 5.0)["y"].tolist() == [3]
        finally:
            stop.set()
        for client in clients:
            client.result()


def test_rows_of_one_request_are_no_share(make: Callable[..., Batcher]) -> None:
    """A request of four rows while another runs, and two calls in hand: one of four that may be expected, not four."""
    run, batcher = Recorder(), make(ahead=1)
    with ThreadPoolExecutor(2) as pool:
        first = held_up(pool, batcher, run, x(1))
        with in_hand(Call()), in_hand(Call()):
            second = pool.submit(batcher.run, "kind", run, x(1, 2, 3, 4), SECONDS)
            assert not run.started.acquire(timeout=0.1)
            run.gate.set()
            assert second.result()["y"].tolist() == [2, 4, 6, 8]
        first.result()


def test_the_next_batch_waits_for_its_share_of_those_who_may_ask(make: Callable[..., Batcher]) -> None:
    """Of one that runs, two that wait and three in hand half may follow: three. Of one, two and one: two."""
    run, batcher = Recorder(), make(ahead=1)
    with ThreadPoolExecutor(3) as pool, in_hand(Call()):
        runs = held_up(pool, batcher, run, x(1))
        with in_hand(Call()), in_hand(Call()):
            first = pool.submit(batcher.run, "kind", run, x(2), SECONDS)
            eventually(lambda: batcher.waiting == 1)
            assert not run.started.acquire(timeout=10 * batch_lane._PATIENCE)
            second = pool.submit(batcher.run, "kind", run, x(3), SECONDS)
            eventually(lambda: batcher.waiting == 2)
        assert run.started.acquire(timeout=SECONDS)
        run.gate.set()
        assert [future.result()["y"].tolist() for future in (runs, first, second)] == [[2], [4], [6]]
    assert run.sizes == [1, 2]


def test_a_request_larger_than_a_batch_is_refused(make: Callable[..., Batcher]) -> None:
    with pytest.raises(Rejection, match="Task size 9 is larger than maximum input batch size 8") as caught:
        make().run("kind", Recorder(), x(*range(9)), None)
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("executed", [None, 4])
def test_splitting_takes_no_larger_request_than_that(make: Callable[..., Batcher], executed: int | None) -> None:
    batcher = make(enable_large_batch_splitting=True, max_execution_batch_size=executed)
    with pytest.raises(Rejection, match="Task size 9 is larger than maximum input batch size 8"):
        batcher.run("kind", Recorder(), x(*range(9)), None)


def test_a_request_larger_than_a_run_is_run_in_pieces(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    batcher = make(max_batch_size=9, enable_large_batch_splitting=True, max_execution_batch_size=4)
    assert batcher.run("kind", run, x(*range(9)), None)["y"].tolist() == [2 * n for n in range(9)]
    assert sorted(run.sizes) == [1, 4, 4]


def test_pieces_are_merged_with_what_others_ask(make: Callable[..., Batcher]) -> None:
    """Of 5 rows in pieces of 4 and 1, the piece of 1 runs with another request's row."""
    run = Recorder()
    batcher = make(enable_large_batch_splitting=True, max_execution_batch_size=4)
    assert ask_behind_a_run(batcher, run, [x(1, 2, 3, 4, 5), x(6)]) == [[2, 4, 6, 8, 10], [12]]
    assert run.sizes == [1, 4, 2]


def test_without_splitting_the_size_of_runs_counts_for_nothing(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    batcher = make(max_execution_batch_size=2)
    assert batcher.run("kind", run, x(1, 2, 3), None)["y"].tolist() == [2, 4, 6]
    assert run.sizes == [3]


def test_as_many_runs_may_wait_as_batches(make: Callable[..., Batcher]) -> None:
    """Two runs of 2 rows: a request of 5 never fits."""
    run = Recorder()
    batcher = make(enable_large_batch_splitting=True, max_execution_batch_size=2, max_enqueued_batches=2)
    answers = ask_behind_a_run(batcher, run, [x(1, 2, 3, 4, 5)])
    assert [answer.code for answer in answers] == [grpc.StatusCode.UNAVAILABLE]
    assert run.sizes == [1]


def test_a_full_queue_refuses_at_once(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    answers = ask_behind_a_run(make(max_batch_size=1, max_enqueued_batches=2), run, [x(1), x(2), x(3)])
    refused = [answer for answer in answers if isinstance(answer, Rejection)]
    assert [error.code for error in refused] == [grpc.StatusCode.UNAVAILABLE]
    assert "queue to which this task was submitted is full" in refused[0].message
    assert len(run.sizes) == 3


def test_a_bad_request_costs_the_others_nothing(make: Callable[..., Batcher]) -> None:
    good, bad, other = ask_behind_a_run(make(), Recorder(), [x(1), x(-1), x(3)])
    assert (good, other) == ([2], [6])
    assert isinstance(bad, Rejection)
    assert bad.message == "a negative number"


def test_who_waited_too_long_is_not_run(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make()
    with ThreadPoolExecutor(1) as pool:
        first = held_up(pool, batcher, run, x(0))
        with pytest.raises(Rejection) as caught:
            batcher.run("kind", run, x(5), 0.01)
        assert batcher.waiting == 0
        run.gate.set()
        first.result()
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert batcher.run("kind", run, x(1), SECONDS)["y"].tolist() == [2]
    assert run.sizes == [1, 1]


def test_only_requests_alike_are_merged(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make()
    run.gate.clear()
    wide = {"x": np.ones((1, 2), np.float32)}
    double = {"x": np.ones(1, np.float64)}
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(batcher.run, "kind", run, x(0), SECONDS)
        assert run.started.acquire(timeout=SECONDS)
        others = [pool.submit(batcher.run, "kind", run, request, SECONDS) for request in (x(1), wide, double)]
        others.append(pool.submit(batcher.run, "another kind", run, x(1), SECONDS))
        while batcher.waiting < 4:
            assert not any(future.done() for future in others)
        run.gate.set()
        for future in (first, *others):
            future.result()
    assert run.sizes == [1] * 5


def wide(*shape: int, value: float = 1.0) -> dict[str, np.ndarray]:
    return {"x": np.full(shape, value, np.float32)}


def test_requests_of_different_lengths_are_merged_where_lengths_are_padded(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    requests = [wide(1, 1), wide(2, 3, value=2.0), wide(1, 2, value=3.0)]
    answers = ask_behind_a_run(make(pad_variable_length_inputs=True), run, requests)
    assert answers == [[[2, 2, 2]], [[4, 4, 4]] * 2, [[6, 6, 6]]]
    assert run.sizes == [1, 4]
    assert ask_behind_a_run(make(), run, requests) == [[[2]], [[4, 4, 4]] * 2, [[6, 6]]]
    assert run.sizes == [1, 4, 1, 1, 2, 1]


def test_of_another_rank_or_type_or_empty_they_are_not(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    requests = [wide(1, 2), wide(1, 2, 1), {"x": np.ones((1, 3), np.float64)}, wide(1, 0), wide(1, 1)]
    answers = ask_behind_a_run(make(pad_variable_length_inputs=True), run, requests)
    assert answers == [[[2, 2]], [[[2], [2]]], [[2, 2, 2]], [[]], [[2, 2]]]
    assert run.sizes == [1, 2, 1, 1, 1]


def test_a_request_of_the_wrong_rank_or_length_costs_the_others_nothing(make: Callable[..., Batcher]) -> None:
    """The model wants two columns at most: the batch with three of them is run again request by request."""
    shapes = []

    class Strict(Recorder):
        def __call__(self, inputs: Any, timeout: float | None) -> dict[str, np.ndarray]:
            shapes.append(inputs["x"].shape)
            if inputs["x"].ndim > 2 or inputs["x"].shape[1:] > (2,):
                raise Rejection(grpc.StatusCode.INVALID_ARGUMENT, "a table, or too long a row")
            return super().__call__(inputs, timeout)

    requests = [wide(1, 1), wide(1, 1, 1), wide(1, 3), wide(1, 2)]
    one, table, long, two = ask_behind_a_run(make(pad_variable_length_inputs=True), Strict(), requests)
    assert (one, two) == ([[2]], [[2, 2]])
    assert isinstance(table, Rejection)
    assert isinstance(long, Rejection)
    assert shapes[1:] == [(3, 3), (1, 1), (1, 3), (1, 2), (1, 1, 1)]


def test_a_batch_that_padding_would_blow_up_runs_request_by_request(
    make: Callable[..., Batcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_padding, "PADDING_BYTES", 3)
    run = Recorder()
    answers = ask_behind_a_run(make(pad_variable_length_inputs=True), run, [wide(1, 1), wide(1, 2)])
    assert answers == [[[2]], [[2, 2]]]
    assert run.sizes == [1, 1, 1]


def test_the_pieces_of_a_large_request_keep_their_length(make: Callable[..., Batcher]) -> None:
    """Its last piece, of one row, would be padded to another's length, and the two not fit together."""
    run = Recorder()
    batcher = make(pad_variable_length_inputs=True, enable_large_batch_splitting=True, max_execution_batch_size=2)
    answers = ask_behind_a_run(batcher, run, [wide(3, 1), wide(1, 2)])
    assert answers == [[[2], [2], [2]], [[2, 2]]]
    assert run.sizes == [1, 2, 1, 1]


def test_batches_are_padded_to_an_allowed_size(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    batcher = make(allowed_batch_sizes=(4, 8))
    assert batcher.run("kind", run, x(1, 2, 3), SECONDS)["y"].tolist() == [2, 4, 6]
    assert batcher.run("kind", run, x(*range(5)), SECONDS)["y"].tolist() == [0, 2, 4, 6, 8]
    assert run.sizes == [4, 8]


def test_an_output_without_the_batch_is_an_error(make: Callable[..., Batcher]) -> None:
    run = Recorder()

    def summed(inputs: Any, timeout: float | None) -> dict[str, np.ndarray]:
        return {"y": run(inputs, timeout)["y"].sum()}

    batcher = make(allowed_batch_sizes=(2, 8))
    with pytest.raises(Rejection, match="Batched output tensor's 0th dimension"):
        batcher.run("kind", summed, x(1), SECONDS)


def test_an_idle_batcher_keeps_nothing_of_what_it_ran(make: Callable[..., Batcher]) -> None:
    batcher, run = make(), Recorder()
    batcher.run("kind", run, x(1), SECONDS)
    gone = threading.Event()
    weakref.finalize(run, gone.set)
    del run
    assert gone.wait(SECONDS)


def test_who_has_gone_is_not_run_and_leaves_its_place(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make(max_batch_size=1, max_enqueued_batches=1)
    calls: queue.SimpleQueue[Call] = queue.SimpleQueue()

    def work(request: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        calls.put(current_call())
        return batcher.run("kind", run, request, SECONDS)

    run.gate.clear()
    with CallPool(3, "test", lambda call: None) as pool:
        first = pool.submit(work, x(0))
        calls.get(timeout=SECONDS)
        assert run.started.acquire(timeout=SECONDS)
        leaves = pool.submit(work, x(1))
        leaver = calls.get(timeout=SECONDS)
        while batcher.waiting < 1:
            assert not leaves.done()
        leaver.departure.leave()
        leaver.departure.leave()
        gone = leaves.exception(SECONDS)
        stays = pool.submit(work, x(2))  # the queue holds one: it has room again
        while batcher.waiting < 1:
            assert not stays.done()
        run.gate.set()
        assert (first.result()["y"].tolist(), stays.result()["y"].tolist()) == ([0], [4])
    assert isinstance(gone, Rejection)
    assert gone.code is grpc.StatusCode.CANCELLED
    assert run.sizes == [1, 1]


def test_who_had_gone_before_is_not_run_at_all(make: Callable[..., Batcher]) -> None:
    run, batcher = Recorder(), make(batch_timeout_micros=3_600_000_000)

    def work() -> None:
        current_call().departure.leave()
        batcher.run("kind", run, x(1), SECONDS)

    with CallPool(1, "test", lambda call: None) as pool:
        gone = pool.submit(work).exception(SECONDS)
    assert isinstance(gone, Rejection)
    assert (gone.code, run.sizes, batcher.waiting) == (grpc.StatusCode.CANCELLED, [], 0)


def test_a_call_knows_how_long_it_waited_for_its_batch(make: Callable[..., Batcher]) -> None:
    batcher = make()
    with CallPool(1, "test", lambda call: None) as pool:
        call = pool.submit(lambda: (batcher.run("kind", Recorder(), x(1), SECONDS), current_call())[1]).result()
    assert call.started <= call.batch_joined <= call.run_began <= call.finished


def long_text(*lengths: int) -> dict[str, np.ndarray]:
    return {**x(*lengths), "text": np.array([b"a" * length for length in lengths], object)}


def test_a_request_of_far_longer_text_holds_up_nobody(make: Callable[..., Batcher]) -> None:
    batches: list[Batch] = []
    run, slow = Recorder(), Recorder()
    batcher = make(batches.append, ByteLimits(merged_text=10))
    slow.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(batcher.run, "kind", slow, long_text(11), SECONDS)
        assert slow.started.acquire(timeout=SECONDS)
        # It runs, and for as long as it likes: others of its kind are answered.
        assert batcher.run("kind", run, long_text(10, 8), SECONDS)["y"].tolist() == [20, 16]
        assert batcher.run("kind", run, long_text(12, 8), SECONDS)["y"].tolist() == [24, 16]  # 10 a row
        assert not long.done()
        slow.gate.set()
        assert long.result()["y"].tolist() == [22]
    assert [(batch.pool, list(batch.sizes)) for batch in batches] == [(LARGE_POOL, [1]), (POOL, [2]), (POOL, [2])]


@pytest.mark.parametrize("limits", [{"large": 2}, {"enqueued_large": 120}])
def test_few_such_requests_are_taken(make: Callable[..., Batcher], limits: dict[str, int]) -> None:
    """Two of them wait or run: of 20 bytes of text, 32 for each string and 4 of number each, two are 112."""
    run = Recorder()
    batcher = make(limits=ByteLimits(merged_text=10, **limits))
    run.gate.clear()
    with ThreadPoolExecutor(2) as pool:
        taken = [pool.submit(batcher.run, "kind", run, long_text(20), SECONDS)]
        assert run.started.acquire(timeout=SECONDS)
        taken.append(pool.submit(batcher.run, "kind", run, long_text(20), SECONDS))
        while batcher.waiting < 1:
            assert not any(future.done() for future in taken)
        with pytest.raises(Rejection, match="queue to which this task was submitted is full") as caught:
            batcher.run("kind", run, long_text(20), SECONDS)
        run.gate.set()
        assert [future.result()["y"].tolist() for future in taken] == [[40], [40]]
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert batcher.run("kind", run, long_text(100), SECONDS)["y"].tolist() == [200]  # alone it is always taken
    assert run.sizes == [1, 1, 1]


def test_what_waits_holds_so_many_bytes_at_most(make: Callable[..., Batcher]) -> None:
    run = Recorder()
    answers = ask_behind_a_run(make(max_batch_size=1, limits=ByteLimits(enqueued=12)), run, [x(1), x(2), x(3)])
    refused = [answer for answer in answers if isinstance(answer, Rejection)]
    assert [error.code for error in refused] == [grpc.StatusCode.UNAVAILABLE]
    assert "12 bytes wait or run" in refused[0].message


def test_strings_take_bytes_even_if_they_are_empty(make: Callable[..., Batcher]) -> None:
    """Beside the 4 bytes that run, two of the three fit: of an empty string, 32 bytes, and a number, 4, each."""
    requests = [long_text(0)] * 3
    answers = ask_behind_a_run(make(max_batch_size=1, limits=ByteLimits(enqueued=4 + 2 * 36)), Recorder(), requests)
    refused = [answer for answer in answers if isinstance(answer, Rejection)]
    assert [error.code for error in refused] == [grpc.StatusCode.UNAVAILABLE]


def test_text_is_counted_in_bytes_and_numbers_are_not() -> None:
    assert text_bytes({**long_text(3, 0), "z": np.array([["é".encode(), b""]], object)}) == 5


def test_a_closed_batcher_refuses(make: Callable[..., Batcher]) -> None:
    batcher = make()
    batcher.close()
    batcher.close()
    with pytest.raises(Rejection) as caught:
        batcher.run("kind", Recorder(), x(1), None)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


@given(st.lists(st.lists(st.integers(0, 100), min_size=1, max_size=4), min_size=1, max_size=12), st.integers(4, 9))
@settings(max_examples=30, deadline=None)
def test_merging_changes_no_answer(requests: list[list[int]], largest: int) -> None:
    batcher = Batcher(BatchingParameters(max_batch_size=largest, num_batch_threads=2))
    try:
        with ThreadPoolExecutor(len(requests)) as pool:
            answers = pool.map(lambda values: batcher.run("kind", Recorder(), x(*values), SECONDS)["y"], requests)
            assert [answer.tolist() for answer in answers] == [[2 * v for v in values] for values in requests]
    finally:
        batcher.close()


def signature(first: int | None) -> SignatureDef:
    shape = TensorShapeProto(unknown_rank=True) if first is None else TensorShapeProto()
    if first is not None:
        shape.dim.add().size = first
    definition = SignatureDef()
    definition.inputs["x"].tensor_shape.CopyFrom(shape)
    definition.outputs["y"].tensor_shape.CopyFrom(shape)
    return definition


@pytest.mark.parametrize(("first", "expected"), [(-1, True), (None, True), (1, False)])
def test_the_signature_has_to_leave_the_batch_open(first: int | None, expected: bool) -> None:
    assert can_batch(signature(first), x(1)) is expected


@pytest.mark.parametrize("inputs", [{}, {"x": np.float32(1)}, x()])
def test_inputs_without_rows_are_not_merged(inputs: dict[str, Any]) -> None:
    definition = signature(-1)
    definition.inputs["z"].CopyFrom(definition.inputs["x"])
    assert not can_batch(definition, {name: np.asarray(value) for name, value in inputs.items()})


def test_inputs_of_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(Rejection, match="equal 0th-dimension size") as caught:
        can_batch(signature(-1), {**x(1), "z": np.ones(2)})
    assert caught.value.code is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("sizes", [(4, 2, 8), (2, 4), (8, 8)])
def test_allowed_sizes_rise_to_the_largest(sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValidationError, match="must rise and end with max_batch_size"):
        BatchingParameters(max_batch_size=8, allowed_batch_sizes=sizes)


def test_a_run_is_no_larger_than_a_request_may_be() -> None:
    with pytest.raises(ValidationError, match="max_execution_batch_size must be at most max_batch_size, 8; received 9"):
        BatchingParameters(max_batch_size=8, enable_large_batch_splitting=True, max_execution_batch_size=9)
    assert BatchingParameters(max_batch_size=8, max_execution_batch_size=9).execution_batch_size == 8


def test_the_sizes_of_runs_are_padded_to_end_with_the_largest_request() -> None:
    """As in TF Serving the list ends with max_batch_size, though no batch comes near it."""
    settings: dict[str, Any] = {"enable_large_batch_splitting": True, "max_execution_batch_size": 4}
    with pytest.raises(ValidationError, match="must rise and end with max_batch_size"):
        BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 4), **settings)
    assert BatchingParameters(max_batch_size=8, allowed_batch_sizes=(2, 4, 8), **settings).padded(3) == 4


def test_a_batch_that_cannot_be_counted_costs_its_requests_an_error_and_no_thread(make: Callable[..., Batcher]) -> None:
    def fail(batch: Batch) -> None:
        raise ValueError("no place to write")

    batcher = make(observe=fail, num_batch_threads=1)
    for _ in range(2):
        with pytest.raises(ValueError, match="no place to write"):
            batcher.run("kind", Recorder(), {"x": np.ones((1, 1))}, SECONDS)


def test_requests_that_may_wait_for_ever_are_answered_once_their_batch_is_full(make: Callable[..., Batcher]) -> None:
    batcher = make(max_batch_size=2, batch_timeout_micros=(1 << 63) - 1, num_batch_threads=1)
    run = Recorder()
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(batcher.run, "kind", run, {"x": np.ones((1, 1))}, SECONDS) for _ in range(2)]
        assert [answer.result(SECONDS)["y"].tolist() for answer in answers] == [[[2.0]], [[2.0]]]
    assert run.sizes == [2]
