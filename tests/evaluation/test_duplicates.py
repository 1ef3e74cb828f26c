import numpy as np
import pytest

from evaluation.duplicates import (
    GroupedTruth,
    collapse,
    grouped_mask,
    grouped_relevance,
    grouped_requests,
    ranked_groups,
    repeats_at,
)
from evaluation.relevance import Relevance
from evaluation.truth_scores import ORACLE, score_against_truth

# Products 0 and 2 share a title, and so do 3 and 4.
GROUPS = np.array([0, 1, 0, 2, 2], np.int32)
ROWS = np.array([[2, 0, 4, 1, 3], [1, -1, -1, -1, -1]], np.int32)


def test_the_best_placed_of_each_title_stays():
    assert collapse(ROWS, GROUPS).tolist() == [[2, 4, 1, -1, -1], [1, -1, -1, -1, -1]]
    assert ranked_groups(ROWS, GROUPS).tolist() == [[0, 2, 1, -1, -1], [1, -1, -1, -1, -1]]


def test_share_of_places_that_repeat_a_title():
    # Of [2, 0, 4, 1] the second repeats the first; padding repeats nothing.
    assert repeats_at(ROWS, GROUPS, 4).tolist() == [1 / 4, 0]
    assert repeats_at(ROWS, GROUPS, 5).tolist() == [2 / 5, 0]


def test_a_title_is_as_relevant_as_its_best_product():
    relevance = Relevance.from_pairs(2, np.array([0, 0, 1]), np.array([0, 2, 4]), np.array([1.0, 5.0, 3.0]))
    grouped = grouped_relevance(relevance, GROUPS)
    assert grouped.counts().tolist() == [1, 1]
    assert grouped.gains(np.array([[0, 1, 2], [0, 1, 2]])).tolist() == [[5, 0, 0], [0, 0, 3]]


def test_a_title_is_in_the_index_and_known_if_one_of_its_products_is(make_requests):
    assert grouped_mask(np.array([True, False, False, False, True]), GROUPS).tolist() == [True, False, True]
    requests = grouped_requests(make_requests("recommendation", [""], [[4, 1]]), GROUPS)
    assert requests.history_product.tolist() == [2, 1]


def test_the_grouped_truth_takes_the_greatest_value_in_the_index(make_truth):
    truth = make_truth(np.array(list("abcde")), np.ones(10, np.float32))
    eligible = np.array([True, False, True, False, True])
    grouped = GroupedTruth(truth, GROUPS, eligible)
    dense, found = truth.appeal(["u"], ["s"], ["q"])[0], grouped.appeal(["u"], ["s"], ["q"])[0]
    assert found.tolist() == [max(dense[0], dense[2]), 0, dense[4]]
    grades = truth.relevance(["q"])[0]
    assert grouped.relevance(["q"])[0].tolist() == [max(grades[0], grades[2]), 0, grades[4]]
    assert grouped.conversion(["u"]).shape == (1, 3)
    assert len(grouped.product_ids) == 3


@pytest.mark.parametrize("task", ["search", "recommendation"])
def test_titles_that_are_all_different_score_as_products_do(make_truth, make_requests, task):
    random = np.random.default_rng(0)
    truth = make_truth(np.array([f"p{row}" for row in range(30)]), np.ones(10, np.float32))
    eligible = random.random(30) > 0.2
    requests = make_requests(task, ["x", "y"] if task == "search" else ["", ""], [[3], []])
    rows = np.array([np.flatnonzero(eligible)[4:14]] * 2, np.int32)
    alone = np.arange(30, dtype=np.int32)
    plain = score_against_truth(truth, requests, {"ours": rows}, eligible).scores
    grouped = score_against_truth(
        GroupedTruth(truth, alone, eligible),
        grouped_requests(requests, alone),
        {"ours": ranked_groups(rows, alone)},
        grouped_mask(eligible, alone),
    ).scores
    for system in ("ours", ORACLE):
        for metric, values in plain.values[system].items():
            np.testing.assert_allclose(grouped.metric(system, metric), values)
