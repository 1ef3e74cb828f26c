import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.thin_behaviour import Evidence, ThinBehaviourConfig, made_up

NAMES = ("impression_all", "click_all", "impression_7d", "click_7d")
OLD = 1000.0  # days
CONFIG = ThinBehaviourConfig(thin_share=0.5, lift=2.0)
# Typically 40 events, 8 of them in the last week, and 4 ratings of 4 stars; thin below 20 events.
TYPICAL = ([[30.0, 10.0, 6.0, 2.0]], [4.0], [4.0])


def read(
    counters: list[float], average: float, count: float, age: float = OLD, typical: tuple = TYPICAL
) -> tuple[list[float], float, float]:
    """The rule by numpy; by TensorFlow it must come to the same."""

    def by(xp: Any, array: Callable[..., Any]) -> Evidence:
        given, usual = (Evidence(*(array(column) for column in part)) for part in (values, typical))
        return made_up(xp, CONFIG, NAMES, given, array([age]), usual)

    values = ([counters], [average], [count])
    by_numpy = by(np, np.array)
    for first, second in zip(by_numpy, by(tf, lambda column: tf.constant(column, tf.float32)), strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5)
    return by_numpy.counters[0].tolist(), float(by_numpy.rating_average[0]), float(by_numpy.rating_count[0])


def test_a_product_nobody_met_counts_as_twice_a_typical_one() -> None:
    assert read([0.0] * 4, math.nan, 0.0) == ([60.0, 20.0, 12.0, 4.0], 4.0, 4.0)


def test_what_is_made_up_fades_with_the_events() -> None:
    # Twenty events in all: a share of exp(-1) is made up, and of the ratings so much as the product lacks.
    share = math.exp(-1)
    counters, average, count = read([15.0, 5.0, 3.0, 1.0], 1.0, 1.0)
    expected = [(1 - share) * own + share * 2 * usual for own, usual in zip([15, 5, 3, 1], TYPICAL[0][0], strict=True)]
    assert counters == pytest.approx(expected)
    assert count == pytest.approx(4 * share)
    assert average == pytest.approx((1.0 * 1 + 4.0 * (4 * share - 1)) / (4 * share))


def test_a_well_known_product_is_what_it_is() -> None:
    counters, average, count = read([500.0, 1.0, 0.0, 0.0], math.nan, 0.0)
    assert counters == [500.0, 1.0, 0.0, 0.0]
    assert math.isnan(average)
    assert count == 0


def test_in_a_shop_without_events_nothing_is_made_up() -> None:
    none = ([[0.0] * 4], [4.0], [4.0])
    counters, average, _ = read([0.0] * 4, math.nan, 0.0, typical=none)
    assert counters == [0.0] * 4
    assert math.isnan(average)


def test_few_days_on_sale_count_as_the_whole_window() -> None:
    # Twenty events, a share of exp(-1), in three and a half days: half of seven, and a tenth of the 35 days in which a
    # product with 8 events a week comes to 40.
    share = math.exp(-1)
    counters, _, _ = read([15.0, 5.0, 15.0, 5.0], math.nan, 0.0, age=3.5)
    own = [15 * (1 + share * 9), 5 * (1 + share * 9), 15 * (1 + share), 5 * (1 + share)]
    expected = [(1 - share) * full + share * 2 * usual for full, usual in zip(own, TYPICAL[0][0], strict=True)]
    assert counters == pytest.approx(expected)


def test_a_well_known_product_is_what_it_is_on_its_first_day() -> None:
    assert read([500.0, 100.0] * 2, 4.0, 9.0, age=0.0) == ([500.0, 100.0] * 2, 4.0, 9.0)


def test_a_share_of_nothing_changes_nothing() -> None:
    given = Evidence(np.zeros((1, 4)), np.array([math.nan]), np.zeros(1))
    assert made_up(np, ThinBehaviourConfig(thin_share=0.0), NAMES, given, np.ones(1), given) is given


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 500))
def test_made_up_clicks_fade_as_a_product_is_shown(impressions: int) -> None:
    clicks = [read([shown, 0.0, 0.0, 0.0], 4.0, 9.0)[0][1] for shown in (impressions, impressions + 10.0)]
    assert clicks[0] >= clicks[1] >= 0
