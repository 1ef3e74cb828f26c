import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.errors import DataError
from evaluation.requests import allowed_products, candidates_only, made_up_requests, sample_requests

DAY = 86_400


@pytest.fixture
def log(make_store, make_event):
    """User 0 clicks products 0, 1, 2 on days 0, 1, 4; searches on day 4 after two events; recommended on day 5."""
    return make_store(
        products=4,
        users=2,
        queries=["red"],
        interactions=[make_event(0, 0, 0), make_event(0, 1, DAY, "cart"), make_event(0, 2, 4 * DAY)],
        requests=[
            {"user": 0, "session": "a", "query": 0, "timestamp": DAY, "history_end": 1, "slice": 0},
            {"user": 0, "session": "b", "query": 0, "timestamp": 4 * DAY, "history_end": 2, "slice": 3},
            {"user": 0, "session": "c", "query": -1, "timestamp": 5 * DAY, "history_end": 3, "slice": 3},
            {"user": 1, "session": "d", "query": 0, "timestamp": 4 * DAY + 1, "history_end": 3, "slice": 3},
        ],
    )


def test_sample_takes_the_pages_of_the_slice_and_task(log):
    search = sample_requests(log, "search", limit=10, seed=0)
    assert search.request.tolist() == [1, 3]
    assert search.session_ids.tolist() == ["b", "d"]
    assert search.queries.tolist() == ["red", "red"]
    assert search.user_ids.tolist() == ["u0", "u1"]
    assert search.history_lengths.tolist() == [2, 0]
    recommendation = sample_requests(log, "recommendation", limit=10, seed=0)
    assert recommendation.request.tolist() == [2]
    assert recommendation.queries.tolist() == [""]
    assert recommendation.history_product.tolist() == [0, 1, 2]


def test_sample_is_seeded_and_without_repetition(make_store):
    pages = [{"user": 0, "session": "s", "query": 0, "timestamp": 4 * DAY + i, "slice": 3} for i in range(50)]
    log = make_store(1, 1, ["q"], requests=pages)
    drawn = [sample_requests(log, "search", limit=20, seed=seed).request.tolist() for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 20
    assert drawn[0] == sorted(drawn[0])


def test_a_shop_without_pages_is_asked_at_its_episodes(make_store, make_event):
    log = make_store(
        3,
        1,
        ["red"],
        interactions=[make_event(0, 0, 0), make_event(0, 1, 4 * DAY)],
        examples=[{"user": 0, "query": 0, "timestamp": 4 * DAY, "history_end": 1, "product": 1, "slice": 3}],
    )
    requests = sample_requests(log, "search", limit=5, seed=0)
    assert requests.request.tolist() == [-1]
    assert requests.history_product.tolist() == [0]
    with pytest.raises(DataError, match="no recommendation request in time slice 3"):
        sample_requests(log, "recommendation", limit=5, seed=0)


def test_last_events_are_padded_on_the_left(make_requests):
    rows, kinds, timestamps = make_requests("search", ["a", "b"], [[5, 6, 7], []]).last_events(2)
    assert rows.tolist() == [[6, 7], [-1, -1]]
    assert kinds.tolist() == [[2, 2], [-1, -1]]
    assert timestamps.tolist() == [[1, 2], [0, 0]]
    rows, _, _ = make_requests("search", ["a"], [[5]]).last_events(3)
    assert rows.tolist() == [[-1, -1, 5]]
    rows, _, _ = made_up_requests(["red shirt"], timestamp=9).last_events(2)
    assert rows.tolist() == [[-1, -1]]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # The fixture is a pure function.
@given(st.lists(st.lists(st.integers(0, 9), max_size=4), min_size=1, max_size=5), st.data())
def test_selecting_keeps_each_request_with_its_history(make_requests, histories, data):
    requests = make_requests("search", ["q"] * len(histories), histories)
    chosen = data.draw(st.lists(st.integers(0, len(histories) - 1), max_size=6))
    selected = requests.select(np.array(chosen, np.int64))
    assert [f"u{i}" for i in chosen] == selected.user_ids.tolist()
    for place, request in enumerate(chosen):
        start, end = selected.history_start[place : place + 2]
        assert selected.history_product[start:end].tolist() == histories[request]


def test_what_the_user_has_seen_is_no_recommendation_but_may_be_found(make_requests):
    eligible = np.array([True, True, True, False, True])
    rows = np.array([[3, 1, 0, 4, -1]], np.int32)
    recommendation = make_requests("recommendation", [""], [[1, 1]])
    search = make_requests("search", ["red"], [[1, 1]])
    assert candidates_only(rows, recommendation, eligible).tolist() == [[0, 4, -1, -1, -1]]
    assert candidates_only(rows, search, eligible).tolist() == [[1, 0, 4, -1, -1]]
    assert allowed_products(recommendation, eligible).tolist() == [[True, False, True, False, True]]
    assert allowed_products(search, eligible).tolist() == [eligible.tolist()]
