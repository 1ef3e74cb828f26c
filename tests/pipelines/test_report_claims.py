"""What was to be shown of the reranker, from tables and pages by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluation.boards import Curve, PlainTable
from pipelines.report_claims import calibration_claims, examination_claims, log_loss_claims
from pipelines.report_reranker import told_by_position


def calibration(*rows: tuple[Any, ...]) -> PlainTable:
    columns = ("part", "shown", "clicks", "predicted", "predicted / observed", "p")
    return PlainTable("calibration", "", "", columns, rows)


def beside_truth(*rows: tuple[Any, ...]) -> PlainTable:
    ratio, truth = "predicted / observed", ("expected by the truth", "predicted / expected")
    return PlainTable("calibration", "", "", ("part", "clicks", "predicted", ratio, "p", *truth), rows)


def test_calibration_names_every_part_that_is_out() -> None:
    table = calibration(
        ("all", 100, 50, 0.5, 1.0, 1e-9),
        ("decile 1", 10, 3, 0.5, 0.8999, 0.02),  # of five parts only 0.05 / 4 and less is beyond chance after "all"
        ("decile 2", 10, 20, 0.5, 1.2, 0.01),
        ("new users", 10, 0, 0.5, np.inf, 0.6),
        ("at the edge", 10, 5, 1.0, 1.1, 0.9),
    )
    (claim,) = calibration_claims([PlainTable("importance", "", "", (), ()), table])
    assert claim.met is False
    assert claim.measured == "0.900 to without bound; 3 of 5 parts out, 1 of them beyond chance"
    # Of half a click expected no number that comes is within the bar, of one click only one, with 1 / e.
    assert claim.detail == (
        "Exact probabilities would have 4.6 of 5 parts out by chance. "
        "Out: decile 1 0.900 (3 clicks); decile 2 1.200 (20 clicks); new users without bound (0 clicks)"
    )
    assert claim.bar == "0.9 to 1.1 in each"


def test_calibration_that_holds_in_every_part() -> None:
    (claim,) = calibration_claims([calibration(("all", 9, 5, 1.0, 0.9, 0.5), ("decile 1", 9, 5, 1.0, 1.1, 0.5))])
    assert (claim.measured, claim.met) == ("0.900 to 1.100", True)
    assert claim.detail == "Exact probabilities would have 1.3 of 2 parts out by chance."
    assert calibration_claims([]) == []


def test_what_the_truth_expects_tells_of_chance_where_it_is_known() -> None:
    rows = (("all", 1, 0.5, 0.5, 0.9, 1.0, 0.5), ("new users", 1, 1.0, 1.0, 0.9, 1.1, 0.909))
    observed, expected = calibration_claims([beside_truth(*rows)])
    assert observed.detail.startswith("Exact probabilities would have 1.3 of 2 parts out by chance.")
    assert expected.text == "Predicted over the clicks that the truth expects there, in every decile and slice"
    assert (expected.measured, expected.met) == ("0.500 to 0.909; 1 of 2 parts out", False)
    assert expected.detail.endswith("Out: all 0.500 (1.0 clicks)")


def test_probabilities_are_within_the_truth_though_the_clicks_are_too_few_to_say_so() -> None:
    rows = (("without picture", 8, 10.0, 1.25, 0.5, 10.6, 0.943),)
    observed, expected = calibration_claims([beside_truth(*rows)])
    assert (observed.met, observed.measured) == (False, "1.250 to 1.250; 1 of 1 parts out, 0 of them beyond chance")
    assert (expected.met, expected.measured) == (True, "0.943 to 0.943")


def curve(**series: tuple[float, ...]) -> Curve:
    return Curve("examination", "", "", "", "", (1.0, 2.0, 3.0), series)


@pytest.mark.parametrize(("third", "measured", "met"), [(0.27, "10.0%", True), (0.26, "13.3%", False)])
def test_the_learned_examination_at_its_worst_position(third: float, measured: str, met: bool) -> None:
    (claim,) = examination_claims(curve(learned=(1.0, 0.51, third), truth=(1.0, 0.5, 0.3)))
    assert claim.measured == f"at most {measured} off, at position 3 of 3"
    assert claim.met is met


def test_a_real_shop_has_no_truth_to_be_within() -> None:
    assert examination_claims(curve(learned=(1.0, 0.5, 0.3))) == []


def page(clicks: list[bool], told: list[float], users: list[int]) -> Any:
    """Pages of two products each; nothing was put in a cart."""
    labels = np.array(clicks).reshape(-1, 2)
    shown = SimpleNamespace(
        present=np.ones_like(labels),
        position=np.tile([1, 2], (len(labels), 1)),
        labels={"click": labels, "cart": np.zeros_like(labels)},
    )
    probabilities = {name: np.array(told, np.float32).reshape(-1, 2) for name in shown.labels}
    requests = SimpleNamespace(user=np.array(users), task="search")
    return SimpleNamespace(requests=requests, shown=shown, probabilities=probabilities)


def log(clicks: list[bool]) -> Any:
    """Pages of two products each, of searches before the test days."""
    pages = len(clicks) // 2
    return SimpleNamespace(
        request_query=np.zeros(pages, np.int32),
        request_slice=np.zeros(pages, np.int8),
        impression_start=2 * np.arange(pages + 1),
        impression_position=np.tile(np.array([1, 2], np.int32), pages),
        impression_click=np.array(clicks, bool),
        **dict.fromkeys(("impression_cart", "impression_purchase"), np.zeros(len(clicks), bool)),
    )


def claims(clicks: list[bool], pages: list[Any]) -> Any:
    """Of those test pages after days of those clicks."""
    return log_loss_claims(pages, told_by_position(log(clicks), pages), 0)


@pytest.mark.parametrize(("told", "users", "met"), [(0.75, 20, True), (0.75, 19, False), (0.51, 20, False)])
def test_log_loss_beside_that_of_the_base_rate(told: float, users: int, met: bool) -> None:
    # Half of the products are clicked, so the base rate's loss is ln 2; every prediction gives `told` to what happened:
    # -ln 0.75 / ln 2 = 0.4150, and -ln 0.51 / ln 2 = 0.9714.
    more = page([False, True] * 19, [1 - told, told] * 19, list(range(1, 20)))
    pages = [page([True, False], [told, 1 - told], [0 if users == 20 else 1]), more]
    claim, placed = claims([], pages)
    ratio = -np.log(told) / np.log(2)
    assert claim.text == "Log-loss of click on the test pages, over the base rate's"
    assert claim.measured.startswith(f"{ratio:.4f} [{ratio:.4f}, {ratio:.4f}] ({-np.log(told):.4f} over 0.6931)")
    assert (claim.met, claim.bar) == (met, "estimate at most 0.95")
    # Of days without a page every place is told a half, which costs ln 2 too.
    gain = np.log(2) + np.log(told)
    assert placed.text == "Log-loss of click rates by task and position, less ours"
    assert placed.measured.startswith(f"{gain:.4f} [{gain:.4f}, {gain:.4f}] (0.6931 less {-np.log(told):.4f})")
    assert placed.met is (users == 20)


def test_what_knows_only_the_place_beats_a_head_that_knows_less() -> None:
    # All that stood first was clicked, on the days before and now; the head says so with 0.75 alone.
    pages = [page([True, False] * 20, [0.75, 0.25] * 20, list(range(20)))]
    _, placed = claims([True, False] * 1000, pages)
    assert placed.met is False
    # Rates (1000 + 20 / 2) / 1020 and its complement.
    assert f"({-np.log(1010 / 1020):.4f} less {-np.log(0.75):.4f})" in placed.measured


def test_no_pages_claim_nothing() -> None:
    assert claims([], []) == []
