import numpy as np
import pytest

from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.matrix_factors import MatrixFactors
from evaluation.profiles import weigh

# Two groups of people: 20 who click products 0-3, 20 who click 4-7, each leaving one of the four out.
PEOPLE = [[4 * (number % 2) + place for place in range(4) if place != number // 2 % 4] for number in range(40)]

WEIGHTS = np.array([KIND_WEIGHTS[kind] for kind in KINDS])


def factors(seed=0):
    person = np.repeat(np.arange(40), 3)
    profiles = weigh(person, np.array(PEOPLE).ravel(), np.ones(120), (40, 8))
    return MatrixFactors(profiles, WEIGHTS, factors=2, regularization=0.1, seed=seed)


def test_a_new_users_history_finds_the_rest_of_its_group(make_requests):
    scores = factors().score(make_requests("recommendation", ["", ""], [[0, 1], [6]]))
    assert set(np.argsort(-scores[0])[:4].tolist()) == {0, 1, 2, 3}
    assert set(np.argsort(-scores[1])[:4].tolist()) == {4, 5, 6, 7}


def test_users_of_the_log_are_scored_by_the_history_they_have_now(make_requests):
    # Both ask as user 0 of the log, who was in the first group.
    first = factors().score(make_requests("recommendation", [""], [[0, 1]]))
    second = factors().score(make_requests("recommendation", [""], [[4, 5]]))
    assert first[0, 2] > first[0, 6]
    assert second[0, 6] > second[0, 2]


def test_the_same_seed_gives_the_same_scores(make_requests):
    requests = make_requests("search", ["x"], [[0, 5]])
    np.testing.assert_array_equal(factors(3).score(requests), factors(3).score(requests))


def test_without_a_history_there_is_nothing_to_say(make_requests):
    assert (factors().score(make_requests("recommendation", [""], [[]])) == -np.inf).all()


@pytest.mark.parametrize("people", [0, 5])
def test_a_log_without_events_can_be_fitted(make_requests, people):
    nothing = np.zeros(0, np.int64)
    model = MatrixFactors(weigh(nothing, nothing, nothing, (people, 8)), WEIGHTS)
    assert model.score(make_requests("recommendation", [""], [[0]])).shape == (1, 8)
