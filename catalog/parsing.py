"""Cells of any Arrow type -> typed columns: a cell that cannot be understood becomes null, never an error."""

import json
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import DataError

TRUE_WORDS = ("true", "t", "yes", "y", "1")
FALSE_WORDS = ("false", "f", "no", "n", "0")

_MICROSECONDS = 1_000_000
_EPOCH_MILLISECONDS_FROM = 1e11
"""A bare number from here on is milliseconds: as seconds it would be the year 5138, as milliseconds 1973."""

_ISO_8601 = (
    r"^(\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d{1,9})?)?))?"
    r"(?: ?(?:[Zz]|UTC|GMT|([+-])(0\d|1[0-5]):?([0-5]\d)?))?$"
)

# DuckDB's own cast to TIMESTAMP drops the offset (10:00+08:00 became 10:00), so offsets are subtracted here.
_TIME_SQL = f"""
    WITH split AS (
        SELECT cell, regexp_extract(cell, '{_ISO_8601}', ['day', 'clock', 'sign', 'hours', 'minutes']) AS iso FROM cells
    )
    SELECT
        epoch_us(TRY_CAST(
            iso.day || ' ' || CASE WHEN iso.clock = '' THEN '00:00' ELSE replace(iso.clock, ',', '.') END AS TIMESTAMP
        )) - CASE iso.sign WHEN '+' THEN 1 WHEN '-' THEN -1 ELSE 0 END * {_MICROSECONDS} * (
            3600 * coalesce(TRY_CAST(iso.hours AS BIGINT), 0) + 60 * coalesce(TRY_CAST(iso.minutes AS BIGINT), 0)
        ) AS microseconds,
        CASE WHEN regexp_matches(cell, '^-?[0-9]+([.][0-9]*)?$') THEN TRY_CAST(cell AS DOUBLE) END AS number
    FROM split
"""


class NotText(DataError):
    """A column that is no text.

    Attributes:
        index: the place of its first cell of broken bytes; None where its type is the reason.
    """

    def __init__(self, reason: str, index: int | None) -> None:
        super().__init__(reason)
        self.index = index


def to_text(cells: pa.Array) -> pa.Array:
    """Cells as trimmed strings; null where the cell is null, empty, or a list, map or struct.

    Raises:
        NotText: when the column holds bytes that are not UTF-8.
    """
    cells = _plain(cells)
    kind = cells.type
    if pa.types.is_nested(kind):
        return pa.nulls(len(cells), pa.string())
    if pa.types.is_floating(kind):
        cells = _whole_numbers(cells)
    try:
        text = cells.cast(pa.string())
        text.validate(full=True)
    except pa.ArrowException as error:
        reason = f"a column of type {kind} is not UTF-8 text: {error}; store it as text"
        raise NotText(reason, _first_broken(cells) if _is_text(kind) else None) from error
    text = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.equal(text, ""), None, text)


def to_numbers(cells: pa.Array) -> pa.Array:
    """Cells as float64; null where the cell is null, empty, NaN, or no number."""
    cells = _plain(cells)
    kind = cells.type
    if cells.null_count == len(cells):
        return pa.nulls(len(cells), pa.float64())
    if _is_text(kind):
        table = _duckdb("SELECT TRY_CAST(cell AS DOUBLE) AS number FROM cells", to_text(cells))
        numbers = table["number"].combine_chunks()
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = cells.cast(pa.float64(), safe=False)
    else:
        return pa.nulls(len(cells), pa.float64())
    return pc.if_else(pc.is_nan(numbers), None, numbers)


def filled(cells: pa.Array) -> pa.Array:
    """Which cells of a column of numbers, times or flags say something: not null, empty, or NaN (pandas' missing)."""
    cells = _plain(cells)
    if pa.types.is_floating(cells.type):
        return pc.fill_null(pc.invert(pc.is_nan(cells)), False)
    if not _is_text(cells.type):
        return pc.is_valid(cells)
    text = to_text(cells)
    return pc.and_(pc.is_valid(text), pc.fill_null(pc.not_equal(pc.utf8_lower(text), "nan"), False))


def to_flags(cells: pa.Array) -> pa.Array:
    """Cells as bool; null where the cell is null, empty, or none of TRUE_WORDS and FALSE_WORDS."""
    cells = _plain(cells)
    if pa.types.is_boolean(cells.type):
        return cells
    words = pc.utf8_lower(to_text(cells))
    is_true = pc.is_in(words, value_set=pa.array(TRUE_WORDS))
    return pc.if_else(pc.or_(is_true, pc.is_in(words, value_set=pa.array(FALSE_WORDS))), is_true, None)


def to_microseconds(cells: pa.Array) -> pa.Array:
    """Cells as float64 microseconds since 1970 in UTC; null where the cell is null, empty, or no time.

    ISO 8601 text, epoch seconds or milliseconds (text or number), Arrow timestamps and dates. A time without a zone
    is UTC. float64 is exact to the microsecond up to the year 2255, and holds absurd times without overflowing.
    """
    cells = _plain(cells)
    kind = cells.type
    if cells.null_count == len(cells):
        return pa.nulls(len(cells), pa.float64())
    if pa.types.is_timestamp(kind):
        counts = cells.cast(pa.int64())
        if kind.unit == "ns":  # divided as integers: as float64, nanoseconds of this century are not exact
            return pc.divide(counts, 1000).cast(pa.float64(), safe=False)
        return _scaled(counts, {"s": 1e6, "ms": 1e3, "us": 1.0}[kind.unit])
    if pa.types.is_date32(kind):
        return _scaled(cells.cast(pa.int32()), 86_400e6)
    if pa.types.is_date64(kind):
        return _scaled(cells.cast(pa.int64()), 1e3)
    if not _is_text(kind):
        return _from_epoch(to_numbers(cells))
    table = _duckdb(_TIME_SQL, to_text(cells))
    iso = table["microseconds"].combine_chunks().cast(pa.float64(), safe=False)
    return pc.coalesce(iso, _from_epoch(table["number"].combine_chunks()))


def to_objects(cells: pa.Array) -> tuple[pa.Array, npt.NDArray[np.bool_]]:
    """Cells as canonical JSON object strings (sorted keys, nulls left out), "{}" where nothing is known.

    Returns:
        The strings, and [n] whether the cell was something else than an object.
    """
    texts: list[str] = []
    wrong = np.zeros(len(cells), np.bool_)
    is_map = pa.types.is_map(cells.type)
    for index, cell in enumerate(cells.to_pylist()):
        value = dict(cell) if is_map and cell is not None else cell
        try:
            texts.append(_canonical(value))
        except (ValueError, TypeError, RecursionError):
            wrong[index] = True
            texts.append("{}")
    return pa.array(texts, pa.string()), wrong


def _canonical(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if isinstance(value, str):
        value = json.loads(value, parse_constant=_no_constant) if value.strip() else None
    if value is None:
        return "{}"
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, received {type(value).__name__}")
    known = {str(key): item for key, item in value.items() if item is not None and item == item}  # NaN != NaN
    text = json.dumps(known, sort_keys=True, ensure_ascii=False, allow_nan=False, default=str)
    text.encode("utf-8")  # half a surrogate pair ("\\ud800") is a str, but no text: ValueError
    return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _plain(cells: pa.Array) -> pa.Array:
    return cells.dictionary_decode() if pa.types.is_dictionary(cells.type) else cells


def _first_broken(cells: pa.Array) -> int | None:
    for index, cell in enumerate(cells.cast(pa.large_binary()).to_pylist()):
        try:
            str(cell or b"", "utf-8")
        except UnicodeDecodeError:
            return index
    return None


def _is_text(kind: pa.DataType) -> bool:
    is_binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return is_binary or pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _whole_numbers(cells: pa.Array) -> pa.Array:
    """Ids that became floats because some cell was missing (1.0, 2.0, NaN) back as integers."""
    cells = pc.if_else(pc.is_nan(cells), None, cells)
    try:
        return cells.cast(pa.int64())
    except pa.ArrowInvalid:
        return cells


def _scaled(values: pa.Array, factor: float) -> pa.Array:
    return pc.multiply(values.cast(pa.float64(), safe=False), factor)


def _from_epoch(numbers: pa.Array) -> pa.Array:
    in_seconds = pc.less(pc.abs(numbers), _EPOCH_MILLISECONDS_FROM)
    return pc.round(pc.multiply(numbers, pc.if_else(in_seconds, float(_MICROSECONDS), 1e3)))


def _duckdb(sql: str, text: pa.Array) -> pa.Table:
    """Run `sql` over the one-column table `cells(cell)`; one thread, so that rows keep their order."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("cells", pa.table({"cell": text}))
        return connection.sql(sql).to_arrow_table()
