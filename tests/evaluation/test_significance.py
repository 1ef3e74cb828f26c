import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.significance import group_ratio, holm, mean_interval, paired_intervals


def test_a_constant_difference_is_certain():
    random = np.random.default_rng(0)
    baseline = random.random(50)
    difference, ratio = paired_intervals(baseline + 0.25, baseline)
    assert (difference.low, difference.estimate, difference.high) == pytest.approx((0.25, 0.25, 0.25))
    assert difference.above_zero
    difference, ratio = paired_intervals(3 * baseline, baseline)
    assert (ratio.low, ratio.estimate, ratio.high) == pytest.approx((3, 3, 3))


def test_the_interval_has_the_width_of_the_normal_theory():
    values = np.random.default_rng(1).normal(1.0, 2.0, size=2500)
    interval = mean_interval(values, resamples=4000)
    half = 1.96 * values.std() / np.sqrt(2500)
    assert interval.estimate == pytest.approx(values.mean())
    assert (interval.high - interval.low) / 2 == pytest.approx(half, rel=0.08)


def test_requests_of_one_user_are_no_independent_evidence():
    # 20 users, each with 50 equal requests: the evidence is that of 20 numbers, not of 1,000.
    users = np.repeat(np.arange(20), 50)
    values = np.random.default_rng(2).normal(size=20)[users]
    naive = mean_interval(values)
    clustered = mean_interval(values, clusters=users)
    assert clustered.estimate == pytest.approx(naive.estimate)
    assert (clustered.high - clustered.low) / (naive.high - naive.low) == pytest.approx(np.sqrt(50), rel=0.25)


def test_of_two_kinds_of_clusters_the_wider_interval_counts():
    # 400 users each ask one of 20 queries, and all that a request is worth is its query's: it is 20 numbers.
    queries = np.arange(400) % 20
    values = np.random.default_rng(6).normal(size=20)[queries]
    by_user, by_query = (mean_interval(values, clusters) for clusters in (np.arange(400), queries))
    assert by_query.high - by_query.low > 3 * (by_user.high - by_user.low)
    assert mean_interval(values, (np.arange(400), queries)) == by_query
    assert mean_interval(values, (queries, np.arange(400))) == by_query
    baseline = np.zeros(400)
    both = paired_intervals(values, baseline, (np.arange(400), queries))
    assert both[0] == paired_intervals(values, baseline, queries)[0]
    first, others = queries < 10, queries >= 10
    ratio = group_ratio(values + 9, first, others, (np.arange(400), queries))
    assert ratio == group_ratio(values + 9, first, others, queries)


def test_of_two_kinds_of_clusters_the_fewest_units_count():
    # All ask the same: by user there is an interval, and what it rests on is one query.
    interval = mean_interval(np.arange(30.0), (np.arange(30), np.zeros(30)))
    assert interval.low < interval.high
    assert (interval.units, interval.is_decided) == (1, False)


def test_clusters_of_one_change_nothing():
    values, baseline = np.random.default_rng(3).random((2, 40))
    alone = paired_intervals(values, baseline, clusters=np.arange(40))
    assert alone == paired_intervals(values, baseline)


def test_pairs_with_a_missing_value_are_left_out():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    baseline = np.array([0.0, 9.0, np.nan, 1.0])
    difference, ratio = paired_intervals(values, baseline)
    assert difference.estimate == pytest.approx(((1 - 0) + (5 - 1)) / 2)
    assert ratio.estimate == pytest.approx(6 / 1)


def test_nothing_to_compare_is_undefined():
    nothing = np.full(3, np.nan)
    for interval in (*paired_intervals(nothing, nothing), mean_interval(nothing)):
        assert np.isnan([interval.estimate, interval.low, interval.high]).all()
        assert not interval.above_zero


def test_the_seed_decides_and_chunks_do_not_matter(monkeypatch):
    values, baseline = np.random.default_rng(4).random((2, 30))
    first = paired_intervals(values, baseline, seed=7)
    assert first == paired_intervals(values, baseline, seed=7)
    assert first != paired_intervals(values, baseline, seed=8)
    monkeypatch.setattr("evaluation.significance._DRAWS_AT_ONCE", 3000)
    chunked = paired_intervals(values, baseline, seed=7)
    assert chunked == first


def test_one_user_has_no_interval_however_many_requests():
    difference, ratio = paired_intervals(np.ones(25), np.full(25, 0.5), np.zeros(25))
    assert (difference.estimate, ratio.estimate, difference.units) == (0.5, 2, 1)
    assert np.isnan([difference.low, difference.high, ratio.low, ratio.high]).all()
    assert not difference.above_zero


def test_units_are_users_with_a_value_in_both_systems():
    users = np.array([1, 1, 2, 3, 4])
    values = np.array([1, 1, 1, np.nan, 1])
    difference, _ = paired_intervals(values, np.zeros(5), users)
    assert (difference.units, difference.is_decided) == (3, False)
    assert mean_interval(np.ones(20)).is_decided
    assert group_ratio(values, users < 3, users >= 3, users).units == 1  # of the smaller group


def test_unequal_lengths_are_refused():
    with pytest.raises(DataError, match="shapes"):
        paired_intervals(np.zeros(3), np.zeros(4))


def test_the_ratio_of_two_groups_of_requests():
    values = np.array([0.2, 0.4, 0.9, 0.3, np.nan])
    first, second = np.array([1, 1, 0, 0, 1], bool), np.array([0, 0, 1, 1, 0], bool)
    interval = group_ratio(values, first, second)
    assert interval.estimate == pytest.approx(0.3 / 0.6)
    assert interval.low < 0.5 < interval.high


def test_the_ratio_to_an_empty_group_is_unknown():
    assert np.isnan(group_ratio(np.ones(2), np.ones(2, bool), np.zeros(2, bool)).estimate)


@pytest.mark.parametrize(
    ("p_values", "rejected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [True, False, False, True]),  # 0.005 of 0.05 / 4, 0.01 of / 3, 0.03 of / 2 is over
        ([0.01, 0.02, 0.04], [True, True, True]),  # Bonferroni would stop at 0.05 / 3
        ([0.02, 0.02, 0.02], [False, False, False]),
        ([], []),
    ],
)
def test_holm_by_hand(p_values, rejected):
    assert holm(p_values).tolist() == rejected
