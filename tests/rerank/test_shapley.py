"""Shapley values by hand, and their laws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rerank.shapley import GROUPS, coalitions, shapley_weights


def worth_of(function: object) -> np.ndarray:
    return np.array([function(set(np.flatnonzero(members).tolist())) for members in coalitions(3)])  # type: ignore[operator]


def test_every_coalition_is_there_once_none_first_and_all_last() -> None:
    members = coalitions(len(GROUPS))
    assert members.shape == (32, 5)
    assert len(np.unique(members, axis=0)) == 32
    assert not members[0].any()
    assert members[-1].all()


def test_a_left_and_two_right_gloves() -> None:
    # Player 0 has a left glove, 1 and 2 a right one each; a pair is worth 1. Of six orders of joining, player 0
    # completes a pair in four; each of the others in one.
    pairs = worth_of(lambda players: float(0 in players and bool(players & {1, 2})))
    np.testing.assert_allclose(shapley_weights(3) @ pairs, [4 / 6, 1 / 6, 1 / 6], rtol=1e-6)


def test_what_adds_up_is_told_apart() -> None:
    added = worth_of(lambda players: sum((2.0, -3.0, 0.5)[player] for player in players))
    np.testing.assert_allclose(shapley_weights(3) @ added, [2, -3, 0.5], rtol=1e-5)


@given(st.lists(st.floats(-10, 10), min_size=32, max_size=32))
def test_they_add_up_to_what_all_are_worth_over_none(worth: list[float]) -> None:
    values = shapley_weights(5) @ np.array(worth)
    assert values.sum() == pytest.approx(worth[-1] - worth[0], abs=1e-4)
