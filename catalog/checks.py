"""The checks of every row: which rows of a batch are kept, typed, and why the others are not."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog import parsing
from catalog.errors import DataError
from catalog.readers import Batch
from catalog.rejects import Rejects
from catalog.schema import KINDS, Column

Mask = npt.NDArray[np.bool_]

EARLIEST = 631_152_000e6  # 1990-01-01 in microseconds: an epoch of 0 or a two-digit year is a broken clock, not a time
_DAY = 86_400e6

_FINER = (
    (1.0, "looks like microseconds since 1970; divide by 1,000 for milliseconds, by 1,000,000 for seconds"),
    (1e3, "looks like nanoseconds since 1970; divide by 1,000,000 for milliseconds, by 1,000,000,000 for seconds"),
)
"""Units a microsecond that epochs are not read in, and what is said of a number that is a likely time in them."""

_DEFAULTS = {"id": "", "text": "", "kind": "", "number": float("nan"), "count": 0, "flag": True}


@dataclass(frozen=True, eq=False)
class Fault:
    """Rows of a batch with the same thing wrong in the same column."""

    column: str
    rows: Mask
    reason: str


@dataclass(frozen=True, eq=False)
class Checked:
    """What the checks made of one batch, row for row.

    Attributes:
        columns: the typed columns, with defaults where an optional cell was empty or a cell was refused.
        faults: what is wrong with which rows.
    """

    columns: dict[str, pa.Array]
    faults: list[Fault]


def require_columns(path: str, batch: Batch, columns: tuple[Column, ...]) -> None:
    """Refuse a file without a required column.

    Raises:
        DataError: naming the missing column, the nearest that the file has, and all it has.
    """
    for column in columns:
        if column.name in batch.names or not (column.required or column.expected):
            continue
        has = sorted(batch.names)
        folded = {name.strip().lower().replace(" ", "_"): name for name in has}
        near = get_close_matches(column.name, folded, n=1, cutoff=0.5)
        hint = f"the nearest it has is {folded[near[0]]!r}: rename it" if near else "add it"
        if len(has) == 1 and any(separator in has[0] for separator in ";\t|"):
            hint = "its values are not separated by commas: save it with commas, or as Parquet"
        raise DataError(f"{path} has no column {column.name!r}, which it must have; {hint}. Columns found: {has}")


def check_cells(batch: Batch, columns: tuple[Column, ...]) -> Checked:
    """Type and check every cell of a batch.

    Raises:
        DataError: when a column is no text, naming it and its first row of broken bytes.
    """
    count = batch.columns.num_rows
    checked = Checked({}, [])
    for column in columns:
        if column.name in batch.columns.column_names:
            cells = batch.columns[column.name]
            cells = cells.combine_chunks() if isinstance(cells, pa.ChunkedArray) else cells
        else:
            cells = pa.nulls(count, pa.string())
        try:
            _CHECKS[column.type](column, cells, checked)
        except parsing.NotText as error:
            row = "" if error.index is None else f", row {batch.rows[error.index]:,}"
            raise DataError(f"column {column.name!r}{row}: {error}") from error
    return checked


def kept_rows(checked: Checked, batch: Batch) -> Mask:
    """[n] which rows have no fault, neither here nor in the reader."""
    keep = ~np.isin(batch.rows, [item.row for item in batch.unread])
    for fault in checked.faults:
        keep &= ~fault.rows
    return keep


def report_faults(rejects: Rejects, table: str, file: str, batch: Batch, checked: Checked) -> None:
    """Write every fault of a batch down, with the values that caused it as they stood in the file."""
    unread = batch.unread
    rejects.add(
        table,
        file,
        [item.row for item in unread],
        [item.column for item in unread],
        [item.value for item in unread],
        [item.reason for item in unread],
    )
    for fault in checked.faults:
        at = np.flatnonzero(fault.rows)
        if len(at):
            known = fault.column in batch.columns.column_names
            values = batch.columns[fault.column].take(pa.array(at)) if known else [""] * len(at)
            rejects.add(table, file, batch.rows[at], [fault.column] * len(at), values, [fault.reason] * len(at))


def first_only(keys: Iterable[object], keep: Mask, seen: set[object]) -> Mask:
    """[n] kept rows whose key was seen on an earlier kept row, here or in an earlier batch. `seen` grows."""
    repeated = np.zeros(len(keep), np.bool_)
    for index, key in enumerate(keys):
        if keep[index]:
            repeated[index] = key in seen
            seen.add(key)
    return repeated


def _mask(values: pa.Array) -> Mask:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), np.bool_)


def _check_text(column: Column, cells: pa.Array, checked: Checked) -> None:
    text = parsing.to_text(cells)
    if pa.types.is_nested(cells.type):
        checked.faults.append(Fault(column.name, _mask(pc.is_valid(cells)), f"expected text, received {cells.type}"))
    too_long = _mask(pc.greater(pc.utf8_length(text), column.max_length))
    checked.faults.append(Fault(column.name, too_long, f"longer than {column.max_length:,} characters"))
    _finish(column, cells, text, checked)


def _check_kind(column: Column, cells: pa.Array, checked: Checked) -> None:
    kinds = pc.utf8_lower(parsing.to_text(cells))
    unknown = _mask(pc.and_(pc.is_valid(kinds), pc.invert(pc.is_in(kinds, value_set=pa.array(KINDS)))))
    checked.faults.append(Fault(column.name, unknown, f"unknown kind; known: {', '.join(KINDS)}"))
    _finish(column, cells, kinds, checked)


def _check_number(column: Column, cells: pa.Array, checked: Checked) -> None:
    numbers = parsing.to_numbers(cells)
    _not_understood(column, cells, numbers, "expected a number", checked)
    _check_range(column, numbers, checked)
    _finish(column, cells, numbers, checked)


def _check_count(column: Column, cells: pa.Array, checked: Checked) -> None:
    numbers = parsing.to_numbers(cells)
    _not_understood(column, cells, numbers, "expected a whole number", checked)
    _check_range(column, numbers, checked)
    broken = _mask(pc.not_equal(pc.floor(numbers), numbers))
    checked.faults.append(Fault(column.name, broken, "expected a whole number"))
    fits = pc.and_(pc.greater_equal(numbers, column.low), pc.less_equal(numbers, column.high))
    counts = pc.if_else(fits, pc.floor(numbers), None).cast(pa.int64())
    _finish(column, cells, counts, checked)


def _check_flag(column: Column, cells: pa.Array, checked: Checked) -> None:
    flags = parsing.to_flags(cells)
    _not_understood(column, cells, flags, "expected true or false", checked)
    _finish(column, cells, flags, checked)


def _check_time(column: Column, cells: pa.Array, checked: Checked) -> None:
    times = parsing.to_microseconds(cells)
    reason = "not a time: expected ISO 8601 (2026-03-01T12:00:00Z) or epoch seconds or milliseconds"
    _not_understood(column, cells, times, reason, checked)
    latest = time.time() * 1e6 + column.days_ahead * _DAY
    checked.faults.append(Fault(column.name, _mask(pc.less(times, EARLIEST)), "the time is before 1990"))
    too_late = _mask(pc.greater(times, latest))
    numbers = parsing.to_numbers(cells) if too_late.any() else pa.nulls(len(cells), pa.float64())
    for units, reason in _FINER:
        likely = pc.and_(pc.greater_equal(numbers, EARLIEST * units), pc.less_equal(numbers, latest * units))
        fine = too_late & _mask(likely)
        checked.faults.append(Fault(column.name, fine, reason))
        too_late &= ~fine
    reason = f"the time is more than {column.days_ahead} day(s) in the future"
    checked.faults.append(Fault(column.name, too_late, reason))
    sane = pc.and_(pc.greater_equal(times, EARLIEST), pc.less_equal(times, latest))
    moments = pc.if_else(sane, times, None).cast(pa.int64(), safe=False).cast(pa.timestamp("us", tz="UTC"))
    _finish(column, cells, moments, checked)


def _check_id(column: Column, cells: pa.Array, checked: Checked) -> None:
    """An id is a line of the models' vocabulary, so a line end or another control character would shift all others."""
    texts = parsing.to_text(cells)
    broken = _mask(pc.match_substring_regex(pc.fill_null(texts, ""), "[[:cntrl:]]"))
    checked.faults.append(Fault(column.name, broken, "an id holds a line end or another control character"))
    _check_text(column, cells, checked)


def _check_object(column: Column, cells: pa.Array, checked: Checked) -> None:
    texts, wrong = parsing.to_objects(cells)
    reason = 'expected a JSON object such as {"colour": "red"}'
    checked.faults.append(Fault(column.name, wrong, reason))
    checked.columns[column.name] = texts


def _check_picture(column: Column, cells: pa.Array, checked: Checked) -> None:
    """A picture never costs its product the row: what is wrong with it is found when it is read."""
    checked.columns[column.name] = pc.fill_null(parsing.to_text(cells), "")


def _check_range(column: Column, numbers: pa.Array, checked: Checked) -> None:
    outside = _mask(pc.or_(pc.less(numbers, column.low), pc.greater(numbers, column.high)))
    reason = f"expected a number from {column.low:,.15g} to {column.high:,.15g}"
    checked.faults.append(Fault(column.name, outside, reason))


def _not_understood(column: Column, cells: pa.Array, values: pa.Array, reason: str, checked: Checked) -> None:
    """A cell that says something, of which the parser made nothing."""
    filled = parsing.filled(cells)
    checked.faults.append(Fault(column.name, _mask(pc.and_(filled, pc.is_null(values))), reason))


def _finish(column: Column, cells: pa.Array, values: pa.Array, checked: Checked) -> None:
    """Report empty required cells, fill the others with the column type's default."""
    if column.required:
        told = np.zeros(len(values), np.bool_)
        for fault in checked.faults:
            if fault.column == column.name:
                told |= fault.rows
        checked.faults.append(Fault(column.name, _mask(pc.is_null(values)) & ~told, "the cell is empty"))
    default = _DEFAULTS.get(column.type)
    checked.columns[column.name] = values if default is None else pc.fill_null(values, default)


_CHECKS: dict[str, Callable[[Column, pa.Array, Checked], None]] = {
    "id": _check_id,
    "text": _check_text,
    "picture": _check_picture,
    "kind": _check_kind,
    "number": _check_number,
    "count": _check_count,
    "flag": _check_flag,
    "time": _check_time,
    "object": _check_object,
}
