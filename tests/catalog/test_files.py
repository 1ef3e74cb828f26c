"""A file is either the old one or the new one, whole."""

import re
import subprocess
import sys
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import ArtifactError
from catalog.files import (
    atomic_directory,
    atomic_path,
    clear_leftovers,
    disk_is_full,
    fingerprint,
    finite,
    read_json,
    read_npy,
    read_parquet,
    write_json,
    write_npy,
    write_parquet,
)


def write_into_a_full_disk(path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("ne")
        raise OSError("no space left on device")


def test_a_failed_write_keeps_the_old_file_and_leaves_no_rest(tmp_path: Path) -> None:
    path = tmp_path / "value.txt"
    path.write_text("old")
    with pytest.raises(OSError, match="no space"):
        write_into_a_full_disk(path)
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["value.txt"]


def write_half_and_die(path: Path) -> None:
    with atomic_directory(path) as temporary:
        (temporary / "three").write_text("half")
        raise RuntimeError("killed")


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "tables"
    for content in ("one", "two"):
        with atomic_directory(path) as temporary:
            (temporary / content).write_text(content)
    assert [item.name for item in path.iterdir()] == ["two"]
    with pytest.raises(RuntimeError):
        write_half_and_die(path)
    assert [item.name for item in path.iterdir()] == ["two"]
    assert [item.name for item in tmp_path.iterdir()] == ["tables"]


def test_a_linked_directory_is_replaced_where_it_lies(tmp_path: Path) -> None:
    real = tmp_path / "other disk" / "tables"
    real.mkdir(parents=True)
    (real / "old").touch()
    link = tmp_path / "tables"
    link.symlink_to(real)
    with atomic_directory(link) as temporary:
        (temporary / "new").touch()
    assert link.is_symlink()
    assert [item.name for item in real.iterdir()] == ["new"]
    (real.parent / ".tables.abcdefgh.tmp").mkdir()
    clear_leftovers(link)
    assert [item.name for item in real.parent.iterdir()] == ["tables"]


WRITE_BEYOND_THE_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from catalog.files import disk_is_full
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    np.zeros(300_000, np.uint8).tofile(sys.argv[1])
except OSError as error:
    print(error.errno, disk_is_full(error), error)
"""


def test_a_disk_that_is_full_is_known_by_what_numpy_says(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", WRITE_BEYOND_THE_LIMIT, str(tmp_path / "a")], capture_output=True, text=True, check=True
    )
    assert re.fullmatch(r"None True 300000 requested and \d+ written\n", told.stdout)


def test_a_disk_that_is_full_is_known_by_what_duckdb_says(tmp_path: Path) -> None:
    config = {"memory_limit": "20MB", "temp_directory": str(tmp_path), "threads": 1}
    with duckdb.connect(config=config) as connection:
        connection.execute("SET max_temp_directory_size = '1MB'")
        with pytest.raises(duckdb.Error) as caught:
            connection.execute("CREATE TABLE large AS SELECT random() AS r, i FROM range(8_000_000) t(i)")
    assert disk_is_full(caught.value)


def test_other_failures_are_no_full_disk() -> None:
    assert not disk_is_full(OSError("3 requested and 2 written to the log"))
    assert not disk_is_full(duckdb.OutOfMemoryException("could not allocate block of size 32 KiB"))


def test_what_a_killed_writer_left_is_cleared_or_put_back(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / ".a.json.abc_1234.json.tmp").write_text("ha")
    (tmp_path / ".tables.abcdefgh.tmp").mkdir()
    aside = tmp_path / ".tables.hgfedcba.old.tmp" / "tables"  # killed between the two renames of a replacement
    aside.mkdir(parents=True)
    (aside / "kept").write_text("old")
    (tmp_path / ".features.abcdefgh.old.tmp" / "features").mkdir(parents=True)  # killed after both
    theirs = [".tables.v2.abcdefgh.tmp", ".tables.note", "tables.csv", ".b.json.abcdefgh.json.tmp"]
    for name in theirs:
        (tmp_path / name).write_text("another writer's")
    for name in ("tables", "features", "a.json"):
        clear_leftovers(tmp_path / name)
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(["features", "tables", *theirs])
    assert (tmp_path / "tables" / "kept").read_text() == "old"
    clear_leftovers(tmp_path / "nowhere" / "file")


def test_round_trips(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"名": [1, 2]})
    write_npy(tmp_path / "a.npy", np.arange(3, dtype=np.int32))
    write_parquet(tmp_path / "a.parquet", pa.table({"x": [1, 2]}))
    assert read_json(tmp_path / "a.json") == {"名": [1, 2]}
    assert read_npy(tmp_path / "a.npy", mmap=True).tolist() == [0, 1, 2]
    assert read_parquet(tmp_path / "a.parquet").to_pydict() == {"x": [1, 2]}


@pytest.mark.parametrize(("read", "suffix"), [(read_json, "json"), (read_npy, "npy"), (read_parquet, "parquet")])
def test_a_missing_or_truncated_artifact_says_what_to_do(tmp_path: Path, read: object, suffix: str) -> None:
    assert callable(read)
    broken = tmp_path / f"broken.{suffix}"
    broken.write_bytes(b"\x93NUMP")
    for path in (broken, tmp_path / f"absent.{suffix}"):
        with pytest.raises(ArtifactError, match=f"{path.name}.*run the stage that writes it again"):
            read(path)


def test_a_fingerprint_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "a").write_text("1")
    first = fingerprint(tmp_path / "shop")
    assert first == fingerprint(tmp_path / "shop")
    (tmp_path / "shop" / "a").rename(tmp_path / "shop" / "b")
    second = fingerprint(tmp_path / "shop")
    (tmp_path / "shop" / "b").write_text("2")
    assert len({first, second, fingerprint(tmp_path / "shop")}) == 3


def test_a_number_that_is_none_is_null_at_any_depth() -> None:
    value = {"a": [float("nan"), (1.5, float("-inf"))], "b": {"c": np.float64("nan")}, "d": "NaN", "e": 3, "f": True}
    expected = {"a": [None, [1.5, None]], "b": {"c": None}, "d": "NaN", "e": 3, "f": True}
    assert finite(value) == expected
