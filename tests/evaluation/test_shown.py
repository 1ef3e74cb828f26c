import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.requests import made_up_requests, sample_requests
from evaluation.shown import among_candidates, shown_lists

DAY = 86_400


@pytest.fixture
def log(make_store):
    pages = [
        [{"product": 4, "position": 1}, {"product": 2, "position": 2, "click": True}, {"product": 0, "position": 3}],
        [{"product": 1, "position": 1, "click": True, "purchase": True}],
    ]
    requests = [{"user": 0, "session": "s", "query": 0, "timestamp": 4 * DAY + i, "slice": 3} for i in range(2)]
    return make_store(5, 1, ["red"], requests=requests, impressions=pages)


def test_pages_are_cut_and_padded(log):
    lists = shown_lists(log, sample_requests(log, "search", 5, 0), length=2)
    assert lists.rows.tolist() == [[4, 2], [1, -1]]
    assert lists.position.tolist() == [[1, 2], [1, 0]]
    assert lists.labels["click"].tolist() == [[False, True], [True, False]]
    assert lists.labels["purchase"].tolist() == [[False, False], [True, False]]
    assert lists.present.tolist() == [[True, True], [True, False]]


def test_what_was_put_in_the_cart_or_bought_was_clicked(make_store):
    shown = [{"product": 0, "position": 1, "cart": True}, {"product": 1, "position": 2, "purchase": True}]
    log = make_store(2, 1, ["red"], requests=[{"query": 0, "slice": 3}], impressions=[shown])
    labels = shown_lists(log, sample_requests(log, "search", 5, 0), length=3).labels
    assert {head: part.tolist() for head, part in labels.items()} == {
        "click": [[True, True, False]],
        "cart": [[True, False, False]],
        "purchase": [[False, True, False]],
    }


def test_examination_follows_the_position(log):
    lists = shown_lists(log, sample_requests(log, "search", 5, 0), length=3)
    assert lists.examined(np.array([1.0, 0.5])).tolist() == [[1.0, 0.5, 0.5], [1.0, 0.0, 0.0]]


def test_a_page_is_joined_by_the_best_that_it_did_not_show(log):
    lists = shown_lists(log, sample_requests(log, "search", 5, 0), length=5)
    retrieved = np.array([[3, 2, 1, 0], [1, 4, -1, -1]], np.int32)
    scores = np.array([[0.9, 0.8, 0.7, 0.6], [0.5, 0.4, 0.0, 0.0]], np.float32)
    page_scores = np.array([[0.1, 0.8, 0.6, 9, 9], [0.5, 9, 9, 9, 9]], np.float32)
    rows, found = among_candidates(lists, page_scores, retrieved, scores)
    # Product 4 was shown and not retrieved; 1, the last of the two that were only retrieved, has no place left.
    assert rows.tolist() == [[4, 2, 0, 3], [1, 4, -1, -1]]
    np.testing.assert_allclose(found, [[0.1, 0.8, 0.6, 0.9], [0.5, 0.4, 0, 0]])


def test_requests_without_a_page_are_refused(log):
    with pytest.raises(DataError, match="no logged pages"):
        shown_lists(log, made_up_requests(["red"], timestamp=0), length=3)
