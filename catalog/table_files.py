"""Which files hold a table, and whether each is what its name says."""

from collections.abc import Iterator
from pathlib import Path

from catalog.errors import DataError

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
"""What a table may come as: `<table><suffix>`, or a folder `<table>/` of parts, in any case."""

_MAGIC = {
    b"\x1f\x8b": (".gz", "end its name in .csv.gz or .jsonl.gz, or unpack it"),
    b"PK\x03\x04": (".zip", "unpack it (a workbook: save it as CSV UTF-8)"),
    b"PAR1": (".parquet", "end its name so"),
}
"""First bytes: the ending that goes with them, and what to do where the name has another."""


def find_files(folder: Path, table: str) -> list[Path]:
    """The files of one table, in reading order; empty when there is none.

    A folder of parts may hold folders. Names that begin with a dot or "_" (`._1.csv`, `_SUCCESS`) are no parts.

    Raises:
        DataError: when the table stands there in two formats, or only in one that is not read; when a folder of parts
            holds anything else.
    """
    found = sorted(path for path in folder.iterdir() if path.name.lower().startswith(f"{table}."))
    files = [path for path in found if path.is_file() and path.name.lower().removeprefix(table) in SUFFIXES]
    parts = list(_parts(folder / table, frozenset()))
    if found and not files and not parts:
        raise _not_a_table(found[0])
    if len(files) + bool(parts) > 1:
        names = ", ".join([path.name for path in files] + [f"{table}/"] * bool(parts))
        raise DataError(f"{folder} holds {table} more than once ({names}); keep one of them")
    return files or parts


def _parts(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    """The parts of a table, by name, those of a folder in the place of its name; `above` are the folders around it."""
    if not folder.is_dir():
        return
    inside = above | {folder.resolve()}
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "_")):
            continue
        if path.is_dir() and path.resolve() not in inside:
            yield from _parts(path, inside)
        elif path.is_file() and path.name.lower().endswith(SUFFIXES):
            yield path
        else:
            raise _not_a_table(path)


def _not_a_table(path: Path) -> DataError:
    return DataError(
        f"{path} is not read; expected a file named in one of {', '.join(SUFFIXES)}. Convert it, or move it elsewhere"
    )


def is_parquet(path: Path) -> bool:
    """Whether a table's file is Parquet, by its name."""
    return path.name.lower().endswith(".parquet")


def is_csv(path: Path) -> bool:
    """Whether it is CSV, by its name."""
    return path.name.lower().endswith((".csv", ".csv.gz"))


def refuse_disguised(path: Path) -> None:
    """Look at a file's first bytes.

    Raises:
        DataError: when they are those of an archive or of Parquet, and its name says otherwise.
    """
    with path.open("rb") as file:
        start = file.read(max(map(len, _MAGIC)))
    for magic, (kind, advice) in _MAGIC.items():
        if start.startswith(magic) and not path.name.lower().endswith(kind):
            raise DataError(f"{path} is a {kind[1:]} file by its content; {advice}")
