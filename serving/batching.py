"""Requests that arrive together run together, as TF Serving's batching session merges them."""

from collections.abc import Hashable
from time import perf_counter
from typing import Any

import numpy as np

from serving.batch_lane import Bounds, Lane, Observe
from serving.batch_task import Arrays, Run, Task
from serving.batching_parameters import DEFAULT_BYTE_LIMITS, BatchingParameters, ByteLimits
from serving.call_record import current_call, put_down
from serving.errors import invalid_argument
from serving.messages import SignatureDef
from serving.tensors import STRING_BYTES, Array

__all__ = ["Batcher", "BatchingParameters", "can_batch"]

POOL, LARGE_POOL = "batch_threads", "large_batch_threads"
"""The names of the two lanes' threads; the first is TF Serving's default."""


class Batcher:
    """Merges requests and runs them.

    Requests are merged where they ask the same signature of the same version for the same outputs and their tensors
    agree in type and in every dimension but the first. Where lengths are padded, the same rank is enough, but not for
    what is empty, nor for the pieces of a large request, whose answers would be of different lengths. Those with far
    longer text than others run by themselves in threads of their own.

    Args:
        parameters: sizes, waits and bounds.
        observe: told of each batch.
        limits: bounds on what requests hold.
        ahead: batches that are given to their model while others run.
    """

    def __init__(
        self,
        parameters: BatchingParameters,
        observe: Observe | None = None,
        limits: ByteLimits = DEFAULT_BYTE_LIMITS,
        ahead: int = 0,
    ) -> None:
        self.parameters = parameters
        self._merged_text = limits.merged_text
        self._largest = parameters.execution_batch_size
        bounds = Bounds(rows=parameters.max_enqueued_batches * self._largest, bytes=limits.enqueued)
        wait = parameters.batch_timeout_micros / 1e6
        self._lane = Lane(POOL, parameters.num_batch_threads, parameters, wait, bounds, observe, ahead)
        bounds = Bounds(requests=limits.large, bytes=limits.enqueued_large)
        self._large = Lane(LARGE_POOL, limits.large_threads, parameters, 0.0, bounds, observe)

    def run(self, kind: Hashable, run: Run, inputs: Arrays, timeout: float | None) -> dict[str, Array]:
        """Run one request, perhaps with others of its kind.

        Args:
            kind: what must be the same for requests to be merged, shapes and types aside.
            inputs: [rows, ...] each, all of the same number of rows.

        Raises:
            Rejection: INVALID_ARGUMENT for more rows than a request may have, UNAVAILABLE where too many wait already,
                DEADLINE_EXCEEDED when the time is over, CANCELLED when the client has gone, and what `run` raises.
        """
        size = next(iter(inputs.values())).shape[0]
        if size > self.parameters.max_batch_size:
            raise invalid_argument(
                f"Task size {size} is larger than maximum input batch size {self.parameters.max_batch_size}"
            )
        now = perf_counter()
        deadline = None if timeout is None else now + timeout
        tasks, lanes = [], []
        whole = size <= self._largest
        alike = _ranks if whole and self.parameters.pad_variable_length_inputs else _shapes
        for part in [inputs] if whole else _split(inputs, size, self._largest):
            rows, text = next(iter(part.values())).shape[0], text_bytes(part)
            alone = text > rows * self._merged_text
            key = object() if alone else (kind, *alike(part))
            tasks.append(Task(key, run, part, rows, text + _other_bytes(part), now, deadline))
            lanes.append(self._large if alone else self._lane)
        answers = _answers(tasks, lanes)
        if len(answers) == 1:
            return answers[0]
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return self._lane.waiting + self._large.waiting

    def close(self) -> None:
        """Refuse what comes, finish what waits, end the threads. Safe to call twice."""
        self._lane.close()
        self._large.close()


def _answers(tasks: list[Task], lanes: list[Lane]) -> list[dict[str, Array]]:
    """The answer to each task. Where one fails, or the client goes, none goes on waiting for its run."""

    def withdraw() -> None:
        for task, lane in zip(tasks, lanes, strict=True):
            lane.withdraw(task)

    call = current_call()
    try:
        for task, lane in zip(tasks, lanes, strict=True):
            lane.add(task)
        call.departure.tell(withdraw)
        with put_down(call):
            answers = [lane.answer(task) for task, lane in zip(tasks, lanes, strict=True)]
    except BaseException:
        withdraw()
        raise
    finally:
        call.departure.tell(None)
    call.batch_joined, call.run_began = tasks[0].queued, min(task.began for task in tasks)
    return answers


def _split(inputs: Arrays, size: int, largest: int) -> list[Arrays]:
    return [
        {name: values[start : start + largest] for name, values in inputs.items()} for start in range(0, size, largest)
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


def text_bytes(inputs: Arrays) -> int:
    """The bytes of all text."""
    return sum(sum(map(len, values.ravel().tolist())) for values in inputs.values() if values.dtype == object)


def _other_bytes(inputs: Arrays) -> int:
    """The bytes of all numbers, and those that strings take beside their text."""
    tensors = inputs.values()
    return sum(values.size * STRING_BYTES if values.dtype == object else values.nbytes for values in tensors)


def _open_first(shape: Any) -> bool:
    return shape.unknown_rank or (bool(shape.dim) and shape.dim[0].size == -1)


def _shapes(inputs: Arrays) -> tuple[Hashable, ...]:
    return tuple((name, values.dtype.str, values.shape[1:]) for name, values in sorted(inputs.items()))


def _ranks(inputs: Arrays) -> tuple[Hashable, ...]:
    """As `_shapes`, with the rank in place of a shape; what is empty has no value to be padded with."""
    return tuple(
        (name, values.dtype.str, values.ndim if values.size else values.shape[1:])
        for name, values in sorted(inputs.items())
    )
