"""Quantiles from the buckets of a page."""

import math

import pytest

from benchmarks.metrics_page import buckets, quantile
from serving.metrics import Histogram, exposition


def test_a_quantile_of_what_came_between_two_pages() -> None:
    """Before: one value. Between: ten from 0 to 10 and ten from 10 to 20, so nine tenths lie below 18."""
    histogram = Histogram(":a:latency", "Microseconds.", "model", "API", limits=(10.0, 20.0, 40.0))
    histogram.observe(39, "m", "Predict")
    before = buckets(exposition([histogram]), ":a:latency", model="m")
    for value in (*range(1, 11), *range(11, 21)):
        histogram.observe(value, "m", "Predict")
        histogram.observe(1, "another", "Predict")
    after = buckets(exposition([histogram]), ":a:latency", model="m")
    assert after == {10.0: 10, 20.0: 20, 40.0: 21, math.inf: 21}
    assert quantile(0.9, before, after) == pytest.approx(18.0)
    assert quantile(0.5, before, after) == pytest.approx(10.0)
    histogram.observe(1e9, "m", "Predict")
    assert quantile(1.0, after, buckets(exposition([histogram]), ":a:latency", model="m")) == math.inf


def test_without_values_there_is_none() -> None:
    assert math.isnan(quantile(0.5, {}, {}))
    assert math.isnan(quantile(0.5, {10.0: 1.0, math.inf: 1.0}, {10.0: 1.0, math.inf: 1.0}))
