import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.relevance import Relevance
from evaluation.scores import score_rankings

ELIGIBLE = np.array([True] * 8 + [False] * 2)
# Request 0 wants products 1 (bought) and 2 (clicked); request 1 wants 7; request 2 nothing.
RELEVANCE = Relevance.from_pairs(3, np.array([0, 0, 1]), np.array([1, 2, 7]), np.array([5.0, 1.0, 1.0]))
RANKINGS = {
    "good": np.array([[1, 2, 0], [7, 0, 1], [0, 1, 2]], np.int32),
    "poor": np.array([[0, 3, 2], [3, 4, -1], [0, 1, 2]], np.int32),
}


def test_scores_by_hand():
    scores = score_rankings(RANKINGS, RELEVANCE, ELIGIBLE, ks=(2, 3))
    assert scores.metric("good", "recall@2")[:2].tolist() == [1, 1]
    assert scores.metric("poor", "recall@3")[:2].tolist() == [0.5, 0]
    assert np.isnan(scores.metric("poor", "recall@3")[2])
    assert scores.mean("poor", "mrr") == pytest.approx((1 / 3 + 0) / 2)
    assert scores.metric("good", "ndcg@3")[0] == pytest.approx(1)
    # Linear gains: the click at rank 3 earns 1 / log2(4), the best is 5 + 1 / log2(3).
    assert scores.metric("poor", "ndcg@3")[0] == pytest.approx(0.5 / (5 + 1 / np.log2(3)))
    assert scores.coverage["good"] == pytest.approx(4 / 8)


def test_grades_may_gain_exponentially():
    scores = score_rankings(RANKINGS, RELEVANCE, ELIGIBLE, ks=(3,), gain="exponential")
    assert scores.metric("poor", "ndcg@3")[0] == pytest.approx(0.5 / (31 + 1 / np.log2(3)))


def test_recall_of_a_part_of_the_catalogue():
    only_two = np.arange(10) == 2
    scores = score_rankings(RANKINGS, RELEVANCE, ELIGIBLE, product_slices={"two": only_two})
    assert scores.product_slices["two"]["poor"][0] == 1
    assert np.isnan(scores.product_slices["two"]["poor"][1:]).all()


def test_the_curve_ends_where_recall_at_100_is():
    scores = score_rankings(RANKINGS, RELEVANCE, ELIGIBLE)
    at_100 = scores.curve_ks.index(100)
    np.testing.assert_array_equal(scores.recall_curve["poor"][:, at_100], scores.metric("poor", "recall@100"))


def test_a_product_twice_is_refused():
    with pytest.raises(DataError, match="cheat: request 0 lists a product twice"):
        score_rankings({"cheat": np.array([[1, 1], [7, 0], [0, 1]], np.int32)}, RELEVANCE, ELIGIBLE)
