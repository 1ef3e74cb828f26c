"""Files that appear whole or not at all: written beside, flushed to disk, then renamed."""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import ArtifactError

_TEMPORARY = r"[a-z0-9_]{8}(\..*)?"  # what tempfile puts after a prefix, and the endings given below

_FULL = (
    "No space left on device",
    r"^\d+ requested and \d+ written$",  # numpy's array.tofile, without a code
    "max_temp_directory_size",  # DuckDB, which spills to no more than what is free when it begins
)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it replaces `path`, on an error it is removed.

    Two writers at once each have a temporary file of their own; the last one to finish wins, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix + ".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush(temporary)
        temporary.chmod(0o644)
        temporary.replace(path)
        _flush(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Give a temporary directory beside `path`; on success it becomes `path`, replacing an earlier one.

    A link stays: the folder that it leads to is replaced.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        flush_tree(temporary)
        temporary.chmod(0o755)
        if path.exists():
            old = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old.tmp", dir=path.parent))
            path.replace(old / path.name)
            temporary.replace(path)
            shutil.rmtree(old)
        else:
            temporary.replace(path)
        _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def clear_leftovers(path: Path) -> None:
    """Remove what killed `atomic_path` and `atomic_directory` calls for `path` left beside it.

    A folder that one of them had just moved aside is put back. A link is followed. Call it while nobody
    writes `path`.
    """
    path = path.resolve()
    name = re.compile(re.escape(f".{path.name}.") + _TEMPORARY)
    if not path.parent.is_dir():
        return
    left_behind = [item for item in path.parent.iterdir() if name.fullmatch(item.name)]
    for left in sorted(left_behind, key=lambda item: item.stat().st_mtime_ns, reverse=True):
        if left.name.endswith(".old.tmp") and (left / path.name).exists() and not path.exists():
            (left / path.name).replace(path)
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def disk_is_full(error: Exception) -> bool:
    """Whether a failure means that no space is left; libraries wrap the system's error in their own."""
    code = error.errno if isinstance(error, OSError) else None
    return code in (errno.ENOSPC, errno.EDQUOT) or any(re.search(words, str(error)) for words in _FULL)


def flush_tree(path: Path) -> None:
    """Force a folder and everything in it to disk, so that a rename publishes what a crash cannot take back."""
    for folder, _, names in os.walk(path):
        for name in names:
            _flush(Path(folder) / name)
        _flush(Path(folder))


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented UTF-8 JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def finite(value: Any) -> Any:
    """`value` with None for each number in it that is none (NaN, infinity), which JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_json(path: Path) -> Any:
    """Read one JSON file of an earlier stage; ArtifactError when it is missing or broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not a readable JSON file ({error}); run the stage that writes it again"
        ) from error


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write `table` as Parquet (zstd), atomically."""
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def read_parquet(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read one Parquet file of an earlier stage; ArtifactError when it is missing or broken."""
    try:
        return pq.read_table(path, columns=columns, partitioning=None)
    except (OSError, pa.ArrowException) as error:
        raise _not_parquet(path, error) from error


def read_parquet_metadata(path: Path) -> pq.FileMetaData:
    """The footer of one Parquet file of an earlier stage; ArtifactError when it is missing or broken."""
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        raise _not_parquet(path, error) from error


def _not_parquet(path: Path, error: Exception) -> ArtifactError:
    return ArtifactError(f"{path}: not a readable Parquet file ({error}); run the stage that writes it again")


def write_npy(path: Path, array: np.ndarray) -> None:
    """Write `array` as .npy, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.save(handle, array)


def read_npy(path: Path, mmap: bool = False) -> np.ndarray:
    """Read one .npy file of an earlier stage, memory-mapped read-only if asked; ArtifactError when it is broken."""
    try:
        return np.load(path, mmap_mode="r" if mmap else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{path}: not a readable .npy file ({error}); run the stage that writes it again"
        ) from error


def fingerprint(path: Path) -> str:
    """SHA-256 of a file, or of a folder's relative file names and contents, as hex."""
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(item for item in path.rglob("*") if item.is_file())
    for file in files:
        digest.update(str(file.relative_to(path) if file != path else file.name).encode())
        with file.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()
