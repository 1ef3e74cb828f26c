"""Where a release is uneven: behind its own queries in Latin letters or known products, or wrong about its clicks."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from evaluation.boards import Board, PlainTable
from evaluation.calibration import BAR, CHANCE, HIGH, LOW, RATIO
from evaluation.significance import FEWEST, Interval, holm

_COMPARED = ("_languages", "_cold_start")
_CALIBRATION = "calibration"


@dataclass(frozen=True)
class Shortfall:
    """The worst part of one table.

    Args:
        where: title of the table. part: of it.
        measure: column of the ratio, which should be 1. ratio: with its 95 % interval.
        unit, count: what it rests on: "requests" or "clicks".
    """

    where: str
    part: str
    measure: str
    ratio: Interval
    unit: str
    count: int


def find_shortfalls(blocks: Sequence[object]) -> tuple[Shortfall, ...]:
    """Of each table by script, of cold products and of calibration the worst part, where it is clearly short.

    Our first system's ratio to queries in Latin letters or to known products is short where its interval lies under 1;
    the least is named, if it rests on 20 requests. Predicted over observed clicks is off where it lies outside of 0.9
    to 1.1 and chance does not explain it, by Holm's test over all parts; the one whose interval stays farthest from 1
    is named.
    """
    ours = next(
        (row.system for block in blocks if isinstance(block, Board) for row in block.rows if row.role == "ours"), ""
    )
    tables = [block for block in blocks if isinstance(block, PlainTable)]
    found = []
    for table in tables:
        if table.key == _CALIBRATION:
            found.append(max(_miscalibrated(table), key=_distance, default=None))
        elif table.key.endswith(_COMPARED):
            found.append(min(_behind(table, ours), key=lambda item: item.ratio.estimate, default=None))
    return tuple(item for item in found if item is not None)


def _behind(table: PlainTable, ours: str) -> Iterator[Shortfall]:
    for cells in table.rows:
        row = dict(zip(table.columns, cells, strict=True))
        ratio = _interval(row["ratio"], row["from"], row["to"])
        count = int(row["requests"] or 0)
        if row["system"] == ours and ratio is not None and ratio.high < 1 and count >= FEWEST:
            yield Shortfall(table.title, str(cells[0]), "ratio", ratio, "requests", count)


def _miscalibrated(table: PlainTable) -> Iterator[Shortfall]:
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.rows]
    beyond_chance = holm([float(row[CHANCE] or 0) for row in rows])
    for row, is_beyond in zip(rows, beyond_chance, strict=True):
        ratio = _interval(row[RATIO], row[LOW], row[HIGH])
        if ratio is not None and is_beyond and not BAR[0] <= ratio.estimate <= BAR[1]:
            yield Shortfall(table.title, str(row["part"]), RATIO, ratio, "clicks", int(row["clicks"] or 0))


def _interval(estimate: object, low: object, high: object) -> Interval | None:
    ends = [end for end in (estimate, low, high) if isinstance(end, int | float)]
    return Interval(float(ends[0]), float(ends[1]), float(ends[2])) if len(ends) == 3 else None


def _distance(found: Shortfall) -> float:
    """By which factor the nearer end of the interval is off."""
    return max(found.ratio.low, 1 / found.ratio.high if found.ratio.high else math.inf)
