import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from catalog.thin_behaviour import ThinBehaviourConfig
from rerank.behaviour import (
    ProductFacts,
    behaviour_features,
    behaviour_names,
    log_price,
    percentile_within,
    served_facts,
)

COUNTERS = ("impression_7d", "click_7d", "purchase_7d")


def facts(**changes: object) -> ProductFacts:
    values: dict[str, object] = {
        "category": np.array([0, 0, 1], np.int32),
        "price": np.array([10.0, 20.0, np.nan]),
        "rating_average": np.array([5.0, np.nan, 3.0]),
        "rating_count": np.array([10, 0, 10]),
        "launched": np.array([-5, 3, 9], np.int32),
        "has_picture": np.array([True, False, True]),
        "has_description": np.array([False, False, True]),
    }
    return ProductFacts(**{**values, **changes})  # type: ignore[arg-type]


def column(name: str, snapshot: np.ndarray, day: int = 4, **changes: object) -> list[float]:
    table = behaviour_features(facts(**changes), COUNTERS, snapshot, day)
    return table[:, behaviour_names(COUNTERS).index(name)].tolist()


SNAPSHOT = np.array([[100, 10, 1], [0, 0, 0], [100, 0, 0]], np.float32)


def test_counts_and_rates() -> None:
    assert column("log_click_7d", SNAPSHOT) == [np.float32(np.log(11)), 0.0, 0.0]
    # The catalogue's rate is 10 / 200; 20 prior impressions: (10 + 1) / 120 over 0.05, no chance: 1, (0 + 1) / 120.
    expected = np.log([11 / 120 / 0.05, 1.0, 1 / 120 / 0.05])
    np.testing.assert_allclose(column("click_per_impression_7d", SNAPSHOT), expected, rtol=1e-5, atol=1e-6)


def test_unknown_values_are_zero_beside_a_flag() -> None:
    assert column("price_known", SNAPSHOT) == [1, 1, 0]
    assert column("log_price", SNAPSHOT)[2] == 0
    assert column("rating_known", SNAPSHOT) == [1, 0, 1]
    # Mean of all ratings 4; (50 + 40) / 20 - 4 = 0.5, no rating 0, (30 + 40) / 20 - 4 = -0.5.
    np.testing.assert_allclose(column("rating", SNAPSHOT, day=10), [0.5, 0, -0.5], atol=1e-6)


def test_price_is_compared_within_the_category() -> None:
    mean = (np.log(11) + np.log(21)) / 2
    expected = [np.log(11) - mean, np.log(21) - mean, 0]
    np.testing.assert_allclose(column("price_over_category", SNAPSHOT), expected, atol=1e-6)
    assert column("price_percentile", SNAPSHOT) == [0.25, 0.75, 0.5]


def test_products_that_are_not_launched_yet_change_nothing_about_those_that_are() -> None:
    # On day 4 the second is not launched: it is placed among the first alone, and the third, of no price, nowhere.
    later = {"launched": np.array([-5, 4, 9], np.int32), "category": np.array([0, 0, 0], np.int32)}
    over = np.log(21) - np.log(11)
    np.testing.assert_allclose(column("price_over_category", SNAPSHOT, **later), [0, over, 0], atol=1e-6)
    assert column("price_percentile", SNAPSHOT, **later) == [0.5, 1, 0.5]
    assert column("category_percentile_7d", SNAPSHOT, **later) == [0.5, 0, 0]
    np.testing.assert_allclose(column("rating", SNAPSHOT, **later), [0, 0, -1], atol=1e-6)  # the mean is 5


def test_age_is_counted_from_the_launch_and_never_negative() -> None:
    np.testing.assert_allclose(column("log_age", SNAPSHOT), np.log1p([9, 1, 0]), rtol=1e-6)


def test_percentile_halves_ties() -> None:
    group = np.array([0, 0, 0, 0, 1], np.int32)
    value, everyone = np.array([1.0, 2.0, 2.0, 3.0, 7.0]), np.ones(5, bool)
    assert percentile_within(group, value, everyone).tolist() == [0.125, 0.5, 0.5, 0.875, 0.5]
    # Of the first group one of the two in the middle is counted, of the second its only one.
    assert percentile_within(group, value, np.arange(5) % 3 == 1).tolist() == [0, 0.5, 0.5, 1, 0.5]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), min_size=1, max_size=30))
def test_percentiles_average_to_a_half_in_every_group(pairs: list[tuple[int, int]]) -> None:
    group = np.array([pair[0] for pair in pairs], np.int32)
    percentile = percentile_within(group, np.array([pair[1] for pair in pairs], np.float64), np.ones(len(pairs), bool))
    for number in set(group.tolist()):
        assert abs(percentile[group == number].mean() - 0.5) < 1e-9


def test_everything_is_finite_without_a_single_event_price_or_rating() -> None:
    nothing = {"price": np.full(3, np.nan), "rating_average": np.full(3, np.nan), "rating_count": np.zeros(3, np.int64)}
    table = behaviour_features(facts(**nothing), COUNTERS, np.zeros((3, 3), np.float32), 0)
    assert table.shape == (3, len(behaviour_names(COUNTERS)))
    assert np.isfinite(table).all()


def test_log_price_of_a_price_that_is_none() -> None:
    assert log_price(np.array([np.nan, 0.0, -3.0])).tolist() == [0, 0, 0]


def test_few_events_are_brought_near_the_typical_product() -> None:
    counters = ("impression_all", "click_all", "click_7d")
    snapshot = np.array([[90, 10, 4], [0, 0, 0], [0, 0, 0]], np.float32)
    launched = {"launched": np.array([-5, 3, 9], np.int32)}
    # By day 4 two are launched: 45 impressions and 5 clicks, 2 in the week, and 5 ratings are typical.
    filled, counts = served_facts(
        facts(**launched), counters, snapshot, 4, ThinBehaviourConfig(thin_share=0.5, lift=1.25)
    )
    np.testing.assert_allclose(counts[1], [56.25, 6.25, 2.5])
    np.testing.assert_allclose(counts[2], counts[1])
    # 100 events, four times the 25 that count as thin: e^-4 is under the least share.
    np.testing.assert_array_equal(counts[0], snapshot[0])
    assert filled.rating_count.tolist() == [10, 5, 10]
    np.testing.assert_allclose(filled.rating_average, [5.0, 4.0, 3.0])  # the mean of all ratings is 4
    same, untouched = served_facts(facts(**launched), counters, snapshot, 4, ThinBehaviourConfig(thin_share=0.0))
    assert untouched is snapshot
    assert same.rating_count.tolist() == [10, 0, 10]
