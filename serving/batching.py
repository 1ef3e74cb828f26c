"""Requests that arrive together run together, as TF Serving's batching session merges them.

The parameters are those of `--batching_parameters_file` (session_bundle_config.proto, BatchingParameters).
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import grpc
import numpy as np
from pydantic import Field, model_validator

from catalog.config import Config
from serving.errors import Rejection, invalid_argument
from serving.messages import SignatureDef
from serving.tensors import Array

Arrays = Mapping[str, Array]
Run = Callable[[Arrays, float | None], dict[str, Array]]
"""Runs one signature on merged inputs: (inputs, timeout in seconds) -> outputs."""


class BatchingParameters(Config):
    """When requests are merged, and how many may wait."""

    max_batch_size: int = Field(1000, ge=1, description="Rows of a batch at most; a larger request is refused.")
    batch_timeout_micros: int = Field(0, ge=0, description="How long the first request of a batch waits for others.")
    max_enqueued_batches: int = Field(10, ge=1, description="Full batches that may wait, of one kind of request.")
    num_batch_threads: int = Field(
        default_factory=lambda: os.cpu_count() or 1, ge=1, description="Batches that run at a time; one a core."
    )
    allowed_batch_sizes: tuple[int, ...] = Field((), description="Sizes that batches are padded to; any if empty.")
    enable_large_batch_splitting: bool = Field(False, description="Split larger requests instead of refusing them.")

    @model_validator(mode="after")
    def _sizes_rise(self) -> "BatchingParameters":
        sizes = self.allowed_batch_sizes
        if sizes and (sorted(set(sizes)) != list(sizes) or sizes[-1] != self.max_batch_size):
            raise ValueError(
                f"allowed_batch_sizes must rise and end with max_batch_size, {self.max_batch_size}; received {sizes}"
            )
        return self

    def padded(self, size: int) -> int:
        """The smallest allowed size that holds `size` rows."""
        return next((allowed for allowed in self.allowed_batch_sizes if allowed >= size), size)


@dataclass(slots=True, eq=False)
class _Task:
    """One request that waits. `done` is held until there is an answer."""

    inputs: Arrays
    size: int
    queued: float
    deadline: float | None
    outputs: dict[str, Array] | None = None
    error: BaseException | None = None
    abandoned: bool = False
    done: threading.Lock = field(default_factory=threading.Lock)

    def finish(self, outputs: dict[str, Array] | None, error: BaseException | None = None) -> None:
        self.outputs, self.error = outputs, error
        self.done.release()


@dataclass(slots=True, eq=False)
class _Queue:
    """Requests that can be merged: of one signature of one version, alike in outputs, types and shapes."""

    run: Run
    tasks: deque[_Task] = field(default_factory=deque)
    size: int = 0


class Batcher:
    """Threads that take what waits, merge it and run it.

    Requests are merged where they ask the same signature of the same version for the same outputs and their tensors
    agree in type and in every dimension but the first. A batch that fails is run again request by request, so that a
    bad one costs nobody else the answer.

    Args:
        parameters: sizes, waits and bounds.
        observe: told the size of each batch and how long, in seconds, its first request waited.
    """

    def __init__(self, parameters: BatchingParameters, observe: Callable[[int, float], None] | None = None) -> None:
        self.parameters = parameters
        self._observe = observe
        self._queues: dict[Hashable, _Queue] = {}
        self._change = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"batch-{number}", daemon=True)
            for number in range(parameters.num_batch_threads)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, kind: Hashable, run: Run, inputs: Arrays, timeout: float | None) -> dict[str, Array]:
        """Run one request, perhaps with others of its kind.

        Args:
            kind: what must be the same for requests to be merged, shapes and types aside.
            inputs: [rows, ...] each, all of the same number of rows.

        Raises:
            Rejection: INVALID_ARGUMENT for more rows than a batch holds, UNAVAILABLE where too many wait already,
                DEADLINE_EXCEEDED when the time is over, and what `run` raises.
        """
        size = next(iter(inputs.values())).shape[0]
        largest = self.parameters.max_batch_size
        if size > largest and not self.parameters.enable_large_batch_splitting:
            raise invalid_argument(f"Task size {size} is larger than maximum input batch size {largest}")
        now = monotonic()
        deadline = None if timeout is None else now + timeout
        key = (kind, *_shapes(inputs))
        if size <= largest:
            return self._answer(self._enqueue(key, run, _Task(inputs, size, now, deadline)))
        tasks = []
        for start in range(0, size, largest):
            part = {name: values[start : start + largest] for name, values in inputs.items()}
            tasks.append(self._enqueue(key, run, _Task(part, min(largest, size - start), now, deadline)))
        answers = [self._answer(task) for task in tasks]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def close(self) -> None:
        """Refuse what comes, finish what waits, end the threads. Safe to call twice."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _answer(self, task: _Task) -> dict[str, Array]:
        """Wait until a task is done."""
        left = -1.0 if task.deadline is None else min(max(task.deadline - monotonic(), 0.0), threading.TIMEOUT_MAX)
        if not task.done.acquire(timeout=left):
            task.abandoned = True
            raise _too_late()
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _enqueue(self, key: Hashable, run: Run, task: _Task) -> _Task:
        task.done.acquire()
        limit = self.parameters.max_enqueued_batches * self.parameters.max_batch_size
        with self._change:
            if self._closed:
                raise Rejection(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            queue = self._queues.get(key)
            if queue is None:
                queue = self._queues[key] = _Queue(run)
            if queue.size + task.size > limit:
                raise Rejection(
                    grpc.StatusCode.UNAVAILABLE,
                    f"The batch scheduling queue to which this task was submitted is full; {queue.size} rows wait, "
                    f"max_enqueued_batches {self.parameters.max_enqueued_batches}",
                )
            queue.tasks.append(task)
            queue.size += task.size
            self._change.notify()
        return task

    def _work(self) -> None:
        while True:
            with self._change:
                while (taken := self._take()) is None:
                    if self._closed and not self._queues:
                        return
                    self._change.wait(self._until_next())
            self._run_taken(*taken)
            del taken  # a thread that waits for the next batch would keep the model of the last one in memory

    def _run_taken(self, queue: _Queue, tasks: list[_Task]) -> None:
        if self._observe is not None:
            self._observe(sum(task.size for task in tasks), monotonic() - tasks[0].queued)
        self._run(queue.run, tasks)

    def _take(self) -> tuple[_Queue, list[_Task]] | None:
        """The batch whose first request has waited longest, of those that are full or have waited enough."""
        now, wait = monotonic(), self.parameters.batch_timeout_micros / 1e6
        ready = [
            (key, queue)
            for key, queue in self._queues.items()
            if self._closed or queue.size >= self.parameters.max_batch_size or queue.tasks[0].queued + wait <= now
        ]
        if not ready:
            return None
        key, queue = min(ready, key=lambda item: item[1].tasks[0].queued)
        tasks, size = [], 0
        while queue.tasks and size + queue.tasks[0].size <= self.parameters.max_batch_size:
            tasks.append(queue.tasks.popleft())
            size += tasks[-1].size
        queue.size -= size
        if not queue.tasks:
            del self._queues[key]
        return queue, tasks

    def _until_next(self) -> float | None:
        """Seconds until a batch has waited enough; None where none waits."""
        if not self._queues:
            return None
        oldest = min(queue.tasks[0].queued for queue in self._queues.values())
        return max(oldest + self.parameters.batch_timeout_micros / 1e6 - monotonic(), 0.0)

    def _run(self, run: Run, tasks: list[_Task]) -> None:
        now = monotonic()
        alive = []
        for task in tasks:
            if task.abandoned or (task.deadline is not None and task.deadline <= now):
                task.finish(None, _too_late())
            else:
                alive.append(task)
        if not alive:
            return
        try:
            answers = self._merged(run, alive, now)
        except Exception as error:  # noqa: BLE001 - each waiting thread raises its own
            late = isinstance(error, Rejection) and error.code is grpc.StatusCode.DEADLINE_EXCEEDED
            for task in alive:
                if late or len(alive) == 1:
                    task.finish(None, error)
                else:
                    self._run(run, [task])
            return
        for task, answer in zip(alive, answers, strict=True):
            task.finish(answer)

    def _merged(self, run: Run, tasks: list[_Task], now: float) -> list[dict[str, Array]]:
        deadlines = [task.deadline for task in tasks]
        latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None) - now
        size = sum(task.size for task in tasks)
        padding = self.parameters.padded(size) - size
        if len(tasks) == 1 and not padding:
            return [run(tasks[0].inputs, latest)]
        merged = {}
        for name in tasks[0].inputs:
            parts = [task.inputs[name] for task in tasks]
            merged[name] = np.concatenate([*parts, *[parts[-1][-1:]] * padding])
        outputs = run(merged, latest)
        for name, values in outputs.items():
            if not values.ndim or values.shape[0] != size + padding:
                raise Rejection(
                    grpc.StatusCode.FAILED_PRECONDITION,
                    f"Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the "
                    f"input tensors: {name}",
                )
        ends = np.cumsum([task.size for task in tasks])
        return [
            {name: values[end - task.size : end] for name, values in outputs.items()}
            for task, end in zip(tasks, ends.tolist(), strict=True)
        ]


def can_batch(signature: SignatureDef, inputs: Arrays) -> bool:
    """Whether a request can be merged with others.

    The signature has to leave the first dimension of every tensor open, and the request has to bring rows.

    Raises:
        Rejection: INVALID_ARGUMENT for tensors of different numbers of rows. Run alone, they would be bound by no
            batch's size, and broadcast against each other: a small request could take all memory.
    """
    tensors = [*signature.inputs.values(), *signature.outputs.values()]
    if not inputs or any(not _open_first(info.tensor_shape) for info in tensors):
        return False
    rows = {values.shape[0] if values.ndim else -1 for values in inputs.values()}
    if len(rows) > 1:
        raise invalid_argument("Batching session Run() input tensors must have equal 0th-dimension size")
    return rows.pop() > 0


def _open_first(shape: Any) -> bool:
    return shape.unknown_rank or (bool(shape.dim) and shape.dim[0].size == -1)


def _shapes(inputs: Arrays) -> tuple[Hashable, ...]:
    return tuple((name, values.dtype.str, values.shape[1:]) for name, values in sorted(inputs.items()))


def _too_late() -> Rejection:
    return Rejection(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the batch ran")
