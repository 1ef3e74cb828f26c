"""Products found by their words, and how they take places among those that vectors found."""

import json
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_shop import make_products, make_shop

from rerank.config import LexicalConfig
from rerank.word_index import WordCandidates, WordIndex, merge

TITLES = ["Acme Drill XR500", "Acme Drill XR700", "Acme Saw", "Bolt Saw", "红色连衣裙", "Bolt Lamp"]
SIZES = ["M4", "M4", "", "", "", "M4"]
ROWS = np.arange(len(TITLES), dtype=np.int32)


def build(rows: npt.NDArray[np.int32] = ROWS, limit: int = 4) -> WordIndex:
    attributes = [json.dumps({"size": size} if size else {}) for size in SIZES]
    shop = make_shop(make_products(TITLES, {"attributes": attributes, "brand": [""] * 6, "category": ["Tools"] * 6}))
    return WordIndex.build(shop, rows, LexicalConfig(), limit)


def found(index: WordIndex, *queries: str | bytes) -> list[list[int]]:
    rows: list[list[int]] = index(tf.constant(np.array(queries, dtype=object), tf.string)).numpy().tolist()
    return rows


def test_a_number_of_a_model_finds_its_product() -> None:
    assert found(build(), "xr500", "XR700!") == [[0, -1, -1, -1], [1, -1, -1, -1]]


def test_who_holds_more_and_rarer_words_comes_first() -> None:
    # drill: 0 and 1; m4: 0, 1 and 5; xr700: 1 alone.
    assert found(build(), "drill m4 xr700") == [[1, 0, 5, -1]]


def test_equal_products_come_in_the_order_of_rows_and_no_more_than_the_limit() -> None:
    assert found(build(), "acme") == [[0, 1, 2, -1]]
    assert found(build(limit=2), "acme") == [[0, 1]]


def test_only_products_of_the_index_are_found() -> None:
    assert found(build(np.array([1, 3], np.int32)), "acme saw xr500") == [[1, 3, -1, -1]]


@pytest.mark.parametrize("query", ["", "  ", "unheard", "!!", b"\xff\xfe", "x" * 10_000])
def test_a_query_without_known_words_finds_nothing(query: str | bytes) -> None:
    assert found(build(), query) == [[-1] * 4]


def test_scripts_without_spaces_are_read() -> None:
    assert found(build(), "红色") == [[4, -1, -1, -1]]


def test_an_index_of_products_without_words_finds_nothing() -> None:
    empty = WordIndex(np.zeros((3, 2), np.int64), np.arange(3, dtype=np.int32), (), LexicalConfig(), 2)
    assert found(empty, "drill") == [[-1, -1]]


def build_of(titles: list[str], limit: int = 5) -> WordIndex:
    count = len(titles)
    shop = make_shop(make_products(titles, {"category": ["-"] * count}))
    return WordIndex.build(shop, np.arange(count, dtype=np.int32), LexicalConfig(), limit)


def test_words_that_many_products_hold_find_none() -> None:
    index = build_of(["mid"] * 200 + ["mid many rare"] + ["many"] * 199)
    assert found(index, "mid", "many", "mid rare") == [[-1] * 5, list(range(200, 205)), [200, -1, -1, -1, -1]]


def test_who_holds_both_of_two_words_is_found_wherever_it_stands() -> None:
    titles = ["acme saw"] * 190 + ["bolt drill"] * 190 + ["acme drill"] * 10
    assert found(build_of(titles), "acme drill") == [[*range(380, 385)]]


def test_a_word_counts_once_however_often_it_is_said() -> None:
    titles = ["mid"] * 190 + ["two"] * 190 + ["mid two"] * 2 + ["rare"]
    assert found(build_of(titles, 3), "mid mid mids mid two two") == [[380, 381, 0]]
    assert found(build_of(titles, 3), "mid mid mid mid rare")[0][0] == 382


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), min_size=1, max_size=30),
    st.lists(st.lists(st.sampled_from("abcdefg"), max_size=5), min_size=1, max_size=4),
)
def test_it_finds_what_sums_of_idf_say(titles: list[list[str]], queries: list[list[str]]) -> None:
    count = len(titles)
    index = build_of([" ".join(title) or "-" for title in titles])
    held = Counter(letter for title in titles for letter in set(title))
    idf = {letter: np.log1p((count - n + 0.5) / (n + 0.5)) for letter, n in held.items()}
    for query, rows in zip(queries, found(index, *(" ".join(query) for query in queries)), strict=True):
        worth = [sum(idf[letter] for letter in set(title) & set(query)) for title in titles]
        expected = sorted((row for row in range(count) if worth[row] > 0), key=lambda row: -worth[row])[:5]
        kept = [row for row in rows if row >= 0]
        assert len(set(kept)) == len(kept) == len(expected)
        np.testing.assert_allclose([worth[row] for row in kept], [worth[row] for row in expected], rtol=1e-5)


def test_what_words_find_takes_the_last_places() -> None:
    rows, scores = tf.constant([[7, 3, 9, 4]]), tf.constant([[0.9, 0.5, 0.2, 0.1]])
    merged, values = merge(rows, scores, tf.constant([[5, -1]]), tf.constant([[0.3, 9.0]]))
    assert merged.numpy().tolist() == [[7, 3, 9, 5]]
    np.testing.assert_allclose(values.numpy(), [[0.9, 0.5, 0.2, 0.3]])


def test_what_both_find_keeps_its_place_and_its_score() -> None:
    rows, scores = tf.constant([[7, 3, 9, 4]]), tf.constant([[0.9, 0.5, 0.2, 0.1]])
    merged, values = merge(rows, scores, tf.constant([[4, 5]]), tf.constant([[-1.0, -1.0]]))
    assert merged.numpy().tolist() == [[7, 3, 5, 4]]
    np.testing.assert_allclose(values.numpy(), [[0.9, 0.5, -1.0, 0.1]])


def test_empty_places_are_taken_first() -> None:
    rows, scores = tf.constant([[7, -1, -1]]), tf.constant([[0.9, -np.inf, -np.inf]])
    merged, values = merge(rows, scores, tf.constant([[5]]), tf.constant([[0.4]]))
    assert merged.numpy().tolist() == [[7, -1, 5]]
    np.testing.assert_allclose(values.numpy()[0, [0, 2]], [0.9, 0.4])
    assert values.numpy()[0, 1] == -np.inf


def test_a_request_without_words_is_left_as_it_is() -> None:
    candidates = WordCandidates(build(limit=2), tf.Variable(np.eye(7, 3, dtype=np.float32)))
    rows, scores = tf.constant([[2, 0, 5]]), tf.constant([[0.8, 0.8, 0.1]])
    merged, values = candidates(tf.constant([""]), tf.constant([[1.0, 0, 0]]), rows, scores)
    assert merged.numpy().tolist() == rows.numpy().tolist()
    assert values.numpy().tolist() == scores.numpy().tolist()


def test_what_words_find_has_its_cosine_for_a_score() -> None:
    candidates = WordCandidates(build(limit=2), tf.Variable(np.eye(7, 3, dtype=np.float32)))
    merged, values = candidates(
        tf.constant(["xr700"]), tf.constant([[0.6, 0.8, 0]]), tf.constant([[0, 5, 3]]), tf.constant([[0.6, 0.1, 0.0]])
    )
    assert merged.numpy().tolist() == [[0, 5, 1]]
    np.testing.assert_allclose(values.numpy(), [[0.6, 0.1, 0.8]], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 6), st.permutations(range(12)), st.integers(0, 4))
def test_merging_keeps_what_was_found_and_the_best_of_the_rest(
    near: list[int], nearest: int, worded: list[int], count: int
) -> None:
    rows, found = near[:nearest] + [-1] * (6 - nearest), worded[:count] + [-1] * (4 - count)
    scores = [1.0 - place / 10 if row >= 0 else -np.inf for place, row in enumerate(rows)]
    merged, values = merge(*(tf.constant([part]) for part in (rows, scores, found, [-float(row) for row in found])))
    others = [row for row in near[:nearest] if row not in worded[:count]][: 6 - count]
    kept = merged.numpy()[0].tolist()
    assert sorted(row for row in kept if row >= 0) == sorted(worded[:count] + others)
    for row, value in zip(kept, values.numpy()[0].tolist(), strict=True):
        expected = -np.inf if row < 0 else scores[rows.index(row)] if row in rows else -float(row)
        assert value == pytest.approx(expected)
