"""Long pauses of a log, and the few events before one: what a clock leaves that was wrong by years."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LONG_DAYS = 365
"""A season's pause is shorter."""

_STRAY_SHARE = 0.01  # of a log's events at most; more of them are its history


@dataclass(frozen=True)
class Gap:
    """Days without an event.

    Attributes:
        days: how many.
        start, end: the day number of the last event before it and of the first one after it.
        before: events before it.
    """

    days: int
    start: int
    end: int
    before: int


def find_gaps(days: npt.NDArray[np.int64], events: npt.NDArray[np.int64]) -> list[Gap]:
    """Every pause of a day or more, in the order of time.

    Args:
        days: [n] the numbers of the days with events, rising.
        events: [n] how many each has.
    """
    before = np.cumsum(events)
    at = np.flatnonzero(np.diff(days) > 1)
    return [Gap(int(days[i + 1] - days[i]) - 1, int(days[i]), int(days[i + 1]), int(before[i])) for i in at]


def stray_gap(days: npt.NDArray[np.int64], events: npt.NDArray[np.int64]) -> Gap | None:
    """The latest pause before which there are only strays: a hundredth of the events or less, set off by more than a
    year and by more than the whole log after it. None where there is no such pause.

    Args: as of `find_gaps`.
    """
    allowed = int(events.sum() * _STRAY_SHARE)
    strays = [
        gap
        for gap in find_gaps(days, events)
        if gap.before <= allowed and gap.days > max(LONG_DAYS, int(days[-1]) - gap.end)
    ]
    return strays[-1] if strays else None
