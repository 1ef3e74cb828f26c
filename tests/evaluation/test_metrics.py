import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import metrics

# One request, five relevant products, of which ranks 1, 3 and 6 hold one.
HITS = np.array([[True, False, True, False, False, True]])
FIVE = np.array([5])


def test_recall_divides_by_all_relevant():
    assert metrics.recall_at(HITS, FIVE, 3)[0] == pytest.approx(2 / 5)
    assert metrics.recall_at(HITS, FIVE, 6)[0] == pytest.approx(3 / 5)


def test_capped_recall_divides_by_what_fits():
    assert metrics.recall_at(HITS, FIVE, 3, capped=True)[0] == pytest.approx(2 / 3)
    assert metrics.recall_at(HITS, FIVE, 6, capped=True)[0] == pytest.approx(3 / 5)


def test_precision_counts_empty_places_against_the_system():
    assert metrics.precision_at(HITS, FIVE, 3)[0] == pytest.approx(2 / 3)
    assert metrics.precision_at(HITS, FIVE, 10)[0] == pytest.approx(3 / 10)


def test_f1_is_the_harmonic_mean():
    precision, recall = 2 / 3, 2 / 5
    assert metrics.f1_at(HITS, FIVE, 3)[0] == pytest.approx(2 * precision * recall / (precision + recall))


def test_hit_rate_and_reciprocal_rank():
    hits = np.array([[False, False, True], [False, False, False]])
    relevant = np.array([1, 1])
    assert metrics.hit_rate_at(hits, relevant, 2).tolist() == [0, 0]
    assert metrics.hit_rate_at(hits, relevant, 3).tolist() == [1, 0]
    assert metrics.reciprocal_rank(hits, relevant) == pytest.approx([1 / 3, 0])
    assert metrics.reciprocal_rank(hits, relevant, k=2).tolist() == [0, 0]


def test_average_precision_by_hand():
    # Precision at the hits: 1/1, 2/3, 3/6; divided by min(5, 6) and by min(5, 3).
    assert metrics.average_precision_at(HITS, FIVE, 6)[0] == pytest.approx((1 + 2 / 3 + 1 / 2) / 5)
    assert metrics.average_precision_at(HITS, FIVE, 3)[0] == pytest.approx((1 + 2 / 3) / 3)


def test_ndcg_by_hand_with_either_gain():
    grades, ideal = np.array([[1, 0, 3]]), np.array([[3, 2, 1]])
    # log2 of 2, 3, 4 = 1, 1.585, 2
    linear = (1 + 3 / 2) / (3 + 2 / np.log2(3) + 1 / 2)
    assert metrics.ndcg_at(grades, ideal, 3)[0] == pytest.approx(linear)
    exponential = (1 + 7 / 2) / (7 + 3 / np.log2(3) + 1 / 2)
    gains, best = metrics.exponential_gain(grades), metrics.exponential_gain(ideal)
    assert metrics.ndcg_at(gains, best, 3)[0] == pytest.approx(exponential)


def test_nothing_relevant_has_no_value():
    none = np.array([0])
    values = [
        metrics.recall_at(HITS, none, 3),
        metrics.precision_at(HITS, none, 3),
        metrics.f1_at(HITS, none, 3),
        metrics.hit_rate_at(HITS, none, 3),
        metrics.reciprocal_rank(HITS, none),
        metrics.average_precision_at(HITS, none, 3),
        metrics.ndcg_at(np.zeros((1, 3)), np.zeros((1, 3)), 3),
    ]
    assert np.isnan(values).all()


def test_an_empty_list_earns_nothing():
    hits = np.zeros((1, 0), bool)
    assert metrics.recall_at(hits, FIVE, 10).tolist() == [0]
    assert metrics.reciprocal_rank(hits, FIVE).tolist() == [0]
    assert metrics.average_precision_at(hits, FIVE, 10).tolist() == [0]
    assert metrics.ndcg_at(np.zeros((1, 0)), np.ones((1, 10)), 10).tolist() == [0]


def test_coverage_counts_distinct_products_of_the_first_k():
    rows = np.array([[0, 1, 2], [1, -1, -1]], np.int32)
    assert metrics.coverage_at(rows, 10, 2) == pytest.approx(2 / 10)
    assert metrics.coverage_at(rows, 10, 3) == pytest.approx(3 / 10)


def test_expected_clicks_by_hand():
    appeal = np.array([[0.5, 0.2, 0.9]])
    # 1 x 0.5 + 0.6 x 0.2; the third rank is never examined.
    assert metrics.expected_clicks(appeal, np.array([1.0, 0.6]), 10)[0] == pytest.approx(0.62)


rankings = st.integers(1, 12).flatmap(
    lambda width: st.tuples(st.lists(st.booleans(), min_size=width, max_size=width), st.integers(0, 5))
)


@given(rankings, st.integers(1, 15))
def test_every_metric_lies_between_0_and_1(ranking, k):
    found, unfound = ranking
    hits = np.array([found])
    relevant = np.array([sum(found) + unfound])
    values = [
        metrics.recall_at(hits, relevant, k),
        metrics.recall_at(hits, relevant, k, capped=True),
        metrics.precision_at(hits, relevant, k),
        metrics.f1_at(hits, relevant, k),
        metrics.hit_rate_at(hits, relevant, k),
        metrics.reciprocal_rank(hits, relevant, k),
        metrics.average_precision_at(hits, relevant, k),
        metrics.ndcg_at(hits, (np.arange(15) < relevant[0])[None, :], k),
    ]
    for value in values:
        assert np.isnan(value[0]) if relevant[0] == 0 else 0 <= value[0] <= 1 + 1e-12


@given(rankings)
def test_recall_never_falls_with_k(ranking):
    found, unfound = ranking
    hits, relevant = np.array([found]), np.array([sum(found) + unfound + 1])
    curve = [metrics.recall_at(hits, relevant, k)[0] for k in range(1, 15)]
    assert np.all(np.diff(curve) >= 0)


@given(rankings, st.integers(1, 12), st.randoms())
def test_what_stands_beyond_k_changes_nothing(ranking, k, random):
    found, unfound = ranking
    tail = found[k:]
    random.shuffle(tail)
    relevant = np.array([sum(found) + unfound + 1])
    ideal = (np.arange(20) < relevant[0])[None, :]
    for metric in (metrics.recall_at, metrics.precision_at, metrics.f1_at, metrics.average_precision_at):
        before, after = (metric(np.array([hits]), relevant, k) for hits in (found, found[:k] + tail))
        assert before == after
    before, after = (metrics.ndcg_at(np.array([hits]), ideal, k) for hits in (found, found[:k] + tail))
    assert before == after


@given(st.lists(st.floats(0, 100), min_size=1, max_size=12), st.integers(1, 12), st.randoms())
def test_no_order_beats_the_ideal(gains, k, random):
    shuffled = list(gains)
    random.shuffle(shuffled)
    ideal = -np.sort(-np.array([gains]))
    value = metrics.ndcg_at(np.array([shuffled]), ideal, k)[0]
    assert np.isnan(value) or value <= 1 + 1e-9
    best = metrics.ndcg_at(ideal, ideal, k)[0]
    assert np.isnan(best) or best == pytest.approx(1)
