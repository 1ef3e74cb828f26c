import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rerank.lexical import (
    clean_text,
    hash_grams,
    hash_phrases,
    hash_words,
    inverse_document_frequency,
    lookup_sorted,
    population_count,
    spelling_bits,
    split_words,
    unspaced_runs,
    unspaced_share,
)


def words(text: str | bytes, limit: int = 12, unspaced: tuple[str, ...] = ()) -> list[str]:
    found = split_words(clean_text(tf.constant([text])), limit, unspaced)[0].numpy()
    return [word.decode() for word in found if word]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Women's T-Shirts, RED!", ["women", "t", "shirt", "red"]),
        ("womens dresses watches ladies shoes", ["women", "dress", "watch", "lady", "shoe"]),
        ("men's jeans boxes", ["men", "jean", "box"]),
        ("dress bonus this tvs", ["dress", "bonus", "this", "tvs"]),
        ("ＡＢＣ café", ["abc", "café"]),
        ("红色 T恤", ["红", "色", "t", "恤"]),
        ("红 dress 裙子", ["红", "dress", "裙", "子"]),
        ("", []),
        ("!!! 👠", []),
        (b"\xff\xfe red", ["red"]),
    ],
)
def test_words(text: str | bytes, expected: list[str]) -> None:
    assert words(text) == expected


def test_men_is_no_word_of_women() -> None:
    assert "men" not in words("women's shirts")


def test_words_beyond_the_limit_are_cut() -> None:
    assert words("a1 b2 c3 d4", limit=2) == ["a1", "b2"]
    assert words("红色连衣裙", limit=2) == ["红", "色"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("红色连衣裙", ["红色", "连衣裙"]),
        ("女红连衣", ["女", "红", "连衣"]),
        ("Acme红色T恤 shirts", ["acme", "红色", "t", "恤", "shirt"]),
    ],
)
def test_unspaced_scripts_are_cut_into_the_longest_words_given_and_characters(text: str, expected: list[str]) -> None:
    assert words(text, unspaced=("连衣裙", "连衣", "红色")) == expected


def test_runs_of_unspaced_characters() -> None:
    runs = unspaced_runs(clean_text(tf.constant(["Acme红色T恤 连衣裙", "red"]))).numpy()
    assert [run.decode().split() for run in runs] == [["红色", "恤", "连衣裙"], []]


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=40), st.binary(max_size=40)))
def test_any_bytes_are_read_and_case_does_not_matter(text: str | bytes) -> None:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    once = split_words(clean_text(tf.constant([raw])), 8).numpy()
    assert once.shape == (1, 8)
    assert [word for word in once[0] if word] == list(once[0][: sum(word != b"" for word in once[0])])


def test_grams_join_neighbours_without_a_space() -> None:
    one, two, three = tf.unstack(hash_grams(split_words(clean_text(tf.constant(["t shirt men"])), 4)), axis=1)
    expected = hash_words(tf.constant(["tshirt", "shirtmen", "tshirtmen", "men"]))
    assert two[0, :2].numpy().tolist() == expected[:2].numpy().tolist()
    assert three[0, 0] == expected[2]
    assert one[0, 2] == expected[3]
    # The last word starts no pair, the last two no triple; the padding starts nothing.
    assert two[0, 2:].numpy().tolist() == [0, 0]
    assert three[0, 1:].numpy().tolist() == [0, 0, 0]


def test_a_phrase_hashes_like_the_gram_of_its_words() -> None:
    phrases = hash_phrases(clean_text(tf.constant(["Navy Blue", "T-Shirts", "连衣裙", ""])), ("连衣",))
    grams = hash_grams(split_words(clean_text(tf.constant(["navy blue", "t shirt", "连衣裙"])), 4))
    _, pairs, triples = tf.unstack(grams, axis=1)
    # Words and characters that are joined spell the same, however the text is cut.
    assert phrases[:3].numpy().tolist() == [*pairs[:2, 0].numpy().tolist(), int(triples[2, 0])]
    assert phrases[3] == 0


def test_spelling_counts_shared_character_pairs() -> None:
    shirt, shrit, heel, nothing = spelling_bits(tf.constant(["shirt", "shrit", "heel", ""])).numpy()
    # ^s sh hi ir rt t$ against ^s sh hr ri it t$: three of six in common.
    assert population_count(tf.constant([shirt & shrit])).numpy().tolist() == [3.0]
    assert bin(shirt & heel).count("1") <= 1
    assert nothing == 0


def test_unspaced_share() -> None:
    assert unspaced_share(clean_text(tf.constant(["红色ab", "red", ""]))).numpy().tolist() == [0.5, 0.0, 0.0]


@given(st.sets(st.integers(1, 2**62), min_size=1, max_size=20), st.integers(0, 2**62))
@settings(max_examples=30, deadline=None)
def test_lookup_finds_exactly_what_is_there(keys: set[int], other: int) -> None:
    ordered = sorted(keys)
    found = lookup_sorted(tf.constant(ordered, tf.int64), tf.constant([*ordered, other], tf.int64)).numpy()
    assert found[:-1].tolist() == list(range(1, len(ordered) + 1))
    assert found[-1] == (ordered.index(other) + 1 if other in keys else 0)


def test_inverse_document_frequency() -> None:
    # log(1 + (10 - 1 + 0.5) / 1.5) = log(7.333)
    np.testing.assert_allclose(inverse_document_frequency(np.array([1]), 10), [np.log(22 / 3)], rtol=1e-6)
