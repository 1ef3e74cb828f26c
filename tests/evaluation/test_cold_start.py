import numpy as np
import pytest

from evaluation.cold_start import (
    LAUNCHED_LATER,
    NEVER_MET,
    ColdRow,
    cold_claims,
    cold_products,
    cold_rows,
    cold_table,
    matched_recall,
)
from evaluation.significance import Interval

DAY = 86_400


def mask(products, *rows):
    result = np.zeros(products, bool)
    result[list(rows)] = True
    return result


def rows(*lists):
    return np.array(lists, np.int32)


def test_matched_recall_by_hand():
    # One cell: the known 0, 1, 2, 3 of which two are found, the cold 4 (found) and 5 (not).
    wanted, grades = rows([0, 1, 4, 2, 3, 5]), np.full((1, 6), 3, np.uint8)
    matched = matched_recall(rows([4, 1, 9, 0]), wanted, grades, mask(10, 4, 5), mask(10, 0, 1, 2, 3))
    assert (matched.request.tolist(), matched.product.tolist()) == ([0, 0], [4, 5])
    assert matched.found.tolist() == [1, 0]
    assert matched.expected.tolist() == [2 / 4, 2 / 4]


def test_grades_are_not_mixed():
    # Of grade 3 the known 0 is found, of grade 1 the known 1 is not; the cold 2 has grade 1, so none is expected.
    wanted, grades = rows([0, 1, 2]), np.array([[3, 1, 1]], np.uint8)
    matched = matched_recall(rows([0]), wanted, grades, mask(3, 2), mask(3, 0, 1))
    assert (matched.found.tolist(), matched.expected.tolist(), matched.product.tolist()) == ([0], [0], [2])


def test_places_by_appeal_are_not_mixed():
    # The first ten places and the next fifteen are two cells: only the known ones of the first are found.
    wanted, grades = np.arange(25, dtype=np.int32)[None], np.zeros((1, 25), np.uint8)
    cold = mask(25, 3, 20)
    found = matched_recall(np.arange(10, dtype=np.int32)[None], wanted, grades, cold, ~cold)
    assert (found.product.tolist(), found.found.tolist(), found.expected.tolist()) == ([3, 20], [1, 0], [1, 0])


def test_requests_are_not_mixed():
    # What is expected of a cold product is what its own request finds of the known ones.
    wanted, grades = rows([0, 2], [1, 2]), np.zeros((2, 2), np.uint8)
    matched = matched_recall(rows([0, -1], [2, -1]), wanted, grades, mask(3, 2), mask(3, 0, 1))
    assert (matched.request.tolist(), matched.product.tolist()) == ([0, 1], [2, 2])
    assert matched.found.tolist() == [0, 1]
    assert matched.expected.tolist() == [1, 0]


def test_a_cold_product_without_a_known_one_like_it_is_left_out():
    wanted, grades = rows([0, 1, -1]), np.array([[3, 2, 0]], np.uint8)
    matched = matched_recall(rows([1]), wanted, grades, mask(2, 1), mask(2, 0))
    assert len(matched.request) == len(matched.found) == 0


def test_only_the_first_k_are_found():
    matched = matched_recall(rows([0, 1]), rows([0, 1]), np.zeros((1, 2), np.uint8), mask(2, 1), mask(2, 0), k=1)
    assert (matched.found.tolist(), matched.expected.tolist()) == ([0], [1])


def test_a_cold_product_is_one_that_training_cannot_have_met(make_store, make_event):
    # The towers' slice ends with day 1. Product 1 was sold before its launch, 2 only shown and only after training.
    shown = {"user": 0, "timestamp": 3 * DAY, "query": -1, "slice": 2, "day": 3}
    store = make_store(
        5,
        1,
        interactions=[make_event(0, 0, DAY), make_event(0, 1, DAY), make_event(0, 3, 4 * DAY)],
        requests=[shown],
        impressions=[[{"product": 2, "position": 1}]],
    )
    store.launched[:] = [0, 2, 2, 3, 1]
    groups = cold_products(store, before=4 * DAY)
    assert groups[LAUNCHED_LATER].tolist() == [False, False, True, True, False]
    assert groups[NEVER_MET].tolist() == [False, False, False, True, False]
    assert groups["known"].tolist() == [True, False, False, False, True]


def test_rows_of_systems_with_the_ratio_and_its_interval():
    wanted, grades = rows([0, 2], [1, 2]), np.zeros((2, 2), np.uint8)
    groups = {"new": mask(3, 2), "nobody": mask(3), "known": mask(3, 0, 1)}
    rankings = {"all": rows([0, 2], [2, 1]), "old": rows([0, 1], [1, 0])}
    result = {row.system: row for row in cold_rows(rankings, wanted, grades, groups, np.arange(2))}
    assert list(result) == ["all", "old"]
    assert (result["all"].cold, result["all"].known, result["all"].ratio.estimate) == (1, 1, 1)
    assert (result["old"].cold, result["old"].known) == (0, 1)
    assert (result["old"].ratio.low, result["old"].ratio.high) == (0, 0)
    assert (result["old"].requests, result["old"].products) == (2, 2)


def test_what_one_product_is_worth_is_no_evidence_of_others():
    # Forty shoppers want two new products, of which the first is always found and the second never.
    wanted, grades = np.tile(rows([0, 1, 2]), (40, 1)), np.zeros((40, 3), np.uint8)
    groups = {"new": mask(3, 1, 2), "known": mask(3, 0)}
    (row,) = cold_rows({"ours": np.tile(rows([0, 1]), (40, 1))}, wanted, grades, groups, np.arange(40))
    assert (row.ratio.estimate, row.ratio.low, row.ratio.high, row.ratio.units) == (0.5, 0, 1, 2)


@pytest.mark.parametrize(("ratio", "users", "met"), [(0.71, 20, True), (0.69, 20, False), (0.71, 19, False)])
def test_the_claim_is_about_products_launched_later(ratio, users, met):
    interval = Interval(ratio, ratio - 0.1, ratio + 0.1, users)
    given = [
        ColdRow(LAUNCHED_LATER, "ours", 3, 9, 0.5, 0.5, interval),
        ColdRow(LAUNCHED_LATER, "BM25", 3, 9, 0.5, 0.5, interval),
        ColdRow(NEVER_MET, "ours", 3, 9, 0.5, 0.5, interval),
    ]
    claims = cold_claims(given, "search", "ours")
    assert [(claim.met, claim.bar) for claim in claims] == [(met, "estimate at least 0.70")]
    assert len(cold_table(given, "key", "title").rows) == 3
