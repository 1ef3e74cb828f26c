"""Requests of a kind that run as one: their rows side by side, and each one's answer cut out of what comes."""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field

import grpc
import numpy as np

from serving.batch_padding import padded_alike
from serving.batching_parameters import BatchingParameters
from serving.errors import Rejection
from serving.tensors import Array

Arrays = Mapping[str, Array]
Run = Callable[[Arrays, float | None], dict[str, Array]]
"""Runs one signature on merged inputs: (inputs, timeout in seconds) -> outputs."""


@dataclass(slots=True, eq=False)
class Task:
    """One request that waits. `done` is held until there is an answer.

    Attributes:
        key: requests of the same key may be merged.
        run: what runs them.
        inputs: [size, ...] each.
        bytes: that the inputs hold.
        queued, deadline, began: when it came, has to be done, and was run; perf_counter's seconds.
    """

    key: Hashable
    run: Run
    inputs: Arrays
    size: int
    bytes: int
    queued: float
    deadline: float | None
    began: float = 0.0
    outputs: dict[str, Array] | None = None
    error: BaseException | None = None
    done: threading.Lock = field(default_factory=threading.Lock)


def run_together(tasks: Sequence[Task], parameters: BatchingParameters, now: float) -> list[dict[str, Array]]:
    """Run tasks of one key as one batch, with the time of the one that has most left.

    Args:
        tasks: at least one, of the same key.
        parameters: to which size a batch is padded, with copies of its last row, and whether tensors of different
            lengths are padded as well.
        now: perf_counter's seconds.

    Returns:
        The outputs of each task.

    Raises:
        Rejection: of the run; FAILED_PRECONDITION for an output that has not a row for each of the inputs,
            RESOURCE_EXHAUSTED for lengths that padding cannot make alike.
    """
    deadlines = [task.deadline for task in tasks]
    latest = None if None in deadlines else max(deadline for deadline in deadlines if deadline is not None) - now
    run, size = tasks[0].run, sum(task.size for task in tasks)
    padding = parameters.padded(size) - size
    if len(tasks) == 1 and not padding:
        return [run(tasks[0].inputs, latest)]
    requests = [task.inputs for task in tasks]
    if parameters.pad_variable_length_inputs:
        requests = padded_alike(requests)
    merged = {}
    for name in requests[0]:
        parts = [request[name] for request in requests]
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


def too_late() -> Rejection:
    """Of a request whose deadline has passed."""
    return Rejection(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the batch ran")
