import math

import numpy as np
import pytest

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


def test_a_request_has_the_profile_of_its_own_history(make_requests):
    requests = make_requests("recommendation", ["", ""], [[2, 2], []])
    assert request_profiles(requests, 3).toarray() == pytest.approx(np.array([[0, 0, math.log(3)], [0, 0, 0]]))
