from types import SimpleNamespace

import numpy as np
import pytest
from made_up_shop import PAGE, MadeUpShop

from catalog.errors import DataError
from rerank.candidates import Candidates
from rerank.lists import _ranks, build_lists, request_inputs, teaching

NONE = 4  # absent row of a catalogue of four


def one_page() -> SimpleNamespace:
    """One request that showed products 2 and 0, and bought 0 without a logged click; one that showed nothing."""
    return SimpleNamespace(
        impression_start=np.array([0, 2, 2]),
        impression_product=np.array([2, 0], np.int32),
        impression_position=np.array([1, 2], np.int32),
        impression_click=np.array([False, False]),
        impression_cart=np.array([False, False]),
        impression_purchase=np.array([False, True]),
        pages_logged=True,
    )


def candidates() -> Candidates:
    embeddings = np.eye(4, dtype=np.float32)
    query = np.array([[0.1, 0.9, 0.2, 0.4], [0.0, 0.0, 1.0, 0.0]], np.float32)
    rows = np.array([[1, 3, 2], [2, -1, -1]], np.int32)
    scores = np.array([[0.9, 0.4, 0.2], [1.0, -np.inf, -np.inf]], np.float32)
    return Candidates(np.array([0, 1], np.int32), rows, scores, query, embeddings)


def test_page_first_then_candidates_that_were_not_shown() -> None:
    lists = build_lists(one_page(), candidates(), 5, 0)  # type: ignore[arg-type]
    assert lists.row[0, :2].tolist() == [2, 0]
    assert sorted(lists.row[0, 2:4].tolist()) == [1, 3]
    assert lists.row[0, 4] == NONE
    assert lists.shown[0].tolist() == [True, True, False, False, False]
    assert lists.position[0].tolist() == [1, 2, 0, 0, 0]
    assert lists.retrieved[0].tolist() == [True, False, True, True, False]
    # Product 2 has retrieval's score; product 0 was not retrieved and gets the same dot product, 0.1.
    np.testing.assert_allclose(lists.score[0, :2], [0.2, 0.1])
    assert lists.rank[0, :2].tolist() == [2, 3]
    assert lists.best_score.tolist() == pytest.approx([0.9, 1.0])


def test_ranks_count_what_scores_strictly_better() -> None:
    scores = np.array([[0.9, 0.4, 0.4, -np.inf], [0.1, -np.inf, -np.inf, -np.inf]], np.float32)
    wanted = np.array([[0.4, 0.9, 0.95, 0.0, -np.inf], [0.1, 0.0, 0.2, -1.0, 0.1]], np.float32)
    assert _ranks(scores, wanted).tolist() == [[1, 0, 0, 3, 3], [0, 1, 0, 1, 0]]
    assert _ranks(scores[:, :0], wanted).tolist() == [[0] * 5] * 2
    assert _ranks(scores[:0], wanted[:0]).shape == (0, 5)


def test_a_purchase_counts_as_a_click() -> None:
    lists = build_lists(one_page(), candidates(), 5, 0)  # type: ignore[arg-type]
    assert lists.click[0].tolist() == [False, True, False, False, False]
    assert lists.purchase[0].tolist() == [False, True, False, False, False]


def test_a_request_without_page_has_candidates_only() -> None:
    lists = build_lists(one_page(), candidates(), 5, 0)  # type: ignore[arg-type]
    assert lists.row[1].tolist() == [2, NONE, NONE, NONE, NONE]
    assert not lists.shown[1].any()
    assert np.isfinite(lists.score).all()


def test_without_impressions_the_candidates_beside_a_choice_count_as_shown_somewhere() -> None:
    page = one_page()
    page.pages_logged = False
    page.impression_product = np.array([0, 2], np.int32)
    page.impression_purchase = np.array([True, True])
    lists = build_lists(page, candidates(), 5, 0)  # type: ignore[arg-type]
    # Product 0 was bought too, but it is no candidate: it would be told by that alone.
    assert sorted(lists.row[0, :3].tolist()) == [1, 2, 3]
    assert lists.row[0, lists.click[0]].tolist() == [2]
    assert lists.shown.tolist() == [[True] * 3 + [False] * 2, [True] + [False] * 4]
    assert (lists.shown == lists.retrieved).all()
    assert not lists.click[1].any()
    assert teaching(page, candidates()).tolist() == [True, False]  # type: ignore[arg-type]
    page.impression_product = np.array([0, 0], np.int32)
    assert teaching(page, candidates()).tolist() == [False, False]  # type: ignore[arg-type]


def test_of_a_presumed_page_longer_than_a_list_no_choice_is_a_negative() -> None:
    page = one_page()
    page.pages_logged = False
    page.impression_start = np.array([0, 4, 4])
    page.impression_product = np.arange(4, dtype=np.int32)
    page.impression_position = np.zeros(4, np.int32)
    page.impression_click = np.ones(4, bool)
    page.impression_cart = page.impression_purchase = np.zeros(4, bool)
    lists = build_lists(page, candidates(), 2, 0)  # type: ignore[arg-type]
    assert sorted(lists.row[0].tolist()) == [1, 2]
    assert lists.row[1].tolist() == [2, NONE]
    assert lists.click.tolist() == [[True, True], [False, False]]
    wide = build_lists(page, candidates(), 5, 0)  # type: ignore[arg-type]
    assert sorted(wide.row[0].tolist()) == [1, 2, 3, NONE, NONE]
    assert wide.click[0].tolist() == [True, True, True, False, False]


def test_choices_stand_anywhere_in_lists_of_presumed_pages() -> None:
    page = one_page()
    page.pages_logged = False
    page.impression_purchase = np.array([True, False])
    places = set()
    for seed in range(20):
        lists = build_lists(page, candidates(), 5, seed)  # type: ignore[arg-type]
        (place,) = np.flatnonzero(lists.click[0])
        assert lists.row[0, place] == 2
        assert lists.score[0, place] == np.float32(0.2)
        assert lists.rank[0, place] == 2
        assert lists.row[0, 3:].tolist() == [NONE, NONE]
        places.add(int(place))
    assert places == {0, 1, 2}


def test_any_logged_page_teaches() -> None:
    assert teaching(one_page(), candidates()).tolist() == [True, False]  # type: ignore[arg-type]


def test_long_pages_are_cut() -> None:
    lists = build_lists(one_page(), candidates(), 1, 0)  # type: ignore[arg-type]
    assert lists.row[:, 0].tolist() == [2, 2]


def test_lists_of_the_made_up_shop(made_up_shop: MadeUpShop) -> None:
    part = made_up_shop.candidates["rerank"]
    lists = build_lists(made_up_shop.features, part, 30, 0)
    for place in range(0, len(lists), 97):
        shown, extra = lists.row[place, :PAGE], lists.row[place, PAGE:]
        first = made_up_shop.features.impression_start[part.request[place]]
        assert shown.tolist() == made_up_shop.features.impression_product[first : first + PAGE].tolist()
        assert len(set(lists.row[place])) == 30
        assert set(extra) <= set(part.rows[place])
        dot = part.query_embedding[place] @ made_up_shop.embeddings[lists.row[place]].T
        np.testing.assert_allclose(lists.score[place], dot, atol=1e-5)


def test_histories_end_before_the_request(made_up_shop: MadeUpShop) -> None:
    features = made_up_shop.features
    inputs = request_inputs(features, [0, 1], np.zeros((2, 16), np.float32), 6, ("city",))
    assert (inputs["history_timestamp"].max(axis=1) < inputs["timestamp"]).all()
    assert inputs["history_row"].shape == (2, 6)
    assert inputs["history_row"][0, 0] == features.n_products
    with pytest.raises(DataError, match="'age' is not in the users table"):
        request_inputs(features, [0], np.zeros((1, 16), np.float32), 6, ("age",))
