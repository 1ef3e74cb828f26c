"""Requests that run as one, worked out by hand."""

import grpc
import numpy as np
import pytest

from serving.batch_task import Arrays, Task, run_together
from serving.batching_parameters import BatchingParameters
from serving.errors import Rejection
from serving.tensors import Array

AS_THEY_ARE = BatchingParameters(max_batch_size=8)
IN_FOURS = BatchingParameters(max_batch_size=8, allowed_batch_sizes=(4, 8))


class Doubled:
    """A model that doubles x; it remembers what it was given."""

    def __init__(self) -> None:
        self.given: list[list[int]] = []
        self.timeouts: list[float | None] = []

    def __call__(self, inputs: Arrays, timeout: float | None) -> dict[str, Array]:
        self.given.append(inputs["x"].tolist())
        self.timeouts.append(timeout)
        return {"y": inputs["x"] * 2}


def task(model: Doubled, *rows: int, deadline: float | None = None) -> Task:
    return Task("kind", model, {"x": np.array(rows)}, len(rows), 0, 0.0, deadline)


def test_each_gets_its_own_rows_of_what_ran_once() -> None:
    model = Doubled()
    answers = run_together([task(model, 1), task(model, 2, 3), task(model, 4)], AS_THEY_ARE, now=0.0)
    assert model.given == [[1, 2, 3, 4]]
    assert [answer["y"].tolist() for answer in answers] == [[2], [4, 6], [8]]


def test_a_batch_is_padded_with_its_last_row_of_which_nobody_hears() -> None:
    model = Doubled()
    answers = run_together([task(model, 1, 2), task(model, 7)], IN_FOURS, now=0.0)
    assert model.given == [[1, 2, 7, 7]]
    assert [answer["y"].tolist() for answer in answers] == [[2, 4], [14]]


def test_one_alone_is_padded_too() -> None:
    model = Doubled()
    assert [answer["y"].tolist() for answer in run_together([task(model, 5)], IN_FOURS, now=0.0)] == [[10]]
    assert model.given == [[5, 5, 5, 5]]


def test_the_run_has_the_time_of_the_latest_deadline_and_all_time_where_one_has_none() -> None:
    model = Doubled()
    run_together([task(model, 1, deadline=5.0), task(model, 2, deadline=9.0)], AS_THEY_ARE, now=2.0)
    run_together([task(model, 1, deadline=5.0), task(model, 2)], AS_THEY_ARE, now=2.0)
    assert model.timeouts == [7.0, None]


def test_lengths_are_padded_where_that_is_wanted_and_so_is_the_batch() -> None:
    """Rows of 1 and 2 become rows of 2; outputs are cut by row alone, so the shorter request gets two columns."""
    model = Doubled()
    tasks = [Task("kind", model, {"x": np.array(rows)}, 1, 0, 0.0, None) for rows in ([[1]], [[2, 3]])]
    padded = BatchingParameters(max_batch_size=4, allowed_batch_sizes=(4,), pad_variable_length_inputs=True)
    answers = run_together(tasks, padded, now=0.0)
    assert model.given == [[[1, 1], [2, 3], [2, 3], [2, 3]]]
    assert [answer["y"].tolist() for answer in answers] == [[[2, 2]], [[4, 6]]]


def test_one_alone_is_not_copied() -> None:
    given: list[Arrays] = []

    def run(inputs: Arrays, timeout: float | None) -> dict[str, Array]:
        given.append(inputs)
        return {"y": inputs["x"]}

    inputs = {"x": np.ones((2, 3))}
    run_together([Task("kind", run, inputs, 2, 0, 0.0, None)], BatchingParameters(pad_variable_length_inputs=True), 0.0)
    assert given == [inputs]


@pytest.mark.parametrize("output", [np.zeros(1), np.float64(0.0)])
def test_an_output_without_a_row_for_each_is_refused(output: Array) -> None:
    def summed(inputs: Arrays, timeout: float | None) -> dict[str, Array]:
        return {"total": np.asarray(output)}

    tasks = [Task("kind", summed, {"x": np.array([row])}, 1, 0, 0.0, None) for row in (1, 2)]
    with pytest.raises(Rejection, match="sizes of the input tensors: total") as refused:
        run_together(tasks, AS_THEY_ARE, now=0.0)
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
