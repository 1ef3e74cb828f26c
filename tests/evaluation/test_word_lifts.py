import math

import numpy as np
import pytest
from scipy import sparse

from evaluation.catalogue import Catalogue
from evaluation.word_lifts import WordLifts
from evaluation.words import Analyzer

# Two categories and a colour: product 0 is a cap, product 1 a red hat.
VALUES = np.array([[1, 0, 0], [0, 1, 1]], np.float32)
CATALOGUE = Catalogue(
    ["a", "b"], ["a", "b"], np.zeros((2, 3), np.float32), sparse.csr_matrix(VALUES), np.array([True, True, False])
)
BEFORE = 100


def choice(query, product, timestamp=0, code=0):
    return {"user": 0, "query": query, "product": product, "timestamp": timestamp, "slice": code}


CHOICES = [choice(0, 0)] * 4 + [choice(1, 1)] * 3 + [choice(2, 1)]


def lifts(make_store, examples):
    log = make_store(2, 1, ["caps", "red hats", "rare hat"], examples=examples)
    return WordLifts(log, CATALOGUE, BEFORE, Analyzer())


def score(read, queries, request, product):
    return read.score(np.array(queries, object), np.array(request), np.array(product))


def test_lifts_by_hand(make_store):
    found = score(lifts(make_store, CHOICES), ["red cap", "rare"], [0, 0, 1], [0, 1, 1])
    # Half of 8 choices were the cap. It followed "cap" in 4 of 4; the red hat followed "red" in 3 of 3.
    for_cap = math.log((4 + 10 * 0.5) / 14 / 0.5) + math.log((0 + 10 * 0.5) / 13 / 0.5)
    for_hat = math.log((0 + 10 * 0.5) / 14 / 0.5) + math.log((3 + 10 * 0.5) / 13 / 0.5)
    # "rare" was asked for once, which is too seldom to tell.
    assert found == pytest.approx(np.array([[for_cap, 0], [for_hat, for_hat], [0, 0]]), rel=1e-5)


def test_a_word_named_twice_counts_once(make_store):
    read = lifts(make_store, CHOICES)
    once, twice = (score(read, [query], [0], [0]) for query in ("cap", "cap CAPS"))
    assert once.tolist() == twice.tolist() != [[0, 0]]


@pytest.mark.parametrize(
    "other", [choice(0, 1, BEFORE), choice(0, 1, code=-1), choice(-1, 1)], ids=["later", "across slices", "no query"]
)
def test_only_choices_of_searches_before_the_moment_count(make_store, other):
    alone, together = (lifts(make_store, rows) for rows in (CHOICES, [*CHOICES, *[other] * 5]))
    found = [score(read, ["cap"], [0, 0], [0, 1]) for read in (alone, together)]
    np.testing.assert_array_equal(*found)


def test_a_log_without_searches_says_nothing(make_store):
    found = score(lifts(make_store, []), ["cap", ""], [0, 1], [0, 1])
    assert found.tolist() == [[0, 0], [0, 0]]


def test_only_the_most_frequent_words_and_values_are_kept(make_store, monkeypatch):
    monkeypatch.setattr("evaluation.word_lifts._MOST_WORDS", 1)
    monkeypatch.setattr("evaluation.word_lifts._MOST_VALUES", 1)
    read = lifts(make_store, CHOICES)
    # "cap" and "hat" have four choices each, and so has each value: the first ones stay.
    known = score(read, ["cap", "hat", "red"], [0, 1, 2], [0, 0, 0])[:, 0] != 0
    assert known.tolist() == [True, False, False]
    assert score(read, ["cap"], [0], [1]).tolist() == [[0, 0]]
