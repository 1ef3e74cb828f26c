"""One run of ingest over one table: files -> checked batches, counted, and stopped when too much is refused."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog import checks
from catalog.checks import Checked, Mask
from catalog.errors import DataError
from catalog.picture_store import holds_bytes
from catalog.progress import track
from catalog.readers import read_batches
from catalog.rejects import Rejects
from catalog.schema import Column
from catalog.table_files import SUFFIXES, find_files

Extra = Callable[[Checked, Mask], None]
"""A check that looks across rows or tables; adds its faults, given the rows that had none so far."""


@dataclass(eq=False)
class Report:
    """What became of one table's rows.

    Attributes:
        missing_columns: the parts without a column that other parts of the table have, by the column.
    """

    files: list[str] = field(default_factory=list)
    rows: int = 0
    kept: int = 0
    ignored_columns: set[str] = field(default_factory=set)
    missing_columns: dict[str, list[str]] = field(default_factory=dict)


@dataclass(eq=False)
class Run:
    """The state of one ingest.

    Attributes:
        source: the shop's folder.
        folder: where the tables are being written.
        refused: where the rejects go when the run is stopped.
        max_reject_share: share of a table's rows that may be refused.
        workers: threads.
        rejects: what was refused so far; its file lies in `folder`.
        reports: by table.
        early: products with an event before their created_at.
    """

    source: Path
    folder: Path
    refused: Path
    max_reject_share: float
    workers: int
    rejects: Rejects
    reports: dict[str, Report] = field(default_factory=dict)
    early: int = 0


@dataclass(frozen=True, eq=False)
class Kept:
    """The rows of one batch that passed: typed columns, the file they came from and their data rows there."""

    columns: pa.Table
    path: Path
    rows: npt.NDArray[np.int64]


def require_files(run: Run, table: str) -> None:
    """Refuse a shop without one of its required tables."""
    if find_files(run.source, table):
        return
    found = sorted(path.name for path in run.source.iterdir())
    expected = ", ".join(f"{table}{suffix}" for suffix in SUFFIXES)
    raise DataError(f"{run.source} has no {table}; expected one of {expected}, or a folder {table}/. It holds: {found}")


def checked_batches(run: Run, table: str, columns: tuple[Column, ...], extra: Extra) -> Iterator[Kept]:
    """Read and check one table, batch by batch; the rows that are refused go to the run's rejects.

    Raises:
        DataError: when a required column is missing, or, at the end, when too many rows were refused.
    """
    report = run.reports.setdefault(table, Report())
    names: dict[str, frozenset[str]] = {}
    for path in find_files(run.source, table):
        name = str(path.relative_to(run.source))
        report.files.append(name)
        pictures_inside = any(column.type == "picture" for column in columns) and holds_bytes(path)
        wanted = tuple(column for column in columns if not (pictures_inside and column.type == "picture"))
        for number, batch in enumerate(track(read_batches(path, wanted), f"{name}, batches")):
            if number == 0 and batch.names:
                checks.require_columns(str(path), batch, columns)
            if batch.names:
                names[name] = batch.names
            report.ignored_columns |= batch.names - {column.name for column in columns}
            try:
                checked = checks.check_cells(batch, columns)
            except DataError as error:
                raise DataError(f"{path}, {error}") from error
            extra(checked, checks.kept_rows(checked, batch))
            keep = checks.kept_rows(checked, batch)
            checks.report_faults(run.rejects, table, name, batch, checked)
            report.rows += len(batch.rows) + sum(item.lines - (item.column != "") for item in batch.unread)
            report.kept += int(keep.sum())
            yield Kept(pa.table(checked.columns).filter(pa.array(keep)), path, batch.rows[keep])
    for column in sorted(frozenset().union(*names.values()) & {column.name for column in columns}):
        if without := [name for name, has in names.items() if column not in has]:
            report.missing_columns[column] = without
    _enforce(run, table, report)


def _enforce(run: Run, table: str, report: Report) -> None:
    refused = report.rows - report.kept
    if refused > run.max_reject_share * report.rows:
        stop(
            run,
            table,
            f"{table}: {refused:,} of {report.rows:,} rows ({refused / report.rows:.1%}) were refused; at most "
            f"{run.max_reject_share:.1%} may be. Mend the files, or raise ingest.max_reject_share.",
        )
    if report.files and not report.kept and table in ("products", "events"):
        nothing = f"{table} has no usable row ({report.rows:,} were read from {', '.join(report.files)})"
        if report.rows:
            stop(run, table, nothing)
        raise DataError(nothing)


def stop(run: Run, table: str, why: str) -> NoReturn:
    """End a run because of what was refused, which is kept.

    Raises:
        DataError: `why`, with the most frequent reasons of the table.
    """
    run.rejects.close()
    run.rejects.path.replace(run.refused)
    raise DataError(f"{why}\n{run.rejects.explain(table)}\nEvery refused row stands in {run.refused}.")
