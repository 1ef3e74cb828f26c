"""Every file of a table is found, or named as one that is not read."""

import re

import pytest

from catalog.errors import DataError
from catalog.table_files import find_files


def test_find_files(tmp_path):
    assert find_files(tmp_path, "events") == []
    parts = tmp_path / "events"
    parts.mkdir()
    for name in ("2.csv", "1.parquet", "._1.parquet", "_SUCCESS"):
        (parts / name).touch()
    assert find_files(tmp_path, "events") == [parts / "1.parquet", parts / "2.csv"]
    (tmp_path / "events.jsonl").touch()
    with pytest.raises(DataError, match=r"more than once \(events\.jsonl, events/\)"):
        find_files(tmp_path, "events")


def test_parts_are_found_at_any_depth_and_in_any_case(tmp_path):
    parts = tmp_path / "events"
    names = ("a.CSV", "d=1/part-1.csv", "d=1/x/part.JSONL.gz", "z.Parquet")
    for name in (*names, ".DS_Store", "d=1/._part-1.csv", "_delta_log/0.json"):
        (parts / name).parent.mkdir(parents=True, exist_ok=True)
        (parts / name).touch()
    assert find_files(tmp_path, "events") == [parts / name for name in names]
    (tmp_path / "users.CSV.GZ").touch()
    assert find_files(tmp_path, "users") == [tmp_path / "users.CSV.GZ"]


@pytest.mark.parametrize("name", ["events/part.csv.zip", "events/d=1/part.ndjson", "events/part.json", "events.xlsx"])
def test_what_is_not_read_is_named(tmp_path, name):
    parts = tmp_path / "events"
    parts.mkdir()
    if "/" in name:
        (parts / "part-0.csv").touch()
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=rf"{re.escape(name)} is not read; expected .*\.csv\.gz.*Convert it"):
        find_files(tmp_path, "events")


def test_a_link_to_a_folder_of_parts_is_followed_and_one_upwards_named(tmp_path):
    elsewhere, parts = tmp_path / "elsewhere", tmp_path / "events"
    elsewhere.mkdir()
    (elsewhere / "1.csv").touch()
    parts.mkdir()
    (parts / "day").symlink_to(elsewhere)
    assert find_files(tmp_path, "events") == [parts / "day" / "1.csv"]
    (parts / "loop").symlink_to(parts)
    with pytest.raises(DataError, match="loop is not read"):
        find_files(tmp_path, "events")
