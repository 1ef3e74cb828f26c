import math

import numpy as np
import pytest

from catalog.schema import KINDS
from evaluation.profiles import weigh
from evaluation.user_to_user import UserToUser

ONE = math.log(2)  # What one click weighs in a profile.


def clicks(people):
    person = np.array([number for number, products in enumerate(people) for _ in products])
    product = np.array([product for products in people for product in products])
    return weigh(person, product, np.full(len(person), KINDS.index("click")), (len(people), 4))


# Row 0 is the user who asks: make_requests counts users from 0.
LOG = clicks([[], [0, 1], [0, 2], [3]])


def test_cosine_by_hand(make_requests):
    ranker = UserToUser(LOG, "cosine")
    requests = make_requests("recommendation", [""], [[0, 1]])
    # The history {0, 1} is user 1's: cosine 1; with user 2 it shares one of two: 1/2; with user 3 nothing.
    similarities = ranker.similarities(requests).toarray()
    assert similarities == pytest.approx(np.array([[0, 1, 0.5, 0]]))
    # Product 0: both neighbours; 1: user 1; 2: user 2; nobody like that had 3.
    assert ranker.score(requests) == pytest.approx(np.array([[1.5 * ONE, ONE, 0.5 * ONE, -np.inf]]))


def test_pearson_by_hand(make_requests):
    ranker = UserToUser(LOG, "Pearson")
    similarities = ranker.similarities(make_requests("recommendation", [""], [[0, 1]])).toarray()
    # Over 4 products (1,1,0,0) and (1,0,1,0), means 1/2: covariance 1/4 x (1 - 1 - 1 + 1) = 0, which is not positive.
    assert similarities == pytest.approx(np.array([[0, 1, 0, 0]]))


def test_pearson_is_the_correlation_of_whole_profiles(make_requests):
    random = np.random.default_rng(0)
    people = [random.choice(4, size=random.integers(1, 4), replace=False).tolist() for _ in range(12)]
    history = [0, 1, 1]
    found = UserToUser(clicks([[], *people]), "Pearson").similarities(make_requests("search", ["x"], [history]))
    mine = np.array([math.log(2), math.log(3), 0, 0])
    expected = [np.corrcoef(mine, row)[0, 1] for row in clicks(people).toarray()]
    assert found.toarray()[0, 1:] == pytest.approx(np.maximum(expected, 0), abs=1e-6)


def test_the_users_own_row_is_left_out(make_requests):
    ranker = UserToUser(clicks([[0, 1], [0]]), "cosine")
    similarities = ranker.similarities(make_requests("recommendation", [""], [[0, 1]])).toarray()
    assert similarities == pytest.approx(np.array([[0, 1 / math.sqrt(2)]]))


def test_only_the_nearest_count_and_of_equals_the_first(make_requests):
    ranker = UserToUser(clicks([[], [0, 1], [0, 2], [0, 3], [0]]), "cosine", neighbours=2)
    similarities = ranker.similarities(make_requests("recommendation", [""], [[0]])).toarray()
    assert similarities == pytest.approx(np.array([[0, 1 / math.sqrt(2), 0, 0, 1]]))


@pytest.mark.parametrize("similarity", ["cosine", "Pearson"])
def test_without_a_history_there_is_nothing_to_say(make_requests, similarity):
    scores = UserToUser(LOG, similarity).score(make_requests("recommendation", ["", ""], [[0, 1], []]))
    assert np.isfinite(scores[0]).any()
    assert (scores[1] == -np.inf).all()
