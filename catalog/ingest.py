"""The shop's files -> validated tables, the rows that were refused with their reasons, and a summary.

    tandem ingest RAW TABLES

Reads products, events and, where there are, users and judgments (Parquet, CSV or JSONL; see `catalog.schema` for their
columns) and the pictures in images/. A bad row goes to rejects.parquet; too many of them stop the run. The output
appears whole or not at all.
"""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import duckdb
from filelock import FileLock, Timeout
from pydantic import Field, field_validator

from catalog.config import Config, Operational
from catalog.errors import DataError, TandemError
from catalog.files import atomic_directory, clear_leftovers, disk_is_full
from catalog.intake import Run
from catalog.rejects import Rejects
from catalog.schema import ShopData
from catalog.starter import write_examples
from catalog.summary import summary_table, write_summary
from catalog.tables import check_products, write_events, write_judgments, write_products, write_users

__all__ = ["IngestConfig", "ingest", "summary_table", "write_examples"]

ColumnName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]


class IngestConfig(Config):
    """How a shop's files are checked."""

    image_size: int = Field(64, ge=16, le=1024, description="Edge of the stored square pictures, in pixels.")
    max_reject_share: float = Field(
        0.05, ge=0.0, le=1.0, description="Share of a table's rows that may be rejected; more stops the run."
    )
    max_broken_picture_share: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the named pictures that may be unusable; more stops the run."
    )
    user_columns: tuple[ColumnName, ...] = Field(
        (), description="Profile columns of the users table that the models read, as text."
    )
    workers: Annotated[int, Operational()] = Field(
        2, ge=1, le=256, description="Threads that decode pictures and sort events."
    )

    @field_validator("user_columns")
    @classmethod
    def _distinct(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(columns)) < len(columns) or "user_id" in columns:
            raise ValueError("expected distinct profile columns, without user_id")
        return columns


def ingest(source_dir: Path, out_dir: Path, config: IngestConfig) -> ShopData:
    """Check a shop's files and write its validated tables.

    Args:
        source_dir: holds products.*, events.*, optionally users.*, judgments.* and images/.
        out_dir: replaced as a whole, on success only.
        config: limits and declared columns.

    Returns:
        The tables as written, read back.

    Raises:
        TandemError: when a file is missing, broken or without a required column; when more than
            `config.max_reject_share` of a table's rows are refused, or `config.max_broken_picture_share` of the
            pictures cannot be used (they are then in <out_dir>.rejects.parquet); when another ingest is writing to
            out_dir; when the disk is full.
    """
    if not source_dir.is_dir():
        raise DataError(f"{source_dir} is not a folder; expected one with products.* and events.* in it")
    out_dir = out_dir.resolve()
    _refuse_to_overwrite(source_dir.resolve(), out_dir)
    refused = out_dir.with_name(f"{out_dir.name}.rejects.parquet")
    with (
        _clear_errors(out_dir),
        _only_one(out_dir),
        atomic_directory(out_dir) as folder,
        Rejects(folder / "rejects.parquet") as rejects,
    ):
        run = Run(source_dir, folder, refused, config.max_reject_share, config.workers, rejects)
        products = check_products(run)
        write_users(run, config.user_columns)
        write_judgments(run, products)
        first_day = write_events(run, products)
        write_products(run, products, first_day, config.image_size, config.max_broken_picture_share)
        write_summary(run)
    refused.unlink(missing_ok=True)
    return ShopData.load(out_dir)


def _refuse_to_overwrite(source: Path, out: Path) -> None:
    """out_dir is replaced as a whole, so it may hold nothing but what an earlier ingest wrote."""
    if source.is_relative_to(out):
        raise DataError(f"{out} holds the shop's own files; expected another folder for the tables, which is replaced")
    if out.exists() and not (out.is_dir() and ((out / "summary.json").exists() or not any(out.iterdir()))):
        raise DataError(
            f"{out} holds files that ingest did not write; expected a new folder, an empty one, or old tables"
        )


@contextmanager
def _only_one(out_dir: Path) -> Iterator[None]:
    """Hold the lock of `out_dir`, and clear away what killed runs left beside it."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    lock = out_dir.with_name(f".{out_dir.name}.lock")
    owner = out_dir.with_name(f".{out_dir.name}.owner")
    try:
        with FileLock(lock, timeout=0):
            owner.write_text(f"process {os.getpid()} on {socket.gethostname()}, since {datetime.now():%F %T}")
            clear_leftovers(out_dir)
            try:
                yield
            finally:
                owner.unlink(missing_ok=True)
    except Timeout as error:
        who = owner.read_text() if owner.exists() else "another process"
        raise TandemError(
            f"another ingest is writing {out_dir} ({who}); wait for it, end it, or give another output folder"
        ) from error


@contextmanager
def _clear_errors(out_dir: Path) -> Iterator[None]:
    """A full disk or a folder that may not be written, in words; what was half-written is gone by then."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if disk_is_full(error):
            free = shutil.disk_usage(_existing(out_dir)).free
            raise TandemError(
                f"the disk that holds {out_dir} is full ({free / 1e6:,.0f} MB free now): {error}. Nothing was changed; "
                "make room or give another output folder"
            ) from error
        if isinstance(error, PermissionError):
            raise TandemError(f"{error.filename or out_dir} may not be read or written: {error.strerror}") from error
        raise


def _existing(path: Path) -> Path:
    return next(parent for parent in (path, *path.absolute().parents) if parent.exists())
