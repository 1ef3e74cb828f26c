"""The features stage says early what would stop a later one."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from catalog.progress import console
from pipelines.s03_features import tell_of_choices, warn_of_missing_pages, warn_of_positions


@pytest.mark.parametrize(("logged", "wanted"), [(True, "page with impressions"), (False, "click, cart or purchase")])
@pytest.mark.parametrize(
    ("days", "learns", "validated"),
    [
        ([], True, True),
        ([0, 9, 17], True, True),
        ([10, 14], False, False),
        ([13, 17], False, True),
        ([16], True, False),
    ],
)
def test_missing_pages_of_the_rerankers_slices_are_named(
    days: list[int], learns: bool, validated: bool, logged: bool, wanted: str
) -> None:
    slices = SimpleNamespace(rerank=(10, 14), validation=(14, 17))
    labels = {f"impression_{kind}": np.ones(len(days), np.bool_) for kind in ("click", "cart", "purchase")}
    said = said_by(
        warn_of_missing_pages,
        slices=slices,
        request_day=np.array(days, np.int32),
        pages_logged=logged,
        impression_start=np.arange(len(days) + 1),
        choices={"click": (9, 9), "cart": (9, 9), "purchase": (9, 9)},
        **labels,
    )
    assert (f"no {wanted} was logged in days 10 to 13, from which the reranker learns" in said) == learns
    assert (
        f"no {wanted} was logged in days 14 to 16, from which the index is tuned and the reranker validated" in said
    ) == validated


@pytest.mark.parametrize(
    ("click", "cart", "purchase", "first", "second"),
    [
        ([1, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0], "", ""),
        (
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            [0, 0, 0, 0],
            "no click and no cart and no purchase",
            "no click and no cart and no",
        ),
        ([1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], "", "no cart and no purchase"),
        ([0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 1, 0], "no cart", "no cart"),  # what was bought was clicked
    ],
)
def test_pages_that_nothing_came_from_are_told(
    click: list[int], cart: list[int], purchase: list[int], first: str, second: str
) -> None:
    """Two impressions of a page on day 10, and two on day 14."""
    said = said_by(
        warn_of_missing_pages,
        slices=SimpleNamespace(rerank=(10, 14), validation=(14, 17)),
        request_day=np.array([10, 14], np.int32),
        pages_logged=True,
        impression_start=np.array([0, 2, 4]),
        impression_click=np.array(click, np.bool_),
        impression_cart=np.array(cart, np.bool_),
        impression_purchase=np.array(purchase, np.bool_),
    )
    assert said.count("came from the pages of days") == bool(first) + bool(second)
    for missing, days in ((first, "10 to 13"), (second, "14 to 16")):
        assert not missing or f"came from the pages of days {days}: " in said.split(missing, 1)[1]
    assert ("no order and no probability of a click or cart or purchase is learned" in said) == (
        not any(click + cart + purchase)
    )


def test_kinds_that_the_whole_log_lacks_are_named() -> None:
    slices = SimpleNamespace(rerank=(10, 14), validation=(14, 17))
    store = {"slices": slices, "request_day": np.zeros(0, np.int32), "pages_logged": False}
    assert "The whole log has no click and no cart and no purchase: log them" in said_by(
        warn_of_missing_pages, **store, choices={}
    )
    assert "Give a longer log" in said_by(
        warn_of_missing_pages, **store, choices=dict.fromkeys(("click", "cart", "purchase"), (1, 1))
    )


def said_by(tell: Callable[[Any], None], **store: object) -> str:
    with console.capture() as capture:
        tell(SimpleNamespace(**store))
    return " ".join(capture.get().split())


def test_the_share_of_choices_with_a_page_is_told() -> None:
    choices = {"purchase": (10, 4), "click": (200, 199), "search": (200, 199), "recommendation": (10, 4)}
    said = said_by(tell_of_choices, choices=choices)
    shares = "came from a logged page: click 99.5%, purchase 40.0%, recommendation 40.0%, search 99.5%"
    assert said.startswith(f"{shares} of these, few came from a logged page: purchase, recommendation. The others")
    assert said_by(tell_of_choices, choices={"click": (2, 1)}) == "came from a logged page: click 50.0%"


@pytest.mark.parametrize(
    ("pages", "cut", "from_zero"),
    [
        ([[1, 2, 3], [1, 2], [0, 0, 0]], False, False),
        ([[0, 1, 2], [0, 1], [0, 1, 2]], False, True),
        ([[0, 1, 2], [1, 2, 3]], False, False),  # no more than half: one position of a page was lost
        ([[0, 0, 1, 2], [0, 0, 1]], False, False),  # many unknown
        ([[1], [2], [3, 4], [0]], True, False),
        ([], False, False),
    ],
)
def test_positions_that_look_wrong_are_told(pages: list[list[int]], cut: bool, from_zero: bool) -> None:
    said = said_by(
        warn_of_positions,
        impression_start=np.cumsum([0, *map(len, pages)]),
        impression_position=np.array([place for page in pages for place in page], np.int32),
    )
    assert ("products in the mean: those of one page must have one session, query and timestamp" in said) == cut
    assert ("positions look counted from 0" in said) == from_zero
