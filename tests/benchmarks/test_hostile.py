"""Which answers count as the same, and how long a full queue takes."""

import os

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile import longest_stretch, queue_calls, same_answer

ANSWER = {b"a": 3.0, b"b": 2.0, b"c": 1.0}


def test_rounding_is_no_difference() -> None:
    assert same_answer(ANSWER, {b"a": 3.0001, b"c": 1.0, b"b": 1.9999})


def test_another_score_or_product_is_one() -> None:
    assert not same_answer(ANSWER, ANSWER | {b"b": 2.1})
    assert not same_answer(ANSWER, {b"x": 3.0, b"b": 2.0, b"c": 1.0})
    assert not same_answer(ANSWER, {b"a": 3.0, b"b": 2.0})
    assert not same_answer(ANSWER, {b"x": 3.0, b"y": 2.0, b"z": 1.0})


def test_products_of_equal_score_may_change_places_at_the_end() -> None:
    assert same_answer(ANSWER, {b"a": 3.0, b"b": 2.0, b"d": 1.0002})


def test_two_scores_may_differ_by_one_place_in_the_retrieval_order() -> None:
    assert same_answer(ANSWER, {b"a": 3.002, b"b": 1.998, b"c": 1.0})
    assert not same_answer(ANSWER, {b"a": 3.002, b"b": 1.998, b"c": 1.002})
    assert not same_answer(ANSWER, ANSWER | {b"b": float("nan")})


@given(st.dictionaries(st.binary(min_size=1), st.floats(-10, 10), min_size=1))
def test_an_answer_is_the_same_as_itself(answer: dict[bytes, float]) -> None:
    assert same_answer(answer, dict(answer))


def test_a_full_queue_is_the_threads_and_four_waiting_for_each() -> None:
    assert os.cpu_count()
    assert queue_calls() == 320  # with batching 64 threads and 256 that wait


def test_the_longest_stretch_of_so_many_answers() -> None:
    """Two answers took 1 s, 4 s and 3.5 s."""
    moments = np.array([0.0, 0.5, 1.0, 4.5, 4.5])
    assert longest_stretch(moments, 2) == 4.0
    assert longest_stretch(moments, 5) == float("inf")
