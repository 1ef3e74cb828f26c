"""Counters of every product at the start of every day, written day by day."""

import math
from pathlib import Path

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.lib import format as npy_format

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


def snapshots_shape(products: int, days: int, windows: tuple[int, ...]) -> tuple[int, int, int]:
    """Shape of what `write_snapshots` writes: [days + 1, products, F]."""
    return days + 1, products, len(counter_names(windows))


def snapshots_bytes(products: int, days: int, windows: tuple[int, ...]) -> int:
    """About how large the file of `write_snapshots` is."""
    return math.prod(snapshots_shape(products, days, windows)) * np.dtype(np.float32).itemsize


def write_snapshots(
    path: Path, counts: pa.Table, products: int, days: int, windows: tuple[int, ...]
) -> npt.NDArray[np.float32]:
    """Write [days + 1, products, F] float32, row d from events of the days before d.

    Memory holds one day of counters and the sparse counts; windows slide by adding the day that came in and taking
    away the one that fell out. The file is written, not mapped: a full disk is an OSError here, and would kill the
    process when a page of a map has no room.

    Args:
        path: the .npy file to write.
        counts: day, product, kind, events, by day (`daily_counts`).
        products: N. days: D. windows: lengths in days.

    Returns:
        The file as a read-only memory map.

    Raises:
        OSError: when it cannot be written, as on a full disk.
    """
    shape = snapshots_shape(products, days, windows)
    starts = np.searchsorted(counts["day"].to_numpy(), np.arange(days + 1))
    cells = counts["product"].to_numpy().astype(np.int64) * len(KINDS) + counts["kind"].to_numpy()
    values = counts["events"].to_numpy()
    running = np.zeros((len(windows) + 1, products * len(KINDS)), np.int64)

    def add(row: npt.NDArray[np.int64], day: int, sign: int) -> None:
        # One row a cell and day, so plain indexing adds each once.
        chosen = slice(starts[day], starts[day + 1])
        row[cells[chosen]] += sign * values[chosen]

    with path.open("wb") as handle:
        description = npy_format.dtype_to_descr(np.dtype(np.float32))
        npy_format.write_array_header_1_0(handle, {"descr": description, "fortran_order": False, "shape": shape})
        for day in track(range(days + 1), "daily snapshots"):
            for row, window in zip(running, (*windows, None), strict=True):
                if day >= 1:
                    add(row, day - 1, 1)
                if window is not None and day - 1 - window >= 0:
                    add(row, day - 1 - window, -1)
            counters = running.reshape(len(windows) + 1, products, len(KINDS)).transpose(1, 0, 2)
            handle.write(counters.astype(np.float32).tobytes())
    return np.load(path, mmap_mode="r")
