import numpy as np
import pytest

from evaluation.arrays import check_rankings
from evaluation.line_up import LineUp

WORDS = [f"{colour} {kind}" for colour in ("red", "blue", "green") for kind in "abcdefghij"]
ELIGIBLE = np.random.default_rng(0).random(30) > 0.2


def line_up(make_store, make_event, before=1000, eligible=ELIGIBLE):
    random = np.random.default_rng(1)
    events = [make_event(int(user), int(random.integers(30)), int(at)) for user in range(12) for at in range(9)]
    late = [make_event(12, product, 5000, "purchase") for product in range(30)]
    return LineUp(make_store(30, 13, interactions=events + late), WORDS, WORDS, np.arange(30.0), eligible, before)


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
