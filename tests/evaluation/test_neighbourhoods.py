import math

import numpy as np
import pytest

from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.neighbourhoods import Neighbourhoods
from evaluation.profiles import request_profiles, weigh

WEIGHTS = np.array([KIND_WEIGHTS[kind] for kind in KINDS])


def clicks(people):
    person = np.array([number for number, products in enumerate(people) for _ in products])
    product = np.array([product for products in people for product in products])
    return weigh(person, product, np.ones(len(person)), (len(people), 4))


def similarities(requests, people, kind, neighbours=300):
    return Neighbourhoods(clicks(people), WEIGHTS, neighbours).similarities(requests)[kind].toarray()


# Row 0 is the user who asks: make_requests counts users from 0.
PEOPLE = [[], [0, 1], [0, 2], [3]]


def test_cosine_by_hand(make_requests):
    # The history {0, 1} is user 1's: cosine 1; with user 2 it shares one of two: 1/2; with user 3 nothing.
    found = similarities(make_requests("recommendation", [""], [[0, 1]]), PEOPLE, "cosine")
    assert found == pytest.approx(np.array([[0, 1, 0.5, 0]]))


def test_pearson_by_hand(make_requests):
    # Over 4 products (1,1,0,0) and (1,0,1,0), means 1/2: covariance 1/4 x (1 - 1 - 1 + 1) = 0, which is not positive.
    found = similarities(make_requests("recommendation", [""], [[0, 1]]), PEOPLE, "Pearson")
    assert found == pytest.approx(np.array([[0, 1, 0, 0]]))


def test_pearson_is_the_correlation_of_whole_profiles(make_requests):
    random = np.random.default_rng(0)
    people = [random.choice(4, size=random.integers(1, 4), replace=False).tolist() for _ in range(12)]
    found = similarities(make_requests("search", ["x"], [[0, 1, 1]]), [[], *people], "Pearson")
    mine = np.array([math.log(2), math.log(3), 0, 0])
    expected = [np.corrcoef(mine, row)[0, 1] for row in clicks(people).toarray()]
    assert found[0, 1:] == pytest.approx(np.maximum(expected, 0), abs=1e-6)


def test_the_users_own_row_is_left_out(make_requests):
    found = similarities(make_requests("recommendation", [""], [[0, 1]]), [[0, 1], [0]], "cosine")
    assert found == pytest.approx(np.array([[0, 1 / math.sqrt(2)]]))


def test_only_the_nearest_count_and_of_equals_the_first(make_requests):
    people = [[], [0, 1], [0, 2], [0, 3], [0]]
    found = similarities(make_requests("recommendation", [""], [[0]]), people, "cosine", neighbours=2)
    assert found == pytest.approx(np.array([[0, 1 / math.sqrt(2), 0, 0, 1]]))


@pytest.mark.parametrize("pairs", [1, 3, 7])
def test_parts_of_any_size_find_the_same(make_requests, monkeypatch, pairs):
    random = np.random.default_rng(1)
    people = [random.integers(0, 4, random.integers(0, 5)).tolist() for _ in range(9)]
    requests = make_requests("search", ["x"] * 9, [random.integers(0, 4, 3).tolist() for _ in range(8)] + [[]])
    whole = Neighbourhoods(clicks(people), WEIGHTS).similarities(requests)
    monkeypatch.setattr("evaluation.neighbourhoods._PAIRS_AT_ONCE", pairs)
    in_parts = Neighbourhoods(clicks(people), WEIGHTS).similarities(requests)
    for kind, found in whole.items():
        np.testing.assert_array_equal(in_parts[kind].toarray(), found.toarray())


def test_a_part_has_no_more_pairs_than_fit_and_a_request(make_requests, monkeypatch):
    # Product 0 has three users and product 1 one. Requests come to 3, 1, 4, 0 and 3 pairs.
    monkeypatch.setattr("evaluation.neighbourhoods._PAIRS_AT_ONCE", 4)
    taken = []
    whole = Neighbourhoods._nearest_of
    monkeypatch.setattr(
        Neighbourhoods,
        "_nearest_of",
        lambda self, asking, user: (taken.append(len(user)), whole(self, asking, user))[1],
    )
    requests = make_requests("search", ["x"] * 5, [[0], [1], [0, 1], [], [0]])
    Neighbourhoods(clicks([[0], [0], [0], [], [1]]), WEIGHTS).similarities(requests)
    assert taken == [2, 1, 2]


def test_both_similarities_rest_on_one_product(make_requests, monkeypatch):
    asked = []
    neighbourhoods = Neighbourhoods(clicks(PEOPLE), WEIGHTS)
    requests, others = (make_requests("search", ["x"], [[number]]) for number in (0, 3))
    monkeypatch.setattr(
        "evaluation.neighbourhoods.request_profiles",
        lambda *given: (asked.append(given[0]), request_profiles(*given))[1],
    )
    first = neighbourhoods.similarities(requests)
    assert neighbourhoods.similarities(requests) is first
    assert neighbourhoods.similarities(others)["cosine"].toarray()[0].tolist() == [0, 0, 0, 1]
    assert asked == [requests, others]
