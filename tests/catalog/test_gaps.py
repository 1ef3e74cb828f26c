"""A wrong clock is told from a shop that pauses."""

import numpy as np
import pytest

from catalog.gaps import Gap, find_gaps, stray_gap


def log(*parts: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Days and events from (first day, number of days, events a day)."""
    days = np.concatenate([np.arange(start, start + count) for start, count, _ in parts])
    return days, np.concatenate([np.full(count, events) for _, count, events in parts])


def test_a_gap_says_what_lies_before_it() -> None:
    assert find_gaps(*log((0, 2, 3), (5, 1, 1), (6, 2, 1))) == [Gap(days=3, start=1, end=5, before=6)]


def test_one_event_years_before_a_log_of_four_weeks_is_a_stray() -> None:
    assert stray_gap(*log((10, 1, 1), (9000, 28, 10))) == Gap(days=8989, start=10, end=9000, before=1)


def test_strays_of_several_years_end_at_the_log() -> None:
    found = stray_gap(*log((10, 1, 1), (5000, 1, 1), (9000, 28, 10)))
    assert found == Gap(days=3999, start=5000, end=9000, before=2)


@pytest.mark.parametrize(
    "parts",
    [
        [(0, 90, 10), (365, 90, 10), (730, 90, 10)],  # a season of three months
        [(0, 1, 1), (300, 28, 10)],  # a test order ten months before the opening
        [(0, 10, 1), (2000, 28, 10)],  # 10 of 290 events: more than a hundredth, a history
        [(0, 1, 1), (400, 900, 10)],  # a year's pause before years of log
        [(0, 1, 1)],
    ],
)
def test_a_shop_that_pauses_has_no_strays(parts: list[tuple[int, int, int]]) -> None:
    assert stray_gap(*log(*parts)) is None
