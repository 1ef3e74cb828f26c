import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.aligned_truth import AlignedTruth


@pytest.fixture
def truth(make_truth):
    return make_truth(np.array(["c", "a", "b"], object), np.array([1.0, 0.5]))


def test_columns_follow_the_product_rows(truth):
    aligned = AlignedTruth(truth, ["a", "c"])
    assert aligned.product_ids.tolist() == ["a", "c"]
    np.testing.assert_array_equal(aligned.relevance(["q"]), truth.relevance(["q"])[:, [1, 0]])
    np.testing.assert_array_equal(aligned.appeal(["u"], ["s"], [""]), truth.appeal(["u"], ["s"], [""])[:, [1, 0]])
    np.testing.assert_array_equal(aligned.conversion(["u"]), truth.conversion(["u"])[:, [1, 0]])


def test_the_same_order_is_passed_on(truth):
    np.testing.assert_array_equal(AlignedTruth(truth, ["c", "a", "b"]).relevance(["q"]), truth.relevance(["q"]))


def test_a_product_the_truth_does_not_know_is_refused(truth):
    with pytest.raises(DataError, match="1 products are not in the simulated truth, the first is 'z'"):
        AlignedTruth(truth, ["a", "z"])
