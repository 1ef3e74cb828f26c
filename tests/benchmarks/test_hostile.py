"""Which answers count as the same, and how long a full queue takes."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile import p99_after, queue_calls, same_answer, stretch_p99

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


def test_what_came_before_the_attack_is_left_out() -> None:
    """Of 1 s and 2 s, p99 lies 0.99 of the way from the first to the second."""
    assert p99_after(np.array([9.0, 9.0, 2.0, 1.0]), 2) == pytest.approx(1.99)
    assert p99_after(np.array([9.0, 9.0]), 2) == float("inf")


def test_what_ninety_nine_of_a_hundred_stretches_of_so_many_answers_took() -> None:
    """Two answers took 1 s, 4 s and 3.5 s: p99 lies 0.98 of the way from the second to the third of them."""
    moments = np.array([0.0, 0.5, 1.0, 4.5, 4.5])
    assert stretch_p99(moments, 2) == pytest.approx(3.5 + 0.98 * 0.5)
    assert stretch_p99(moments, 5) == float("inf")


def test_one_hiccup_does_not_loosen_the_bound_of_a_long_run() -> None:
    """An answer every 0.1 s, and once, for 3 of 1,000 stretches of 3 answers, none for 9 s."""
    moments = np.arange(1003) / 10.0
    moments[500:] += 9.0
    assert stretch_p99(moments, 3) == pytest.approx(0.3)
