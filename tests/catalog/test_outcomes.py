from types import SimpleNamespace
from typing import Any

import numpy as np

from catalog.outcomes import HEADS, came_of

LOG: Any = SimpleNamespace(
    impression_click=np.array([True, False, False, False]),
    impression_cart=np.array([False, True, False, False]),
    impression_purchase=np.array([False, False, True, False]),
)


def test_carts_and_purchases_are_clicks_and_a_purchase_is_no_cart() -> None:
    every = np.arange(4)
    assert {head: np.flatnonzero(came_of(LOG, head, every)).tolist() for head in HEADS} == {
        "click": [0, 1, 2], "cart": [1], "purchase": [2]
    }  # fmt: skip


def test_places_give_their_shape_and_a_mask_its_length() -> None:
    assert came_of(LOG, "click", np.array([[2, 3], [3, 0]])).tolist() == [[True, False], [False, True]]
    assert came_of(LOG, "purchase", np.array([False, True, True, False])).tolist() == [False, True]
