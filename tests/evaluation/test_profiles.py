import math
from dataclasses import replace

import numpy as np
import pytest

from catalog.schema import KIND_WEIGHTS, KINDS
from evaluation.profiles import request_profiles, user_profiles


def test_a_profile_sums_what_was_done_and_forgets_the_future(make_store, make_event):
    log = make_store(
        3, 2,
        interactions=[
            make_event(0, 0, 10, "click"), make_event(0, 0, 20, "cart"), make_event(0, 2, 100, "purchase"),
            make_event(1, 1, 30, "view"),
        ],
    )  # fmt: skip
    # User 0: a click and a cart of product 0 weigh 1 + 3; the purchase comes too late. User 1: a view weighs 0.5.
    assert user_profiles(log, before=100, products=3).toarray() == pytest.approx(
        np.array([[math.log(5), 0, 0], [0, math.log(1.5), 0]])
    )


def test_the_shops_own_weights_count(make_store, make_event):
    log = make_store(2, 1, interactions=[make_event(0, 0, 10, "view"), make_event(0, 1, 20, "cart")])
    log = replace(log, kind_weights={**KIND_WEIGHTS, "view": 7.0, "cart": 0.0})
    assert user_profiles(log, before=100, products=2).toarray() == pytest.approx(np.array([[math.log(8), 0]]))


def test_a_request_has_the_profile_of_its_own_history(make_requests):
    requests = make_requests("recommendation", ["", ""], [[2, 2], []])
    weights = np.array([4.0 if kind == "click" else 0.0 for kind in KINDS])  # two clicks: log(1 + 2 x 4)
    assert request_profiles(requests, 3, weights).toarray() == pytest.approx(np.array([[0, 0, math.log(9)], [0, 0, 0]]))
