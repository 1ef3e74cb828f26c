import math

import pytest

from evaluation.boards import Board, PlainTable, SystemRow
from evaluation.shortfalls import find_shortfalls

BOARD = Board("truth", "", "", 9, (), (SystemRow("ours", "ours", {}), SystemRow("BM25", "baseline", {})), ())


def compared(key, *rows):
    columns = ("products", "system", "requests", "ratio", "from", "to")
    return PlainTable(key, "Cold", "", columns, rows)


def calibration(*rows):
    columns = ("part", "clicks", "predicted / observed", "95 % from", "to", "p")
    return PlainTable("calibration", "Calibration", "", columns, rows)


def test_the_least_ratio_of_ours_that_is_clearly_under_one():
    table = compared(
        "search_cold_start",
        ("known", "ours", 50, None, None, None),  # what the others are compared with
        ("late", "ours", 50, 0.8, 0.7, 0.9),
        ("never met", "ours", 20, 0.7, 0.5, 0.99),
        ("few", "ours", 19, 0.1, 0.0, 0.2),
        ("unclear", "ours", 50, 0.6, 0.1, 1.1),
        ("late", "BM25", 50, 0.2, 0.1, 0.3),
    )
    (found,) = find_shortfalls([BOARD, table])
    assert (found.where, found.part, found.ratio.estimate, found.unit, found.count) == (
        "Cold", "never met", 0.7, "requests", 20,
    )  # fmt: skip


def test_the_part_whose_interval_stays_farthest_from_one():
    table = calibration(
        ("all", 1000, 1.0, 0.95, 1.05, 0.9),
        ("chance", 3, 3.0, 0.9, 9.0, 0.09),
        ("one of many", 9, 2.0, 1.4, 3.0, 0.02),  # above 0.05 / 3: the third of the parts that are left
        ("within", 9000, 1.08, 1.06, 1.1, 1e-9),
        ("too high", 100, 1.5, 1.2, 1.8, 1e-5),  # by 1.2 at least
        ("too low", 400, 0.7, 0.6, 0.8, 1e-8),  # by 1 / 0.8 = 1.25 at least
        ("nearly", 50, math.inf, 1.1, math.inf, 0.004),
    )
    (found,) = find_shortfalls([table])
    assert (found.part, found.measure, found.ratio.high, found.unit) == (
        "too low",
        "predicted / observed",
        0.8,
        "clicks",
    )


@pytest.mark.parametrize(
    "block",
    [
        compared("search_languages", ("Chinese", "ours", 99, 1.2, 1.1, 1.3)),
        compared("index", ("Chinese", "ours", 99, 0.2, 0.1, 0.3)),
        calibration(("all", 10, 1.3, 0.9, 1.8, 0.06)),
        calibration(),
    ],
)
def test_what_is_level_is_not_named(block):
    assert find_shortfalls([BOARD, block]) == ()
