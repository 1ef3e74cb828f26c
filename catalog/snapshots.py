"""Counters of every product at the start of every day, written day by day through a memory map."""

from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.progress import track
from catalog.schema import KINDS
from catalog.splits import SECONDS_PER_DAY


def counter_names(windows: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the F counters: each window with every kind, then the whole past with every kind."""
    names = [f"{kind}_{window}d" for window in windows for kind in KINDS]
    return (*names, *(f"{kind}_all" for kind in KINDS))


def daily_counts(events: ir.Table, day0: int) -> ir.Table:
    """Events by day, product and kind, in the order of the days: day, product, kind, events."""
    day = ((events.timestamp - day0) // SECONDS_PER_DAY).cast("int32")
    counts = events.group_by(day=day, product=events.product, kind=events.kind).aggregate(events=ibis._.count())
    return counts.order_by("day")


def write_snapshots(
    path: Path, counts: pa.Table, products: int, days: int, windows: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Write [days + 1, products, F] float32, row d from events of the days before d.

    Memory holds one day of counters and the sparse counts; windows slide by adding the day that came in and taking
    away the one that fell out.

    Args:
        path: the .npy file to write.
        counts: day, product, kind, events, by day (`daily_counts`).
        products: N. days: D. windows: lengths in days.

    Returns:
        The file as a read-only memory map.
    """
    shape = (days + 1, products, (len(windows) + 1) * len(KINDS))
    out = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    starts = np.searchsorted(counts["day"].to_numpy(), np.arange(days + 1))
    cells = counts["product"].to_numpy().astype(np.int64) * len(KINDS) + counts["kind"].to_numpy()
    values = counts["events"].to_numpy()
    running = np.zeros((len(windows) + 1, products * len(KINDS)), np.int64)

    def add(row: npt.NDArray[np.int64], day: int, sign: int) -> None:
        # One row a cell and day, so plain indexing adds each once.
        chosen = slice(starts[day], starts[day + 1])
        row[cells[chosen]] += sign * values[chosen]

    for day in track(range(days + 1), "daily snapshots"):
        for row, window in zip(running, (*windows, None), strict=True):
            if day >= 1:
                add(row, day - 1, 1)
            if window is not None and day - 1 - window >= 0:
                add(row, day - 1 - window, -1)
        out[day] = running.reshape(len(windows) + 1, products, len(KINDS)).transpose(1, 0, 2).reshape(shape[1:])
    out.flush()
    del out
    return np.load(path, mmap_mode="r")
