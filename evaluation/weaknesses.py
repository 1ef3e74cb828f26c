"""Where a release is weak, from the report's own tables: what a person should know first."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evaluation.boards import Board, Comparison, SliceTable

Verdict = Literal["ahead", "behind", "level"]

_SHOWN = 8
_RATIOS = ("cvr@10",)  # Purchases a click: a list that hardly anybody clicks may have the highest.


@dataclass(frozen=True)
class Weakness:
    """Where we do worst against the strongest baseline.

    Args:
        where: section and slice. comparison: with the baseline that is strongest there. ours, theirs: the means.
        requests: how many it rests on.
    """

    where: str
    comparison: Comparison
    ours: float
    theirs: float
    requests: int

    @property
    def verdict(self) -> Verdict:
        """See `verdict`."""
        return verdict(self.comparison)


def verdict(comparison: Comparison) -> Verdict:
    """ "ahead" or "behind" when the interval says so, else "level"."""
    if comparison.difference.low > 0:
        return "ahead"
    return "behind" if comparison.difference.high < 0 else "level"


def find_weaknesses(blocks: Sequence[tuple[str, object]], shown: int = _SHOWN) -> tuple[Weakness, ...]:
    """The worst comparisons with the strongest baseline: clearly behind first, then undecided, then the least lead.

    Each place of the report is named once, by its worst metric; within a verdict the order is that of the difference as
    a share of the baseline's mean. Slices come from every slice table, whole tasks from every board that compares our
    first system with a baseline. What rests on fewer than 20 users, or queries, is left out, and so is conversion,
    which is a ratio of two other columns.

    Args:
        blocks: (section title, block) in reading order. shown: at most so many.
    """
    worst: dict[str, Weakness] = {}
    for found in _compared(blocks):
        is_decided = found.comparison.difference.is_decided
        if not is_decided or found.comparison.metric in _RATIOS:
            continue
        if found.where not in worst or _order(found) < _order(worst[found.where]):
            worst[found.where] = found
    return tuple(sorted(worst.values(), key=_order)[:shown])


def _compared(blocks: Sequence[tuple[str, object]]) -> Iterator[Weakness]:
    for section, block in blocks:
        if isinstance(block, Board):
            ours = next((row.system for row in block.rows if row.role == "ours"), None)
            for item in block.comparisons:
                is_rival = item.system == ours and block.row(item.against).role == "baseline"
                if is_rival and math.isfinite(item.difference.estimate):
                    means = [block.row(name).means[item.metric] for name in (item.system, item.against)]
                    requests = block.counted.get(item.metric, block.requests)
                    yield Weakness(block.title, item, means[0], means[1], requests)
        elif isinstance(block, SliceTable):
            for row in block.rows:
                against = row.comparison
                if against is not None and row.slice != "all" and math.isfinite(against.difference.estimate):
                    means = [row.means[against.system], row.means[against.against]]
                    yield Weakness(f"{section}, {row.slice}", against, means[0], means[1], row.requests)


def _order(found: Weakness) -> tuple[int, float]:
    difference = found.comparison.difference.estimate
    share = difference / found.theirs if found.theirs > 0 else math.copysign(math.inf, difference)
    return ("behind", "level", "ahead").index(found.verdict), share
