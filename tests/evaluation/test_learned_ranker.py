import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.learned_ranker import LearnedRanker, Lists


def lists(requests=60, candidates=20, seed=0):
    """Requests whose candidates with the greater first feature were wanted; the second is noise, sometimes unknown."""
    random = np.random.default_rng(seed)
    features = random.random((requests, candidates, 2)).astype(np.float32)
    features[random.random((requests, candidates)) < 0.2, 1] = np.nan
    rows = np.argsort(random.random((requests, 50)), axis=1)[:, :candidates].astype(np.int32)
    return Lists(rows, features), np.where(features[:, :, 0] > 0.8, np.float32(1), np.float32(0))


def test_it_learns_what_was_wanted():
    model = LearnedRanker(*lists(), smallest_leaf=10)
    asked, wanted = lists(5, seed=1)
    order = model.order(asked, 20)
    for row, mine, gains in zip(order, asked.rows, wanted, strict=True):
        assert sorted(row.tolist()) == sorted(mine.tolist())
        count = int(gains.sum())
        assert set(row[:count].tolist()) == set(mine[gains > 0].tolist())


def test_the_same_seed_learns_the_same():
    asked, _ = lists(5, seed=1)
    first, second = LearnedRanker(*lists()), LearnedRanker(*lists())
    np.testing.assert_array_equal(first.score(asked), second.score(asked))


def test_places_without_a_candidate_teach_nothing_and_come_last():
    given, gains = lists()
    given.rows[:, 15:] = -1
    spoilt = Lists(given.rows, given.features.copy())
    spoilt.features[:, 15:] = 9
    asked, _ = lists(3, seed=1)
    asked.rows[:, 4:] = -1
    np.testing.assert_array_equal(LearnedRanker(given, gains).score(asked), LearnedRanker(spoilt, gains).score(asked))
    order = LearnedRanker(given, gains).order(asked, 6)
    assert (order[:, :4] >= 0).all()
    assert (order[:, 4:] == -1).all()


def test_what_is_added_to_the_scores_decides_and_absent_products_stay_last():
    asked, _ = lists(2, candidates=4, seed=1)
    asked.rows[:, 2] = -1
    order = LearnedRanker(*lists()).order(asked, 4, np.array([[0, 1e3, 2e3, 3e3]] * 2, np.float32))
    np.testing.assert_array_equal(order, asked.rows[:, [3, 1, 0, 2]])


def test_fewer_candidates_than_asked_for_are_padded():
    asked, _ = lists(2, candidates=3, seed=1)
    assert LearnedRanker(*lists()).order(asked, 5)[:, 3:].tolist() == [[-1, -1], [-1, -1]]


@pytest.mark.parametrize("gain", [0.0, 1.0])
def test_requests_that_tell_nothing_apart_are_an_error(gain):
    given, gains = lists()
    with pytest.raises(DataError, match="both a wanted and an unwanted"):
        LearnedRanker(given, np.full_like(gains, gain))
