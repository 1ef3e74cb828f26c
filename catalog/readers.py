"""Parquet, CSV and JSONL files -> batches of Arrow columns, with the rows that could not even be read."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from catalog.csv_quotes import sealed_blocks, unseal
from catalog.encodings import not_utf8, open_text, refuse_utf16
from catalog.errors import DataError
from catalog.schema import Column
from catalog.table_files import is_csv, is_parquet, refuse_disguised

BATCH_ROWS = 131_072
BATCH_BYTES = 256 * 1024 * 1024  # of a Parquet file at a time, about
BLOCK_BYTES = 16 * 1024 * 1024  # of text at a time; one row must fit in it
_SHOWN = 100  # characters of a header in an error


@dataclass(frozen=True)
class Unread:
    """A row or cell that could not be read.

    Attributes:
        row: its data row, from 1.
        column: the cell's, "" for the whole row.
        value, reason: what stood there and what is wrong with it.
        lines: how many lines of the file it takes: a quote that is never closed swallows the rows after it.
    """

    row: int
    column: str
    value: str
    reason: str
    lines: int = 1


@dataclass(frozen=True, eq=False)
class Batch:
    """Consecutive rows of one file.

    Attributes:
        columns: the wanted columns that the file has, as the file types them (text files: strings).
        rows: [n] data row of each, counted from 1.
        names: every column name seen in the file so far, wanted or not.
        unread: what could not be read up to the end of this batch; its rows may or may not stand in `columns`.
    """

    columns: pa.Table
    rows: npt.NDArray[np.int64]
    names: frozenset[str]
    unread: tuple[Unread, ...] = ()


def read_batches(path: Path, wanted: tuple[Column, ...]) -> Iterator[Batch]:
    """Read the wanted columns of one file, batch by batch.

    Raises:
        DataError: when the file is empty, broken, not what its name says, or not UTF-8; when it has two columns of one
            name; when one row of text is longer than BLOCK_BYTES.
    """
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes); expected {_expected(path)}")
    refuse_disguised(path)
    if is_parquet(path):
        batches = _read_parquet(path, wanted)
    elif is_csv(path):
        batches = _read_csv(path, wanted)
    else:
        batches = _read_jsonl(path, wanted)
    try:
        if not is_parquet(path):
            refuse_utf16(path)
        yield from batches
    except UnicodeDecodeError as error:
        raise not_utf8(path, str(error)) from error
    except (pa.ArrowException, OSError, EOFError) as error:
        if "utf8" in str(error).lower().replace("-", ""):
            raise not_utf8(path, str(error)) from error
        raise DataError(f"{path} cannot be read: {error}; expected {_expected(path)}") from error


def _expected(path: Path) -> str:
    if is_parquet(path):
        return "a whole Parquet file"
    return "a header line and rows of commas" if is_csv(path) else "one JSON object a line"


def parquet_file(path: Path) -> pq.ParquetFile:
    """Open one Parquet file; DataError when it is broken, or has two columns of one name."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}; expected {_expected(path)}") from error
    _refuse_twins(path, file.schema_arrow.names)
    return file


def _read_parquet(path: Path, wanted: tuple[Column, ...]) -> Iterator[Batch]:
    with parquet_file(path) as file:
        names = frozenset(file.schema_arrow.names)
        columns = [column.name for column in wanted if column.name in names]
        start = 1
        for batch in file.iter_batches(batch_size=_batch_rows(file, columns), columns=columns):
            yield Batch(pa.table(batch), np.arange(start, start + batch.num_rows), names)
            start += batch.num_rows
        if start == 1:
            empty = file.schema_arrow.empty_table().select(columns)
            yield Batch(empty, np.arange(0), names)


def _batch_rows(file: pq.ParquetFile, columns: list[str]) -> int:
    """Rows at a time: their text must fit in one Arrow array of 32-bit offsets, and in memory."""
    groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
    parts = [group.column(column) for group in groups for column in range(group.num_columns)]
    size = sum(part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in columns)
    return min(BATCH_ROWS, max(1, BATCH_BYTES * file.metadata.num_rows // max(size, 1)))


def _read_csv(path: Path, wanted: tuple[Column, ...]) -> Iterator[Batch]:
    header = _csv_header(path)
    names = frozenset(header)
    columns = [column.name for column in wanted if column.name in names]
    broken: list[Unread] = []
    done = told = 0
    with open_text(path) as stream:
        for number, text in enumerate(sealed_blocks(stream, path, len(header), BLOCK_BYTES)):
            # The first row of the first block is the header.
            start = done + len(broken) - (not number)
            table = _parse_csv(text, header, columns, bool(number), start, broken)
            rows = _skip_broken(done, table.num_rows, np.array([item.row for item in broken], np.int64))
            yield Batch(table.select(columns), rows, names, tuple(broken[told:]))
            done += table.num_rows
            told = len(broken)


def _parse_csv(
    text: bytes, header: list[str], columns: list[str], headless: bool, start: int, broken: list[Unread]
) -> pa.Table:
    """The rows of one block; those that cannot be read go to `broken`, numbered from `start` + 1."""

    def on_broken_row(row: Any) -> str:
        shown, sealed = unseal(row.text)
        lines = max(shown.count("\n"), shown.count("\r")) + 1
        if sealed:
            reason = f"a quote is not closed, or not doubled inside its cell: {_some(lines)} lines were read as one row"
        else:
            reason = f"the row has {row.actual_columns} fields, the header {row.expected_columns}"
            reason += f" (it takes {_some(lines)} lines: a quote that is never closed?)" if lines > 1 else ""
        broken.append(Unread(start + row.number, "", shown, reason, lines))
        return "skip"

    return pyarrow.csv.read_csv(
        pa.py_buffer(text),
        # Rows are numbered only by the single-threaded parser.
        read_options=pyarrow.csv.ReadOptions(
            use_threads=False, block_size=len(text), column_names=header if headless else None
        ),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=on_broken_row),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=columns, column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
        ),
    )


def _some(lines: int) -> str:
    """A rounded number, so that equal faults are counted together: 7, 10 or more, 100 or more ..."""
    return str(lines) if lines < 10 else f"{10 ** (len(str(lines)) - 1):,} or more"


def _skip_broken(done: int, count: int, broken: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Data rows of the readable rows done+1 .. done+count, when the data rows `broken` (sorted) were left out."""
    readable = np.arange(done + 1, done + count + 1)
    return readable + np.searchsorted(broken - np.arange(len(broken)), readable, side="right")


def _csv_header(path: Path) -> list[str]:
    with open_text(path) as stream, io.TextIOWrapper(stream, encoding="utf-8-sig", newline="") as text:
        try:
            header = next((row for row in csv.reader(text) if row), [])
        except csv.Error as error:
            raise _broken_header(path, str(error)) from error
    if not header:
        raise DataError(f"{path} is empty; expected {_expected(path)}")
    if swallowed := [name for name in header if "," in name and ("\n" in name or "\r" in name)]:
        raise _broken_header(path, f"a column's name takes several lines, {swallowed[0][:_SHOWN]!r}")
    _refuse_twins(path, header)
    return header


def _broken_header(path: Path, detail: str) -> DataError:
    return DataError(
        f"{path}: the header cannot be read ({detail}): a quote in it is never closed? Expected {_expected(path)}; "
        "close the quote, or remove it"
    )


def _refuse_twins(path: Path, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path} has two columns named {', '.join(map(repr, twice))}; rename or remove one")


def _read_jsonl(path: Path, wanted: tuple[Column, ...]) -> Iterator[Batch]:
    names: frozenset[str] = frozenset()
    done = 0
    with duckdb.connect(config={"threads": 1}) as connection:
        for lines in _line_blocks(path):
            batch = _parse_lines(connection, lines, wanted, done + 1)
            names |= batch.names
            yield Batch(batch.columns, batch.rows, names, batch.unread)
            done += len(lines)
    if not done:
        raise DataError(f"{path} is empty; expected {_expected(path)}")


def _line_blocks(path: Path) -> Iterator[pa.Array]:
    """The lines of a text file that are not blank, about BLOCK_BYTES at a time."""
    with open_text(path) as stream:
        rest = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8)
        while block := stream.read(BLOCK_BYTES):
            cut = block.rfind(b"\n")
            if cut < 0:
                rest += block
                continue
            yield _lines(rest + block[:cut])
            rest = block[cut + 1 :]
    yield _lines(rest)


def _lines(block: bytes) -> pa.Array:
    lines = pc.split_pattern(pa.array([block.decode("utf-8")]), "\n").flatten()
    return lines.filter(pc.invert(pc.match_substring_regex(lines, r"^\s*$")))


def _parse_lines(
    connection: duckdb.DuckDBPyConnection, lines: pa.Array, wanted: tuple[Column, ...], first_row: int
) -> Batch:
    connection.register("lines", pa.table({"line": lines}))
    kinds = connection.sql("SELECT CASE WHEN json_valid(line) THEN json_type(line) END AS kind FROM lines")
    is_object = pc.fill_null(pc.equal(kinds.to_arrow_table()["kind"], "OBJECT"), False).to_numpy()
    rows = np.arange(first_row, first_row + len(lines))
    unread = [
        Unread(int(rows[index]), "", lines[int(index)].as_py(), "the line is not a JSON object")
        for index in np.flatnonzero(~is_object)
    ]
    rows = rows[is_object]
    connection.register("objects", pa.table({"line": lines.filter(pa.array(is_object))}))
    keys = connection.sql("SELECT DISTINCT unnest(json_keys(line)) AS key FROM objects").fetchall()
    cells = connection.sql(
        "SELECT json_extract_string(line, $paths) AS text, json_type(line, $paths) AS kind FROM objects",
        params={"paths": [f'$."{column.name}"' for column in wanted]},
    ).to_arrow_table()
    columns: dict[str, pa.ChunkedArray] = {}
    for position, column in enumerate(wanted):
        columns[column.name] = text = pc.list_element(cells["text"], position)
        if column.type not in ("object", "picture"):
            nested = pc.is_in(pc.list_element(cells["kind"], position), pa.array(["OBJECT", "ARRAY"])).to_numpy()
            reason = "expected one value, received a JSON object or list"
            unread += [
                Unread(int(rows[index]), column.name, text[int(index)].as_py(), reason)
                for index in np.flatnonzero(nested)
            ]
    return Batch(pa.table(columns), rows, frozenset(key for (key,) in keys), tuple(unread))
