import math

import numpy as np
import pytest
from scipy import sparse

from evaluation.arrays import check_rankings
from evaluation.catalogue import Catalogue
from evaluation.line_up import TEXT_FEATURES, LineUp

WORDS = [f"{colour} {kind}" for colour in ("red", "blue", "green") for kind in "abcdefghij"]
# A category a colour and nothing else; price, ratings and rating are told apart by the product's number.
CATALOGUE = Catalogue(
    WORDS,
    WORDS,
    np.stack([np.arange(30.0), 100 + np.arange(30.0), np.full(30, 4.0)], axis=1).astype(np.float32),
    sparse.csr_matrix(np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)),
    np.ones(3, bool),
)
ELIGIBLE = np.random.default_rng(0).random(30) > 0.2


DAY = 86_400


def line_up(make_store, make_event, before=1000, eligible=ELIGIBLE):
    random = np.random.default_rng(1)
    events = [make_event(int(user), int(random.integers(30)), int(at)) for user in range(12) for at in range(9)]
    late = [make_event(12, product, 5000, "purchase") for product in range(30)]
    asked = [{"user": 0, "query": product // 10, "product": product} for product in (0, 1, 2, 3, 10, 11, 12, 13)]
    log = make_store(30, 13, ["red", "blue"], interactions=events + late, examples=asked)
    return LineUp(log, CATALOGUE, eligible, before)


@pytest.fixture
def requests(make_requests):
    random = np.random.default_rng(2)
    histories = [random.integers(0, 30, random.integers(0, 6)).tolist() for _ in range(70)]
    return {
        "search": make_requests("search", ["red a", "spaceship"] * 35, histories),
        "recommendation": make_requests("recommendation", [""] * 70, histories),
    }


@pytest.mark.parametrize("task", ["search", "recommendation"])
def test_every_method_keeps_the_contract_of_rankings(make_store, make_event, requests, task):
    methods = line_up(make_store, make_event)
    rankings, lists = methods.rank(requests[task], 12)
    assert tuple(rankings) == methods.names
    for name, rows in {**rankings, "candidates": lists.rows}.items():
        check_rankings(rows, 30, name)
        assert len(rows) == 70
        assert ELIGIBLE[rows[rows >= 0]].all()
        assert (np.diff((rows >= 0).astype(int), axis=1) <= 0).all(), "padding stands at the end"
    assert lists.features.shape[:2] == lists.rows.shape
    assert not np.isinf(lists.features).any()


def test_a_recommendation_is_new_to_the_user_and_full(make_store, make_event, requests):
    rankings, _ = line_up(make_store, make_event).rank(requests["recommendation"], 12)
    histories = np.split(requests["recommendation"].history_product, requests["recommendation"].history_start[1:-1])
    for rows in rankings.values():
        assert (rows >= 0).all()
        assert not any(set(row) & set(seen.tolist()) for row, seen in zip(rows.tolist(), histories, strict=True))


def test_methods_without_a_query_order_what_bm25_found(make_store, make_event, requests):
    rankings, lists = line_up(make_store, make_event).rank(requests["search"], 12)
    found = [set(row) for row in rankings["BM25"].tolist()]
    assert found[1] == {-1}, "nothing has that word"
    for rows in (*rankings.values(), lists.rows):
        assert [set(row) for row in rows.tolist()] == found
    assert any((rows != rankings["BM25"]).any() for rows in rankings.values())


def test_what_a_method_cannot_score_stays_in_bm25s_order(make_store, make_event, make_requests):
    stranger = make_requests("search", ["red a"], [[]])
    rankings, _ = line_up(make_store, make_event).rank(stranger, 12)
    assert rankings["ALS"].tolist() == rankings["content profile"].tolist() == rankings["BM25"].tolist()


def test_the_future_changes_nothing(make_store, make_event, requests):
    log = line_up(make_store, make_event)
    # Without the last user's purchases, which come after the moment.
    without = line_up(make_store, lambda user, *rest: make_event(user, *rest) if user < 12 else make_event(12, 0, 6000))
    for task in ("search", "recommendation"):
        (first, lists), (second, others) = log.rank(requests[task], 12), without.rank(requests[task], 12)
        for name, rows in first.items():
            np.testing.assert_array_equal(rows, second[name])
        np.testing.assert_array_equal(lists.features, others.features)


def test_no_requests_have_no_rankings(make_store, make_event, requests):
    rankings, lists = line_up(make_store, make_event).rank(requests["search"].select(np.zeros(0, np.int64)), 12)
    assert all(rows.shape == (0, 12) for rows in rankings.values())
    assert len(lists.rows) == 0


def test_a_learned_ranker_sees_the_products_facts_and_what_the_query_says(make_store, make_event, make_requests):
    asked = make_requests("search", ["red a"], [[0]])
    _, lists = line_up(make_store, make_event, before=2 * DAY).rank(asked, 40)
    present = lists.rows[0] >= 0
    rows, features = lists.rows[0][present], lists.features[0][present]
    facts, text = features[:, -TEXT_FEATURES - 4 : -TEXT_FEATURES], features[:, -TEXT_FEATURES:]
    np.testing.assert_allclose(facts[:, 0], rows)
    np.testing.assert_allclose(facts[:, 1], 100 + rows)
    np.testing.assert_allclose(facts[:, 2:], [[4, math.log(3)]] * len(rows), rtol=1e-6)  # launched two days before
    assert text[0, 0] == 1, "BM25's share of the best"
    np.testing.assert_allclose(text[:, 0], text[:, 1] / text[0, 1], rtol=1e-6)
    # All four choices after "red" were of the first category, and half of all eight; nothing is known of "a".
    lift = [math.log((4 + 5) / 14 / 0.5) if row < 10 else math.log(5 / 14 / 0.5) if row < 20 else 0 for row in rows]
    np.testing.assert_allclose(text[:, 2], lift, atol=1e-6)
    assert (text[:, 3] == 0).all()
    assert np.isnan(lists.features[0][~present]).all()


def test_judged_pairs_are_read_as_candidates_are(make_store, make_event, make_requests):
    methods = line_up(make_store, make_event, eligible=np.ones(30, bool))
    queries = [f"{colour} {kind}" for colour in ("red", "blue") for kind in "abcdefghij"] * 4
    query = np.repeat(np.arange(80), 2)
    product = np.tile([0, 29], 80).astype(np.int32)
    found, features = methods.judged(queries, query, product)
    # "red x" finds product 0, "red a" by both words; "blue a" finds it by the "a"; "green j" is found by its "j".
    assert [(queries[query[pair]], int(product[pair])) for pair in found[:11].tolist()] == [
        *((f"red {kind}", 0) for kind in "abcdefghij"), ("red j", 29),
    ]  # fmt: skip
    _, lists = methods.rank(make_requests("search", ["red c"], [[]]), 30)
    np.testing.assert_array_equal(features[2], lists.features[0, lists.rows[0].tolist().index(0), -TEXT_FEATURES:])
    assert len(features) == len(found) == 4 * 13  # and "blue a" 0, "blue j" 29 of each round
