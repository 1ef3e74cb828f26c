"""Every refused row is in the file, whatever their number; what stays in memory are counts."""

import pyarrow.parquet as pq

from catalog import rejects as rejects_module
from catalog.rejects import Rejects
from catalog.schema import REJECTS_SCHEMA


def test_all_rejects_are_in_the_file_and_few_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(rejects_module, "_WAITING_ROWS", 4)
    with Rejects(tmp_path / "rejects.parquet") as rejects:
        for start in range(1, 31, 3):
            rows = [start, start + 1, start + 2]
            reasons = ["the cell is empty", "the cell is empty", "longer than 5 characters"]
            rejects.add("events", "e.csv", rows, ["query"] * 3, [f"v{row}" for row in rows], reasons)
            assert sum(part.num_rows for part in rejects._waiting) < 4
        rejects.add("users", "u.csv", [7], [""], [""], ["the row has 2 fields, the header 3"])
    told = pq.read_table(tmp_path / "rejects.parquet")
    assert told.schema.equals(REJECTS_SCHEMA)
    assert told["row"].to_pylist() == [*range(1, 31), 7]
    empty, long, short = rejects.by_reason()
    assert empty == {
        "table": "events", "column": "query", "reason": "the cell is empty", "rows": 20, "example": "e.csv row 1: 'v1'"
    }  # fmt: skip
    assert (long["rows"], long["example"]) == (10, "e.csv row 3: 'v3'")
    assert (short["table"], short["rows"]) == ("users", 1)
    assert rejects.by_reason("users") == [short]


def test_nothing_refused_is_an_empty_file(tmp_path):
    with Rejects(tmp_path / "rejects.parquet") as rejects:
        pass
    assert pq.read_table(tmp_path / "rejects.parquet").equals(REJECTS_SCHEMA.empty_table())
    assert rejects.by_reason() == []
