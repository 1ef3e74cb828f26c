import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from catalog.thin_behaviour import Evidence, ThinBehaviourConfig, made_up

NAMES = ("impression_all", "click_all", "click_7d")
CONFIG = ThinBehaviourConfig(thin_share=0.5, lift=2.0)
# Typically 40 events, 30 impressions and 10 clicks, and 4 ratings of 4 stars; thin below 20 events.
TYPICAL = ([[30.0, 10.0, 2.0]], [4.0], [4.0])


def read(counters: list[float], average: float, count: float, typical: tuple = TYPICAL) -> tuple:
    """The rule by numpy; by TensorFlow it must come to the same."""
    values = ([counters], [average], [count])
    by_numpy = made_up(np, CONFIG, NAMES, *(Evidence(*map(np.array, part)) for part in (values, typical)))
    by_graph = made_up(
        tf,
        CONFIG,
        NAMES,
        *(Evidence(*(tf.constant(column, tf.float32) for column in part)) for part in (values, typical)),
    )
    for first, second in zip(by_numpy, by_graph, strict=True):
        np.testing.assert_allclose(second, first, rtol=1e-5)
    return by_numpy.counters[0].tolist(), float(by_numpy.rating_average[0]), float(by_numpy.rating_count[0])


def test_a_product_nobody_met_counts_as_twice_a_typical_one() -> None:
    assert read([0.0, 0.0, 0.0], math.nan, 0.0) == ([60.0, 20.0, 4.0], 4.0, 4.0)


def test_what_is_made_up_fades_with_the_events() -> None:
    # Twenty events in all: a share of exp(-1) is made up, and of the ratings so much as the product lacks.
    share = math.exp(-1)
    counters, average, count = read([15.0, 5.0, 5.0], 1.0, 1.0)
    expected = [(1 - share) * own + share * 2 * usual for own, usual in zip([15, 5, 5], TYPICAL[0][0], strict=True)]
    assert counters == pytest.approx(expected)
    assert count == pytest.approx(4 * share)
    assert average == pytest.approx((1.0 * 1 + 4.0 * (4 * share - 1)) / (4 * share))


def test_a_well_known_product_is_what_it_is() -> None:
    counters, average, count = read([500.0, 1.0, 0.0], math.nan, 0.0)
    assert counters == [500.0, 1.0, 0.0]
    assert math.isnan(average)
    assert count == 0


def test_in_a_shop_without_events_nothing_is_made_up() -> None:
    none = ([[0.0, 0.0, 0.0]], [4.0], [4.0])
    counters, average, _ = read([0.0, 0.0, 0.0], math.nan, 0.0, none)
    assert counters == [0.0, 0.0, 0.0]
    assert math.isnan(average)


@given(st.integers(0, 500))
def test_made_up_clicks_fade_as_a_product_is_shown(impressions: int) -> None:
    clicks = [
        float(
            made_up(np, CONFIG, NAMES, Evidence(*map(np.array, ([[shown, 0, 0]], [4.0], [9]))), typical).counters[0, 1]
        )
        for typical in [Evidence(*map(np.array, TYPICAL))]
        for shown in (impressions, impressions + 10)
    ]
    assert clicks[0] >= clicks[1] >= 0
