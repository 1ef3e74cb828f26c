"""What a load tells: rates and percentiles."""

import numpy as np
import pytest

from benchmarks.load import Load


def test_rates_and_percentiles() -> None:
    load = Load(np.array([0.01, 0.02, 0.03]), elapsed=2.0, rows=4)
    assert load.rate == 6.0  # 3 answers of 4 rows in 2 s
    assert load.p50 == pytest.approx(20.0)


def test_no_answer_is_slower_than_any() -> None:
    load = Load(np.array([]), elapsed=1.0, failed=5)
    assert load.rate == 0.0
    assert load.p99 == float("inf")
