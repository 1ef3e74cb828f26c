import math

import numpy as np
import pytest

from evaluation.content_profile import ContentProfile

TEXTS = ["red wool", "red silk", "blue silk", "green tent"]


def test_cosine_of_tf_idf_by_hand(make_requests):
    scores = ContentProfile(TEXTS, np.ones(4, bool)).score(make_requests("recommendation", [""], [[0]]))
    # Smoothed idf of n = 4 texts: ln(5 / (1 + df)) + 1. red and silk stand in two, wool and blue in one.
    twice, once = math.log(5 / 3) + 1, math.log(5 / 2) + 1
    red_silk = twice**2 / (math.hypot(twice, once) * math.hypot(twice, twice))
    assert scores == pytest.approx(np.array([[1, red_silk, -np.inf, -np.inf]]), rel=1e-5)


def test_newer_products_weigh_more(make_requests):
    ranker = ContentProfile(["a", "b", "a c", "b c"], np.ones(4, bool), recency=0.5)
    first, second = ranker.score(make_requests("recommendation", ["", ""], [[0, 1], [1, 0]]))
    assert first[3] > first[2]
    assert second[2] > second[3]


def test_words_are_counted_in_the_index_only(make_requests):
    everything = ContentProfile(["a b", "a", "b", "b"], np.ones(4, bool))
    part = ContentProfile(["a b", "a", "b", "b"], np.array([True, True, True, False]))
    requests = make_requests("recommendation", [""], [[0]])
    # With one b less, a and b are equally rare.
    assert everything.score(requests)[0, 1] > everything.score(requests)[0, 2]
    assert part.score(requests)[0, 1] == pytest.approx(part.score(requests)[0, 2])


@pytest.mark.parametrize("texts", [TEXTS, ["", "", "", ""]])
def test_without_words_or_history_there_is_nothing_to_say(make_requests, texts):
    scores = ContentProfile(texts, np.ones(4, bool)).score(make_requests("recommendation", ["", ""], [[], [0]]))
    assert (scores[0] == -np.inf).all()
    assert np.isfinite(scores[1]).any() == (texts is TEXTS)
