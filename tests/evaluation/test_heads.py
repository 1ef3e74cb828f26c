import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import DataError
from evaluation.heads import auc, calibration_bins, log_loss, losses, pr_auc, score_head

LABELS = np.array([True, False, True, False])


def test_auc_counts_pairs_and_ties_half():
    # Pairs (positive, negative): 0.8 > 0.6, 0.8 > 0.1, 0.6 = 0.6 (half), 0.6 > 0.1 = 3.5 of 4.
    assert auc(LABELS, np.array([0.8, 0.6, 0.6, 0.1])) == pytest.approx(3.5 / 4)


def test_a_constant_score_is_worth_nothing():
    constant = np.full(4, 0.3)
    assert auc(LABELS, constant) == pytest.approx(0.5)
    assert pr_auc(LABELS, constant) == pytest.approx(0.5)  # the share of positives


def test_pr_auc_by_hand():
    # Order: + - + -; recall rises at ranks 1 and 3, with precision 1 and 2/3.
    assert pr_auc(LABELS, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    # The tie of a positive and a negative is one threshold: ranks 1-2 have precision 1/2, then 2/3.
    assert pr_auc(LABELS, np.array([0.9, 0.9, 0.7, 0.1])) == pytest.approx(0.5 * 1 / 2 + 0.5 * 2 / 3)


def test_one_class_alone_has_no_auc():
    assert np.isnan(auc(np.array([True, True]), np.array([0.1, 0.2])))
    assert np.isnan(pr_auc(np.array([False, False]), np.array([0.1, 0.2])))


def test_log_loss_by_hand():
    value = log_loss(np.array([True, False]), np.array([0.8, 0.4]))
    assert value == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert np.isfinite(log_loss(np.array([True]), np.array([0.0])))
    each = losses(np.array([True, False]), np.array([0.8, 0.4]))
    assert each.tolist() == pytest.approx([-np.log(0.8), -np.log(0.6)])


def test_calibration_bins_are_of_equal_size_in_order_of_prediction():
    labels = np.array([False, True, False, False])
    low, high = calibration_bins(labels, np.array([0.1, 0.9, 0.7, 0.3]), bins=2)
    assert (low.count, low.predicted, low.observed) == (2, pytest.approx(0.2), 0.0)
    assert (high.count, high.predicted, high.observed) == (2, pytest.approx(0.8), 0.5)


def test_calibration_has_no_empty_bin():
    assert [part.count for part in calibration_bins(np.array([True, False]), np.array([0.5, 0.2]))] == [1, 1]


def test_score_head_knows_the_base_rate():
    head = score_head("click", LABELS, np.array([0.9, 0.2, 0.8, 0.1]))
    assert head.base_rate == 0.5
    assert head.base_rate_log_loss == pytest.approx(np.log(2))
    assert head.auc == 1.0
    assert head.log_loss < head.base_rate_log_loss


@pytest.mark.parametrize("predicted", [[0.1, 0.2, 0.3, 1.5], [0.1, 0.2, 0.3, np.nan], [0.1, 0.2]])
def test_what_is_no_probability_is_refused(predicted):
    with pytest.raises(DataError, match="head click: expected"):
        score_head("click", LABELS, np.array(predicted))


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=2, max_size=40))
def test_auc_is_the_share_of_pairs_in_order(examples):
    labels = np.array([label for label, _ in examples])
    scores = np.array([float(score) for _, score in examples])
    pairs = [np.sign(p - n) / 2 + 0.5 for p in scores[labels] for n in scores[~labels]]
    if pairs:
        assert auc(labels, scores) == pytest.approx(np.mean(pairs))
        assert auc(labels, -scores) == pytest.approx(1 - np.mean(pairs))
    else:
        assert np.isnan(auc(labels, scores))
