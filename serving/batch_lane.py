"""Queues of requests that wait, and threads that run those of a kind together."""

import math
import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import grpc

from serving.batch_task import Task, run_together, too_late
from serving.batching_parameters import BatchingParameters
from serving.call_record import calls_in_hand
from serving.errors import Rejection
from serving.tensors import Array

_PATIENCE, _LOOK = 0.005, 0.0005
"""Seconds that a batch waits at most for calls which are in hand, and between looks at whether some are."""

_HALF_LIFE = 0.02
"""Seconds after which half as many calls are expected as there were at most: who is answered may ask again."""

_ALONE = 1.5
"""Calls expected up to which one is alone: there were two, but not in the last eight milliseconds."""


_thread = threading.local()


def in_company() -> bool:
    """Whether the batch that this thread runs shares the cores with what reads, answers or runs other requests."""
    return getattr(_thread, "in_company", False)


@dataclass(frozen=True)
class Batch:
    """A batch that is about to run.

    Attributes:
        pool: the name of the threads it runs in.
        sizes: rows of each request in it.
        padding: rows that were added to fill it.
        waited: seconds that each request waited.
    """

    pool: str
    sizes: Sequence[int]
    padding: int
    waited: Sequence[float]


Observe = Callable[[Batch], None]


@dataclass(slots=True, eq=False)
class _Queue:
    """Requests that can be merged."""

    tasks: deque[Task] = field(default_factory=deque)
    size: int = 0


@dataclass(frozen=True)
class Bounds:
    """What a lane takes.

    Attributes:
        rows: that may wait, of one kind.
        requests, bytes: that may wait or run.
    """

    rows: float = math.inf
    requests: float = math.inf
    bytes: float = math.inf


class Lane:
    """Queues by kind, and threads that run what is in them, the longest waiting first.

    A batch that fails is run again request by request, so that a bad one costs nobody else the answer.

    Args:
        name: of its threads.
        threads: batches that run at a time.
        parameters: sizes of batches.
        wait: seconds that the first request of a batch waits for others.
        bounds: what may wait.
        observe: told of each batch.
        ahead: batches that are given to their model while `threads` others run, so that the next one begins the
            moment one ends and not when its answers are on their way.
    """

    def __init__(
        self,
        name: str,
        threads: int,
        parameters: BatchingParameters,
        wait: float,
        bounds: Bounds,
        observe: Observe | None = None,
        ahead: int = 0,
    ) -> None:
        self.name = name
        self._at_a_time = threads
        self._running = 0
        self._expected, self._expected_at = 0.0, perf_counter()
        self._parameters = parameters
        self._largest = parameters.execution_batch_size
        self._wait = wait
        self._bounds = bounds
        self._observe = observe
        self._queues: dict[Hashable, _Queue] = {}
        self._requests = self._bytes = 0
        self._change = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(threads + ahead)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        with self._change:
            return sum(queue.size for queue in self._queues.values())

    def add(self, task: Task) -> None:
        """Let a request wait for its run; Rejection UNAVAILABLE where that is too much."""
        task.done.acquire()
        with self._change:
            if self._closed:
                raise Rejection(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            queue = self._queues.get(task.key, None) or _Queue()
            self._check_room(queue, task)
            self._queues[task.key] = queue
            queue.tasks.append(task)
            queue.size += task.size
            self._requests += 1
            self._bytes += task.bytes
            self._change.notify()

    def answer(self, task: Task) -> dict[str, Array]:
        """Wait until a request is done: its outputs, or its error raised."""
        left = -1.0 if task.deadline is None else min(max(task.deadline - perf_counter(), 0.0), threading.TIMEOUT_MAX)
        if not task.done.acquire(timeout=left):
            self.withdraw(task)
            raise too_late()
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def withdraw(self, task: Task) -> None:
        """Nobody waits for the answer any more: a request that does not run yet never will. Safe to call twice."""
        with self._change:
            queue = self._queues.get(task.key)
            if queue is None or task not in queue.tasks:
                return
            queue.tasks.remove(task)
            queue.size -= task.size
            if not queue.tasks:
                del self._queues[task.key]
            self._change.notify_all()  # a closing lane waits for the last one
        late = task.deadline is not None and task.deadline <= perf_counter()
        gone = Rejection(grpc.StatusCode.CANCELLED, "the client has gone")
        self._finish(task, None, too_late() if late else gone)

    def close(self) -> None:
        """Refuse what comes, finish what waits, end the threads. Safe to call twice."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _check_room(self, queue: _Queue, task: Task) -> None:
        if queue.size + task.size > self._bounds.rows:
            full = f"{queue.size} rows wait, max_enqueued_batches {self._parameters.max_enqueued_batches}"
        elif self._requests >= self._bounds.requests:
            full = f"{self._requests} large requests wait or run"
        elif self._requests and self._bytes + task.bytes > self._bounds.bytes:
            full = f"{self._bytes} bytes wait or run"
        else:
            return
        raise Rejection(
            grpc.StatusCode.UNAVAILABLE,
            f"The batch scheduling queue to which this task was submitted is full; {full}",
        )

    def _finish(self, task: Task, outputs: dict[str, Array] | None, error: BaseException | None = None) -> None:
        with self._change:
            self._requests -= 1
            self._bytes -= task.bytes
        task.outputs, task.error = outputs, error
        task.done.release()

    def _work(self) -> None:
        while True:
            with self._change:
                while (tasks := self._take()) is None:
                    if self._closed and not self._queues:
                        return
                    self._change.wait(self._until_next())
                self._running += 1
                _thread.in_company = self._expect(perf_counter()) > _ALONE
            try:
                self._run_taken(tasks)
            finally:
                with self._change:
                    self._running -= 1
            del tasks  # a thread that waits for the next batch would keep the model of the last one in memory

    def _take(self) -> list[Task] | None:
        """The batch whose first request has waited longest, of those that are full or have waited enough."""
        now, largest = perf_counter(), self._largest
        ready = [
            (key, queue)
            for key, queue in self._queues.items()
            if self._closed or queue.size >= largest or self._waited(queue, now)
        ]
        if not ready:
            return None
        # Ahead of its turn a batch does not go before one of another kind that has waited for its turn.
        late = [item for item in self._queues.items() if now - item[1].tasks[0].queued >= self._wait + _PATIENCE]
        key, queue = min(late or ready, key=lambda item: item[1].tasks[0].queued)
        tasks, size = [], 0
        while queue.tasks and size + queue.tasks[0].size <= largest:
            tasks.append(queue.tasks.popleft())
            size += tasks[-1].size
        queue.size -= size
        if not queue.tasks:
            del self._queues[key]
        return tasks

    def _waited(self, queue: _Queue, now: float) -> bool:
        """Whether a batch that is not full has waited enough.

        What is read or answered right now may soon be company, the next request of who is answered included: a batch
        waits for its share of them. One that did not would run small, and a small batch costs almost what a large one
        does. A request that comes alone finds nothing in hand and does not wait. Ahead of its turn a batch gains
        little, so that it waits for its share of all who may be expected.
        """
        waited = now - queue.tasks[0].queued
        if waited < self._wait:
            return False
        if self._running >= self._at_a_time:
            return len(queue.tasks) * len(self._threads) >= self._expect(now)
        in_hand = calls_in_hand()
        return not in_hand or queue.size * self._at_a_time >= self._requests + in_hand or waited >= _PATIENCE

    def _expect(self, now: float) -> float:
        """How many calls may be on their way: those that are known now, or were a moment ago."""
        known = self._requests + calls_in_hand()
        self._expected = max(known, self._expected * 0.5 ** ((now - self._expected_at) / _HALF_LIFE))
        self._expected_at = now
        return self._expected

    def _until_next(self) -> float | None:
        """Seconds until a batch has waited enough; None where none waits."""
        if not self._queues:
            return None
        oldest = min(queue.tasks[0].queued for queue in self._queues.values())
        # While as many run as run at a time there is no haste: who ends a batch looks, as does who adds to one.
        look = _LOOK if self._running < self._at_a_time else _PATIENCE
        return min(max(oldest + self._wait - perf_counter(), look), threading.TIMEOUT_MAX)

    def _run_taken(self, tasks: list[Task]) -> None:
        try:
            if self._observe is not None:
                now, sizes = perf_counter(), [task.size for task in tasks]
                padding = self._parameters.padded(sum(sizes)) - sum(sizes)
                self._observe(Batch(self.name, sizes, padding, [now - task.queued for task in tasks]))
        except Exception as error:  # noqa: BLE001 - each waiting thread raises its own
            for task in tasks:
                self._finish(task, None, error)
            return
        self._run(tasks)

    def _run(self, tasks: list[Task]) -> None:
        now = perf_counter()
        alive = []
        for task in tasks:
            task.began = now
            if task.deadline is not None and task.deadline <= now:
                self._finish(task, None, too_late())
            else:
                alive.append(task)
        if not alive:
            return
        try:
            answers = run_together(alive, self._parameters, now)
        except Exception as error:  # noqa: BLE001 - each waiting thread raises its own
            late = isinstance(error, Rejection) and error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            for task in alive:
                if late or len(alive) == 1:
                    self._finish(task, None, error)
                else:
                    self._run([task])
            return
        for task, answer in zip(alive, answers, strict=True):
            self._finish(task, answer)
