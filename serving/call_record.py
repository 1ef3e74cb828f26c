"""One request on its way through the server: when each stage began, and what came of it.

A thread of a CallPool works on one call at a time, so each stage finds its call by the thread.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

import grpc

from serving.errors import Rejection

P = ParamSpec("P")
T = TypeVar("T")


class Departure:
    """Whether a client has gone: learned by the thread that reads its connection, asked by the one that answers it.

    Attributes:
        gone: nobody waits for the answer any more.
    """

    __slots__ = ("_told", "gone")

    def __init__(self) -> None:
        self.gone = False
        self._told: Callable[[], None] | None = None

    def leave(self) -> None:
        """The client has gone."""
        self.gone = True
        if (told := self._told) is not None:
            told()

    def tell(self, told: Callable[[], None] | None) -> None:
        """Call `told` when the client goes, at once if it has; perhaps twice. None: nobody wants to know any more."""
        self._told = told
        if told is not None and self.gone:
            told()


@dataclass(slots=True, eq=False)
class Call:
    """What is known of a request. Times are perf_counter's seconds.

    Attributes:
        queued: when it came; it waits for a thread from then.
        started: when a thread took it: it is parsed from then.
        run_began, run_ended: the model's run; 0 where it came to none. What follows is serialising.
        finished: when the answer was on its way.
        entrypoint: GRPC or REST.
        api: Predict and so on; empty for what is no call of the API.
        model: as the client named it.
        status: the name of the gRPC status.
        traceparent: the trace that the client is in, as it sent it.
        refused: whether too many waited when it came; its answer is a refusal.
        departure: whether its client has gone.
        batch_joined: when it began to wait for a batch; 0 where it was not merged.
        examples: how many tf.Examples ran; 0 for a call that brings none.
    """

    queued: float = 0.0
    started: float = 0.0
    run_began: float = 0.0
    run_ended: float = 0.0
    finished: float = 0.0
    entrypoint: str = ""
    api: str = ""
    model: str = ""
    status: str = "OK"
    traceparent: str = ""
    refused: bool = False
    departure: Departure = field(default_factory=Departure)
    batch_joined: float = 0.0
    examples: int = 0


Record = Callable[[Call], None]
"""Takes note of a finished call; raises nothing."""

OVERLOADED = "the server has more requests waiting than it takes; try again"

_thread = threading.local()
_in_hand: set[Call] = set()  # changed and measured in single steps of the interpreter, so without a lock


def calls_in_hand() -> int:
    """Calls of this process that are being read or answered right now; those whose model runs or will are not."""
    return len(_in_hand)


@contextmanager
def in_hand(call: Call) -> Iterator[None]:
    """Count a call whose message has come among those in hand."""
    _in_hand.add(call)
    try:
        yield
    finally:
        _in_hand.discard(call)


@contextmanager
def put_down(call: Call) -> Iterator[None]:
    """Do not count a call that waits for its model, if it is in hand."""
    was_in_hand = call in _in_hand
    _in_hand.discard(call)
    try:
        yield
    finally:
        if was_in_hand:
            _in_hand.add(call)


def check_accepted(call: Call) -> None:
    """Raise UNAVAILABLE for a refused call, and CANCELLED for one whose client has gone."""
    if call.departure.gone:
        raise Rejection(grpc.StatusCode.CANCELLED, "the client has gone")
    if call.refused:
        raise Rejection(grpc.StatusCode.UNAVAILABLE, OVERLOADED)


def current_call() -> Call:
    """The call that this thread works on; one that nobody records where there is none, as in warm-up."""
    call: Call | None = getattr(_thread, "call", None)
    return Call() if call is None else call


class CallPool(ThreadPoolExecutor):
    """Threads that measure each call from its arrival to its answer.

    Args:
        threads: calls worked on at a time.
        name: what the threads are called.
        record: gets each finished call of the API.
        waiting: calls that may wait for a thread. One that finds more is handed on as refused, in a thread that does
            nothing else, so that under overload a refusal comes at once and nothing piles up; 0 for no bound.
    """

    def __init__(self, threads: int, name: str, record: Record, waiting: int = 0) -> None:
        super().__init__(threads, thread_name_prefix=name)
        self._record = record
        self._most_waiting = waiting
        self._refusals = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-refusals") if waiting else None

    @property
    def waiting(self) -> int:
        """Calls that wait for a thread."""
        return self._work_queue.qsize()

    @property
    def full(self) -> bool:
        """Whether a call that comes now is refused."""
        return 0 < self._most_waiting <= self.waiting

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Work on a call that came right now."""
        if self._refusals is not None and self.full:
            return self._refusals.submit(self._work, perf_counter(), fn, args, kwargs, True)
        return super().submit(self._work, perf_counter(), fn, args, kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As an executor ends."""
        super().shutdown(wait, cancel_futures=cancel_futures)
        if self._refusals is not None:
            self._refusals.shutdown(wait, cancel_futures=cancel_futures)

    def _work(self, queued: float, fn: Callable[..., T], args: Any, kwargs: Any, refused: bool = False) -> T:
        _thread.call = call = Call(queued, perf_counter(), refused=refused)
        try:
            return fn(*args, **kwargs)
        finally:
            _thread.call = None
            call.finished = perf_counter()
            if call.api:
                self._record(call)
