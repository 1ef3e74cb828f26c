"""What was to be shown of the reranker, from tables and pages by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluation.boards import Curve, PlainTable
from pipelines.report_claims import calibration_claims, examination_claims, log_loss_claims


def calibration(*rows: tuple[Any, ...]) -> PlainTable:
    columns = ("part", "shown", "clicks", "predicted / observed", "95 % from", "to")
    return PlainTable("calibration", "", "", columns, rows)


def test_calibration_names_every_part_that_is_out() -> None:
    table = calibration(
        ("all", 100, 50, 1.0, 0.9, 1.1),
        ("decile 1", 10, 3, 0.8999, 0.3, 2.0),
        ("decile 2", 10, 20, 1.2, 1.05, 1.4),
        ("new users", 10, 0, np.inf, 0.5, np.inf),
        ("at the edge", 10, 5, 1.1, 0.5, 2.0),
    )
    (claim,) = calibration_claims([PlainTable("importance", "", "", (), ()), table])
    assert claim.met is False
    assert claim.measured == "0.900 to without bound; 3 of 5 parts out, 1 of them beyond chance"
    assert (
        claim.detail == "Out: decile 1 0.900 (3 clicks); decile 2 1.200 (20 clicks); new users without bound (0 clicks)"
    )
    assert claim.bar == "0.9 to 1.1 in each"


def test_calibration_that_holds_in_every_part() -> None:
    (claim,) = calibration_claims([calibration(("all", 9, 5, 0.9, 0.5, 2.0), ("decile 1", 9, 5, 1.1, 0.5, 2.0))])
    assert (claim.measured, claim.detail, claim.met) == ("0.900 to 1.100", "", True)
    assert calibration_claims([]) == []


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
    shown = SimpleNamespace(present=np.ones_like(labels), labels={"click": labels, "cart": np.zeros_like(labels)})
    probabilities = {name: np.array(told, np.float32).reshape(-1, 2) for name in shown.labels}
    return SimpleNamespace(requests=SimpleNamespace(user=np.array(users)), shown=shown, probabilities=probabilities)


@pytest.mark.parametrize(("told", "users", "met"), [(0.75, 20, True), (0.75, 19, False), (0.51, 20, False)])
def test_log_loss_beside_that_of_the_base_rate(told: float, users: int, met: bool) -> None:
    # Half of the products are clicked, so the base rate's loss is ln 2; every prediction gives `told` to what happened:
    # -ln 0.75 / ln 2 = 0.4150, and -ln 0.51 / ln 2 = 0.9714.
    more = page([False, True] * 19, [1 - told, told] * 19, list(range(1, 20)))
    pages = [page([True, False], [told, 1 - told], [0 if users == 20 else 1]), more]
    (claim,) = log_loss_claims(pages, 0)
    ratio = -np.log(told) / np.log(2)
    assert claim.text == "Log-loss of click on the test pages, over the base rate's"
    assert claim.measured.startswith(f"{ratio:.4f} [{ratio:.4f}, {ratio:.4f}] ({-np.log(told):.4f} over 0.6931)")
    assert claim.met is met


def test_no_pages_claim_nothing() -> None:
    assert log_loss_claims([], 0) == []
