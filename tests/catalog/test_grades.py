import numpy as np
import pytest

from catalog.grades import scaled_grades


@pytest.mark.parametrize(
    ("grades", "expected"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0.5, 4], [0.5, 4]),
        ([0, 5, 2.5], [0, 3, 1.5]),  # stars
        ([100, 95, 0], [3, 2.85, 0]),  # per cent
        ([], []),
    ],
)
def test_scales_beyond_four_end_at_three(grades: list[float], expected: list[float]) -> None:
    found = scaled_grades(np.array(grades))
    assert found.tolist() == pytest.approx(expected)
    assert found.dtype == np.float32
