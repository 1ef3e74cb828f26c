import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.schema import KIND_WEIGHTS, product_text
from evaluation.arrays import check_rankings
from evaluation.baselines import ItemToItem, Popularity, cooccurrence_cosine, fill, parts_of
from evaluation.bm25 import BM25
from evaluation.recent_popularity import RecentPopularity
from evaluation.slices import product_slices

TITLES = ["Red dress", "Blue dresses", "Red shirt", "蓝色连衣裙", "Watch"]
EVERYTHING = np.ones(5, bool)


def test_popularity_weighs_kinds_and_forgets_the_future(make_store, make_event, make_requests):
    log = make_store(
        4, 3,
        interactions=[
            make_event(0, 0, 10, "click"), make_event(0, 1, 20, "purchase"), make_event(1, 2, 30, "cart"),
            make_event(2, 3, 1000, "purchase"),
        ],
    )  # fmt: skip
    ranker = Popularity.fit(log, before=1000, eligible=np.array([True, True, True, True]))
    assert ranker.popularity.tolist() == [1, 5, 3, 0]
    assert ranker.rank(make_requests("search", ["x"], [[]]), 3).tolist() == [[1, 2, 0]]


def test_popularity_has_the_shops_own_weights(make_store, make_event):
    log = make_store(2, 1, interactions=[make_event(0, 0, 10, "click"), make_event(0, 1, 20, "purchase")])
    log = replace(log, kind_weights={**KIND_WEIGHTS, "click": 8.0})
    assert Popularity.fit(log, 1000, np.ones(2, bool)).popularity.tolist() == [8, 5]
    # A half-life is seven days: the click weighs half of it.
    assert RecentPopularity.fit(log, 10 + 7 * 86_400, np.ones(2, bool)).popularity[0] == pytest.approx(4)
    slices = product_slices(log, pa.table({"image_row": [-1, -1]}))
    assert slices["head products"].tolist() == [True, False]


def test_popularity_shows_only_what_is_in_the_index_and_new_to_the_user(make_requests):
    ranker = Popularity(np.array([5, 4, 3, 2, 1]), np.array([False, True, True, True, True]))
    requests = make_requests("recommendation", ["", ""], [[1, 2], []])
    assert ranker.rank(requests, 2).tolist() == [[3, 4], [1, 2]]
    assert ranker.rank(make_requests("search", ["x"], [[1, 2]]), 2).tolist() == [[1, 2]]


def test_a_history_longer_than_the_catalogue_hides_it_all(make_requests):
    events = [0, 1, 2] * 50
    requests = make_requests("recommendation", ["", ""], [events, [0]])
    ranker = Popularity(np.array([3, 2, 1]), np.ones(3, bool))
    assert ranker.rank(requests, 2).tolist() == [[-1, -1], [1, 2]]
    by_title = BM25(["cap", "cap red", "bag"], np.ones(3, bool), ["cap", "cap", "bag"])
    assert by_title.rank(requests, 2).tolist() == [[-1, -1], [1, -1]]


def test_larger_catalogues_are_ranked_for_fewer_requests_at_once(make_requests):
    requests = make_requests("search", ["x"] * 130, [[]] * 130)
    assert [len(part) for part in parts_of(requests, 40_000)] == [64, 64, 2]
    assert [len(part) for part in parts_of(requests, 640_000)] == [10] * 13
    assert len(parts_of(requests, 10_000_000)) == 130


def test_cosine_of_cooccurrence_by_hand():
    # Users of product 0: {a, b, c}; of 1: {a, b}; of 2: {c}. User a has 0 twice, which counts once.
    user = np.array([0, 0, 0, 1, 1, 2, 2])
    product = np.array([0, 0, 1, 0, 1, 0, 2])
    start, neighbour, cosine = cooccurrence_cosine(user, product, products=4, neighbours=10)
    assert start.tolist() == [0, 2, 3, 4, 4]
    assert neighbour.tolist() == [1, 2, 0, 0]
    expected = [2 / math.sqrt(3 * 2), 1 / math.sqrt(3), 2 / math.sqrt(6), 1 / math.sqrt(3)]
    assert cosine.tolist() == pytest.approx(expected, rel=1e-6)


def test_only_the_nearest_neighbours_are_kept():
    user = np.array([0, 0, 1, 1, 1])
    product = np.array([0, 1, 0, 1, 2])
    start, neighbour, _ = cooccurrence_cosine(user, product, products=3, neighbours=1)
    assert start.tolist() == [0, 1, 2, 3]
    assert neighbour.tolist() == [1, 0, 0]


def test_of_a_user_with_too_many_products_the_latest_count(monkeypatch):
    monkeypatch.setattr("evaluation.baselines._MOST_OF_A_USER", 2)
    # User 0 had 0, 1, 2 and then 0 again: the latest two are 2 and 0. User 1's two count both.
    user, product = np.array([0, 0, 1, 0, 1, 0]), np.array([0, 1, 1, 2, 0, 0])
    start, neighbour, cosine = cooccurrence_cosine(user, product, products=3, neighbours=3)
    assert start.tolist() == [0, 2, 3, 4]
    assert neighbour.tolist() == [1, 2, 0, 0]
    # Product 0 has both users, 1 and 2 one each: 1 / sqrt(2).
    assert cosine.tolist() == pytest.approx([1 / math.sqrt(2)] * 4)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 7)), max_size=40), st.integers(1, 60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_cosine_equals_the_dense_product_in_blocks_of_any_size(monkeypatch, pairs, block):
    monkeypatch.setattr("evaluation.baselines._PAIRS_AT_ONCE", block)
    user, product = np.array(pairs, int).reshape(-1, 2).T
    matrix = np.zeros((7, 8))
    matrix[user, product] = 1
    norms = np.sqrt(matrix.sum(axis=0))
    dense = np.divide(matrix.T @ matrix, np.outer(norms, norms), out=np.zeros((8, 8)), where=np.outer(norms, norms) > 0)
    np.fill_diagonal(dense, 0)
    start, neighbour, cosine = cooccurrence_cosine(user, product, products=8, neighbours=8)
    found = np.zeros((8, 8))
    found[np.repeat(np.arange(8), np.diff(start)), neighbour] = cosine
    np.testing.assert_allclose(found, dense, rtol=1e-6)


def item_to_item(popularity=(1, 1, 1, 1, 9), eligible=EVERYTHING):
    # Two users with 0 and 1, one with 0 and 2, one with 3 alone.
    user, product = np.array([0, 0, 1, 1, 2, 2, 3]), np.array([0, 1, 0, 1, 0, 2, 3])
    return ItemToItem(user, product, eligible, Popularity(np.array(popularity), eligible))


def test_item_to_item_follows_the_history_then_popularity(make_requests):
    requests = make_requests("recommendation", ["", ""], [[0], []])
    # Neighbours of 0: 1 (2/sqrt 6 = 0.82), 2 (1/sqrt 3 = 0.58); then the most popular.
    assert item_to_item().rank(requests, 4).tolist() == [[1, 2, 4, 3], [4, 0, 1, 2]]


def test_item_to_item_keeps_seen_products_in_a_search_only(make_requests):
    history = [[0, 1]]
    assert item_to_item().rank(make_requests("recommendation", [""], history), 3).tolist() == [[2, 4, 3]]
    # Weights: newest 1 counts 1, then 0 counts 0.9. Scores: 0: 0.82; 1: 0.9 x 0.82 = 0.73; 2: 0.9 x 0.58 = 0.52.
    assert item_to_item().rank(make_requests("search", ["x"], history), 3).tolist() == [[0, 1, 2]]


def test_item_to_item_leaves_out_what_is_not_in_the_index(make_requests):
    eligible = np.array([True, False, True, True, False])
    assert item_to_item(eligible=eligible).rank(make_requests("recommendation", [""], [[0]]), 4).tolist() == [
        [2, 3, -1, -1]
    ]


def test_bm25_finds_words_whatever_their_number_and_language(make_requests):
    ranker = BM25(TITLES, EVERYTHING)
    requests = make_requests("search", ["dress", "red dresses", "连衣裙", "spaceship", ""], [[]] * 5)
    rows = ranker.rank(requests, 3)
    assert set(rows[0].tolist()) == {0, 1, -1}
    assert rows[1, 0] == 0
    assert rows[2].tolist() == [3, -1, -1]
    assert rows[3].tolist() == rows[4].tolist() == [-1, -1, -1]


def test_bm25_scores_by_the_formula(make_requests):
    # One word, two documents of lengths 1 and 3 (mean 2): the shorter one is better, as the length is normalised.
    ranker = BM25(["wool cap hat", "cap"], np.ones(2, bool))
    assert ranker.rank(make_requests("search", ["caps"], [[]]), 2).tolist() == [[1, 0]]


def test_bm25_counts_only_the_index(make_requests):
    ranker = BM25(TITLES, np.array([False, True, True, True, True]))
    assert ranker.rank(make_requests("search", ["dress"], [[]]), 2).tolist() == [[1, -1]]


def test_bm25_recommends_by_the_last_title_and_popularity(make_requests):
    popularity = Popularity(np.array([1, 2, 3, 4, 5]), EVERYTHING)
    ranker = BM25(TITLES, EVERYTHING, titles=TITLES, fallback=popularity)
    requests = make_requests("recommendation", ["", ""], [[4, 0], []])
    # The last is the red dress itself, which is not new; dresses and red follow, then what is popular and new.
    rows = ranker.rank(requests, 4)
    assert set(rows[0, :2].tolist()) == {1, 2}
    assert rows[0, 2:].tolist() == [3, -1]
    assert rows[1].tolist() == [4, 3, 2, 1]


def test_bm25_reads_every_text_field(make_requests):
    texts = [product_text({"title": "Cap", "attributes": '{"colour": "red"}', "category": "A > Hats"}), "Bag"]
    ranker = BM25(texts, np.ones(2, bool))
    assert ranker.rank(make_requests("search", ["red", "hat"], [[], []]), 1).tolist() == [[0], [0]]


def test_a_catalogue_without_words_answers_nothing(make_requests):
    assert BM25(["", ""], np.ones(2, bool)).rank(make_requests("search", ["red"], [[]]), 2).tolist() == [[-1, -1]]


def test_fill_appends_what_is_missing():
    rows, rest = np.array([[3, -1, -1]], np.int32), np.array([[3, 5, 1]], np.int32)
    assert fill(rows, rest).tolist() == [[3, 5, 1]]


@pytest.mark.parametrize("task", ["search", "recommendation"])
def test_every_baseline_keeps_the_contract(make_requests, task):
    random = np.random.default_rng(0)
    eligible = random.random(30) > 0.3
    popularity = Popularity(random.random(30), eligible)
    texts = [f"{colour} {kind}" for colour in ("red", "blue", "green") for kind in "abcdefghij"]
    rankers = [
        popularity,
        ItemToItem(random.integers(0, 9, 80), random.integers(0, 30, 80), eligible, popularity),
        BM25(texts, eligible, titles=texts, fallback=popularity),
    ]
    histories = [random.integers(0, 30, random.integers(0, 8)).tolist() for _ in range(70)]
    queries = ["red a"] * 70 if task == "search" else [""] * 70
    requests = make_requests(task, queries, histories)
    for ranker in rankers:
        rows = check_rankings(ranker.rank(requests, 12), 30, ranker.name)
        assert rows.shape == (70, 12)
        assert eligible[rows[rows >= 0]].all()
        assert (np.diff((rows >= 0).astype(int), axis=1) <= 0).all(), "padding stands at the end"
        if task == "recommendation":
            assert not any(set(row) & set(history) for row, history in zip(rows.tolist(), histories, strict=True))
        assert ranker.rank(requests.select(np.zeros(0, np.int64)), 12).shape == (0, 12)
