import math

import numpy as np
import pytest

from evaluation.calibration import (
    binomial_p_value,
    calibration_rows,
    out_by_chance,
    parts_by_prediction,
    wilson_interval,
)


def test_predicted_over_observed_by_part():
    labels = np.array([True, False, False, True])
    probabilities = np.array([0.5, 0.5, 0.25, 0.75])
    first = np.array([True, True, False, False])
    rows = calibration_rows(labels, probabilities, {"first": first, "rest": ~first, "none": np.zeros(4, bool)})
    assert [(row.part, row.count, row.observed, row.predicted, row.ratio) for row in rows] == [
        ("first", 2, 1, 1.0, 1.0),
        ("rest", 2, 1, 1.0, 1.0),
    ]
    assert rows[0].log_loss == rows[0].base_rate_log_loss == pytest.approx(np.log(2))
    assert rows[1].log_loss == pytest.approx(-np.log(0.75))


def test_few_positives_tell_little():
    labels = np.zeros(1000, bool)
    few = calibration_rows(labels, np.full(1000, 0.002), {"all": ~labels})[0]
    # Two were expected and none came: chance explains it, and there is no ratio.
    assert few.ratio == few.high == np.inf
    assert few.p_value > 0.05
    labels[:100] = True
    assert calibration_rows(labels, np.full(1000, 0.2), {"all": np.ones(1000, bool)})[0].p_value < 0.05


def test_twice_the_smaller_tail_by_hand():
    # Two tosses of a coin: none, one or two heads with 1/4, 1/2, 1/4.
    assert [binomial_p_value(heads, 2, 0.5) for heads in (0, 1, 2)] == pytest.approx([0.5, 1, 0.5])
    # At least 3 of 3 at 1/10.
    assert binomial_p_value(3, 3, 0.1) == pytest.approx(0.002)


def test_parts_that_exact_probabilities_have_out():
    # Of one expected positive only one that comes is within 0.9 to 1.1, with 1/e; of a half none is.
    assert out_by_chance([1.0]) == pytest.approx(1 - math.exp(-1))
    assert out_by_chance([0.5]) == 1
    # Of 20 expected 19 to 22 are: 20 / 22 is 0.909 and 20 / 19 is 1.053.
    inside = sum(math.exp(-20) * 20**came / math.factorial(came) for came in (19, 20, 21, 22))
    assert out_by_chance([20.0, 1.0]) == pytest.approx(1 - inside + 1 - math.exp(-1))


def test_wilson_interval_by_hand():
    # Wilson 1927 for 1 of 10: centre (0.1 + 0.19207) / 1.38415 = 0.21101, half 1.96 / 1.38415 x 0.13594... = 0.19313.
    low, high = wilson_interval(1, 10)
    assert (low, high) == (pytest.approx(0.0179, abs=1e-3), pytest.approx(0.4042, abs=1e-3))
    assert wilson_interval(0, 10)[0] == 0


def test_tenths_hold_equal_numbers_or_equal_expected_positives():
    probabilities = np.array([0.1, 0.1, 0.1, 0.1, 0.4])
    parts = parts_by_prediction(probabilities, bins=2)
    assert [int(mask.sum()) for mask in parts.values()] == [3, 2, 4, 1]
    assert list(parts) == [
        "decile 1 of predictions",
        "decile 2 of predictions",
        "tenth 1 of expected positives",
        "tenth 2 of expected positives",
    ]
