import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from catalog.errors import DataError
from evaluation.arrays import check_rankings, compact, first_occurrences, ragged_indices, top_rows


def test_ragged_indices_lists_each_range_with_its_owner():
    owner, index = ragged_indices(np.array([2, 5, 5]), np.array([4, 5, 8]))
    assert owner.tolist() == [0, 0, 2, 2, 2]
    assert index.tolist() == [2, 3, 5, 6, 7]


def test_compact_keeps_the_order():
    rows = np.array([[4, 7, 2]], np.int32)
    assert compact(rows, np.array([[False, True, True]])).tolist() == [[7, 2, -1]]


def test_first_occurrences_ignores_padding():
    rows = np.array([[3, 1, 3, -1, 1]], np.int32)
    assert first_occurrences(rows).tolist() == [[True, True, False, False, False]]


def test_top_rows_pads_and_breaks_ties_by_number():
    scores = np.array([[0.5, 0.9, 0.5, -np.inf]])
    assert top_rows(scores, 2).tolist() == [[1, 0]]
    assert top_rows(scores, 5).tolist() == [[1, 0, 2, -1, -1]]


@given(hnp.arrays(np.float64, (3, 9), elements=st.sampled_from([-np.inf, 0.0, 1.0, 2.5])), st.integers(1, 12))
def test_top_rows_is_a_stable_sort(scores, k):
    for row, expected in zip(top_rows(scores, k), scores, strict=True):
        order = [i for i in np.argsort(-expected, kind="stable") if expected[i] > -np.inf][:k]
        assert row.tolist() == order + [-1] * (k - len(order))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.array([[0, 1, 0]]), "request 0 lists a product twice"),
        (np.array([[0, 9]]), r"expected product rows in \[-1, 5\)"),
        (np.array([[0.0, 1.0]]), "expected integer rankings"),
        (np.array([0, 1]), "expected integer rankings"),
    ],
)
def test_what_is_no_ranking_is_refused(rows, message):
    with pytest.raises(DataError, match=message):
        check_rankings(rows, 5, "tower")


def test_padding_may_repeat():
    assert check_rankings(np.array([[1, -1, -1]]), 5, "tower").dtype == np.int32
