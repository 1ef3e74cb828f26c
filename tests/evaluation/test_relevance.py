from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.relevance import Relevance, asked_again, judged_relevance, logged_relevance
from evaluation.requests import sample_requests

DAY = 86_400
ALL = np.ones(6, bool)


def test_pairs_are_looked_up_wherever_they_are_ranked():
    relevance = Relevance.from_pairs(3, np.array([2, 0, 0]), np.array([4, 1, 3]), np.array([5.0, 1.0, 3.0]))
    rows = np.array([[3, 0, 1], [1, 3, 4], [4, -1, -1]], np.int32)
    assert relevance.gains(rows).tolist() == [[3, 0, 1], [0, 0, 0], [5, 0, 0]]
    assert relevance.counts().tolist() == [2, 0, 1]
    assert relevance.ideal(2).tolist() == [[3, 1], [0, 0], [5, 0]]


def test_the_greatest_gain_of_a_pair_counts_and_none_is_no_relevance():
    relevance = Relevance.from_pairs(1, np.zeros(4, int), np.array([2, 2, 2, 5]), np.array([1.0, 5.0, 3.0, 0.0]))
    assert relevance.product.tolist() == [2]
    assert relevance.gain.tolist() == [5]


def test_restricting_drops_pairs_and_masks_count_parts():
    relevance = Relevance.from_pairs(2, np.array([0, 0, 1]), np.array([0, 1, 1]))
    first_only = np.array([True, False])
    assert relevance.counts(first_only).tolist() == [1, 0]
    assert relevance.restrict(first_only).counts().tolist() == [1, 0]


def test_pairs_of_another_relevance_are_dropped():
    relevance = Relevance.from_pairs(3, np.array([0, 0, 1]), np.array([0, 2, 2]), np.array([1.0, 5.0, 3.0]))
    other = Relevance.from_pairs(3, np.array([0, 1, 2, 2]), np.array([2, 0, 2, 9]))
    kept = relevance.without(other)
    assert kept.counts().tolist() == [1, 1, 0]
    assert (kept.product.tolist(), kept.gain.tolist()) == ([0, 2], [1, 3])
    assert relevance.without(Relevance.from_pairs(3, np.zeros(0, int), np.zeros(0, int))).gain.tolist() == [1, 5, 3]


def test_an_empty_relevance_finds_nothing():
    relevance = Relevance.from_pairs(2, np.zeros(0, int), np.zeros(0, int))
    assert relevance.gains(np.array([[0, 1], [2, -1]], np.int32)).tolist() == [[0, 0], [0, 0]]
    assert relevance.ideal(2).tolist() == [[0, 0], [0, 0]]


def test_search_relevance_is_what_happened_on_the_page(make_store):
    page = [
        {"product": 0, "position": 1, "click": True, "purchase": True},
        {"product": 1, "position": 2},
        {"product": 2, "position": 3, "click": True},
        {"product": 5, "position": 4, "click": True, "cart": True},
    ]
    log = make_store(
        6, 1, ["red"], requests=[{"user": 0, "session": "s", "query": 0, "timestamp": 4 * DAY, "slice": 3}],
        impressions=[page],
    )  # fmt: skip
    eligible = ALL & (np.arange(6) != 5)
    relevance = logged_relevance(log, sample_requests(log, "search", 5, 0), eligible)
    assert relevance.product.tolist() == [0, 2]
    assert relevance.gain.tolist() == [5, 1]


def test_gains_are_the_shops_own_weights(make_store):
    weights = {**KIND_WEIGHTS, "click": 2.0, "purchase": 9.0}
    page = {"user": 0, "session": "s", "query": 0, "timestamp": 4 * DAY, "slice": 3}
    shown = [{"product": 0, "click": True, "purchase": True}, {"product": 1, "click": True}]
    episodes = [{"user": 0, "query": 0, "timestamp": 4 * DAY, "product": 2, "kind": KINDS.index("click"), "slice": 3}]
    for log in (
        make_store(6, 1, ["red"], requests=[page], impressions=[shown]),
        make_store(6, 1, ["red"], examples=episodes),
    ):
        log = replace(log, kind_weights=weights)
        found = logged_relevance(log, sample_requests(log, "search", 5, 0), ALL)
        assert dict(zip(found.product.tolist(), found.gain.tolist(), strict=True)) in ({0: 9, 1: 2}, {2: 2})


def test_recommendation_relevance_is_what_new_products_the_user_turns_to_next(make_store):
    def episode(product, time, kind="click", query=-1, new=True, user=0):
        return {"user": user, "query": query, "timestamp": time, "product": product, "kind": KINDS.index(kind),
                "new": new}  # fmt: skip

    start = 4 * DAY
    examples = [
        episode(0, start - 1),  # before the request
        episode(1, start, "purchase"),  # at once
        episode(2, start + 90_000, "view"),  # the next day, still in the slice [day 4, day 6)
        episode(3, start + 5, query=0),  # followed a query
        episode(4, start + 5, new=False),  # nothing new
        episode(5, start + 5, user=1),  # somebody else
    ]
    log = make_store(
        6, 2, ["red"], examples=examples,
        requests=[{"user": 0, "session": "s", "query": -1, "timestamp": start, "slice": 3}],
    )  # fmt: skip
    relevance = logged_relevance(log, sample_requests(log, "recommendation", 5, 0), ALL)
    assert relevance.product.tolist() == [1, 2]
    assert relevance.gain.tolist() == [5, 0.5]


def test_validation_requests_do_not_look_into_the_test_days(make_store):
    examples = [
        {"user": 0, "query": -1, "timestamp": 3 * DAY + 9, "product": 1, "kind": 2, "new": True},
        {"user": 0, "query": -1, "timestamp": 4 * DAY, "product": 2, "kind": 2, "new": True},
    ]
    log = make_store(
        6, 1, examples=examples,
        requests=[{"user": 0, "session": "s", "query": -1, "timestamp": 3 * DAY, "slice": 2}],
    )  # fmt: skip
    requests = sample_requests(log, "recommendation", 5, 0, slice_code=2)
    assert logged_relevance(log, requests, ALL).product.tolist() == [1]


def test_without_pages_a_search_is_judged_by_its_episodes(make_store):
    examples = [
        {"user": 0, "query": 0, "timestamp": 4 * DAY, "product": 1, "kind": 3, "slice": 3},
        {"user": 0, "query": 0, "timestamp": 4 * DAY, "product": 2, "kind": 2, "slice": 3},
        {"user": 0, "query": 0, "timestamp": 5 * DAY, "product": 3, "kind": 2, "slice": 3},
    ]
    log = make_store(6, 1, ["red"], examples=examples)
    relevance = logged_relevance(log, sample_requests(log, "search", 5, 0), ALL)
    by_request = [
        relevance.product[a:b].tolist() for a, b in zip(relevance.start[:-1], relevance.start[1:], strict=True)
    ]
    assert by_request == [[1, 2], [1, 2], [3]]


def test_without_pages_the_episodes_are_found_however_many_queries_and_users_there_are(make_store):
    # 100,000 queries of 200,000 users: as many pairs as 2^34, each with a time of 2^33 seconds.
    random = np.random.default_rng(0)
    queries, users, episodes = 100_000, 200_000, 300
    examples = [
        {
            "user": int(user),
            "query": int(query),
            "timestamp": 4 * DAY + place,
            "product": place % 6,
            "kind": 2,
            "slice": 3,
        }
        for place, (user, query) in enumerate(
            zip(random.integers(0, users, episodes), random.integers(0, queries, episodes), strict=True)
        )
    ]
    log = make_store(6, users, [f"q{number}" for number in range(queries)], examples=examples)
    relevance = logged_relevance(log, sample_requests(log, "search", episodes, 0), ALL)
    assert relevance.counts().tolist() == [1] * episodes
    assert relevance.product.tolist() == [place % 6 for place in range(episodes)]


def test_judgments_are_joined_by_query_and_product(make_requests):
    judgments = pa.table(
        {
            "query": ["red", "red", "blue", "red"],
            "product_id": ["p1", "p2", "p0", "gone"],
            "grade": [3.0, 0.0, 1.0, 2.0],
        }
    )
    requests = make_requests("search", ["Blue ", "red", "unjudged"], [[], [], []])
    relevance = judged_relevance(requests, judgments, ["p0", "p1", "p2"], np.ones(3, bool))
    assert relevance.counts().tolist() == [1, 1, 0]
    assert relevance.gains(np.array([[0, 1], [1, 2], [0, 1]], np.int32)).tolist() == [[1, 0], [3, 0], [0, 0]]


def test_a_query_is_known_whatever_its_case_and_blanks():
    queries = np.array([" Red Dress", "red", "RED"], object)
    assert asked_again(queries, {"red dress", "Red "}).tolist() == [True, True, True]
    assert asked_again(queries, set()).tolist() == [False, False, False]


@pytest.mark.parametrize("time", [4 * DAY, 5 * DAY + 7])
def test_relevance_is_the_same_whatever_the_order_of_requests(make_store, time):
    log = make_store(
        6, 1, examples=[{"user": 0, "query": -1, "timestamp": time, "product": 1, "kind": 2, "new": True}],
        requests=[{"user": 0, "session": "s", "query": -1, "timestamp": 4 * DAY + i, "slice": 3} for i in range(2)],
    )  # fmt: skip
    requests = sample_requests(log, "recommendation", 5, 0)
    backwards = requests.select(np.array([1, 0]))
    assert (
        logged_relevance(log, backwards, ALL).counts().tolist()
        == logged_relevance(log, requests, ALL).counts().tolist()[::-1]
    )
