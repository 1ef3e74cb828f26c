import math

import numpy as np
import pytest

from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.neighbourhoods import Neighbourhoods
from evaluation.profiles import weigh
from evaluation.user_to_user import UserToUser

ONE = math.log(2)  # What one click weighs in a profile.


def clicks(people):
    person = np.array([number for number, products in enumerate(people) for _ in products])
    product = np.array([product for products in people for product in products])
    return weigh(person, product, np.ones(len(person)), (len(people), 4))


# Row 0 is the user who asks: make_requests counts users from 0.
WEIGHTS = np.array([KIND_WEIGHTS[kind] for kind in KINDS])
LOG = Neighbourhoods(clicks([[], [0, 1], [0, 2], [3]]), WEIGHTS)


def test_scores_by_hand(make_requests):
    requests = make_requests("recommendation", [""], [[0, 1]])
    # Cosines of users 1 and 2 are 1 and 1/2. Product 0: both; 1: user 1; 2: user 2; nobody like that had 3.
    expected = np.array([[1.5 * ONE, ONE, 0.5 * ONE, -np.inf]])
    assert UserToUser(LOG, "cosine").score(requests) == pytest.approx(expected)
    # By Pearson's correlation user 1 alone is like the history.
    assert UserToUser(LOG, "Pearson").score(requests) == pytest.approx(np.array([[ONE, ONE, -np.inf, -np.inf]]))


@pytest.mark.parametrize("similarity", ["cosine", "Pearson"])
def test_without_a_history_there_is_nothing_to_say(make_requests, similarity):
    scores = UserToUser(LOG, similarity).score(make_requests("recommendation", ["", ""], [[0, 1], []]))
    assert np.isfinite(scores[0]).any()
    assert (scores[1] == -np.inf).all()
