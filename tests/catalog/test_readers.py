"""Files -> batches: every row is read, or told."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import readers
from catalog.errors import DataError
from catalog.readers import read_batches
from catalog.schema import Column

WANTED = (Column("a", "id"), Column("b", "text"), Column("o", "object"))


def read(path, wanted=WANTED):
    """All rows as {data row: {column: cell}}, what was not read as (row, column, reason), and all names seen."""
    rows, unread, names = {}, [], frozenset()
    for batch in read_batches(path, wanted):
        rows |= dict(zip(batch.rows.tolist(), batch.columns.to_pylist(), strict=True))
        unread += [(item.row, item.column, item.reason) for item in batch.unread]
        names = batch.names
    return rows, unread, names


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_csv_cells_are_text_and_extra_columns_are_named(tmp_path):
    rows, unread, names = read(write(tmp_path / "t.csv", 'a,b,extra\n007,"x, ""y""\nz",1\nq,,2\n'))
    assert rows == {1: {"a": "007", "b": 'x, "y"\nz'}, 2: {"a": "q", "b": ""}}
    assert unread == []
    assert names == {"a", "b", "extra"}


def test_a_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    assert read(write(tmp_path / "t.csv", "a,b\n1,2\n", "utf-8-sig"))[0] == {1: {"a": "1", "b": "2"}}
    assert read(write(tmp_path / "t.jsonl", '{"a": "1"}\n', "utf-8-sig"))[0] == {1: {"a": "1", "b": None, "o": None}}


def test_csv_rows_with_too_many_or_few_fields_are_told_and_the_others_keep_their_numbers(tmp_path):
    rows, unread, _ = read(write(tmp_path / "t.csv", "a,b\n1,x\n2,x,y\n3\n4,x\n\n5,x\n6,x,y\n"))
    assert {row: cells["a"] for row, cells in rows.items()} == {1: "1", 4: "4", 5: "5"}
    assert unread == [
        (2, "", "the row has 3 fields, the header 2"),
        (3, "", "the row has 1 fields, the header 2"),
        (6, "", "the row has 3 fields, the header 2"),
    ]


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ('3,"open\n4,x\n5,x\n', (3, 3)),
        ('"3,open\n4,x\n5,x\n', (3, 3)),
        ('3,"red dress\n4,x\n5,x\n6,tv 5" wide\n7,x\n', (3, 4)),
        ('3,"red dress\n4,x\n5,x\n6,x\n7,x\n8,tv 5"\n9,x\n', (3, 6)),
        ('3,"two\nlines"\n', None),
        ('3,5" heel\n', None),
        ('3,"open', None),  # nothing follows that could be lost
    ],
)
def test_csv_rows_that_an_open_quote_swallows_are_told(tmp_path, end, told):
    (batch,) = read_batches(write(tmp_path / "t.csv", "a,b\n1,x\n2,x\n" + end), WANTED)
    assert [(item.row, item.lines) for item in batch.unread] == ([told] if told else [])
    assert all("a quote is not closed, or not doubled" in item.reason for item in batch.unread)


def test_a_swallowing_row_is_told_with_its_own_text(tmp_path):
    (batch,) = read_batches(write(tmp_path / "t.csv", 'a,b\n1,"x\n2,y" z\n3,w\n'), WANTED)
    (told,) = batch.unread
    assert told.value == '1,"x\n2,y" z'
    assert batch.columns["a"].to_pylist() == ["3"]
    assert batch.rows.tolist() == [2]


def test_a_row_with_too_few_fields_over_several_lines_is_told_with_them(tmp_path):
    _, unread, _ = read(write(tmp_path / "t.csv", 'a,b\n"1\n2"\n3,x\n'))
    assert unread == [(1, "", "the row has 1 fields, the header 2 (it takes 2 lines: a quote that is never closed?)")]


@pytest.mark.parametrize("text", ['a,"b\n1,x\n2,x\n', 'a,"b\n' + "1,x\n" * 40_000])
def test_a_header_whose_quote_is_not_closed_is_an_error(tmp_path, text):
    with pytest.raises(DataError, match=r"the header cannot be read .*a quote in it is never closed"):
        read(write(tmp_path / "t.csv", text))


def test_a_name_of_two_lines_is_a_name(tmp_path):
    _, unread, names = read(write(tmp_path / "t.csv", 'a,"price\n(EUR)"\n1,2\n'))
    assert names == {"a", "price\n(EUR)"}
    assert unread == []


def test_blank_lines_before_the_header_are_skipped(tmp_path):
    assert read(write(tmp_path / "t.csv", "\n\r\na,b\n1,2\n"))[0] == {1: {"a": "1", "b": "2"}}


@settings(max_examples=25, deadline=None)
@given(broken=st.lists(st.booleans(), min_size=1, max_size=400), block=st.sampled_from([64, 200, 5000]))
def test_csv_row_numbers_hold_over_blocks(broken, block, tmp_path_factory):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    lines = [f"{row},x,y" if bad else f'{row},"x\nx"' for row, bad in enumerate(broken, start=1)]
    write(path, "\n".join(["a,b", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK_BYTES", block)
        rows, unread, _ = read(path)
    assert all(str(row) == cells["a"] for row, cells in rows.items())
    assert sorted([*rows, *(row for row, _, _ in unread)]) == list(range(1, len(broken) + 1))


def test_jsonl_lines_of_every_kind(tmp_path):
    lines = [
        '{"a": 7, "b": "x", "extra": 1}',
        "",
        "not json",
        "[1]",
        '{"a": "8", "o": {"k": [1]}, "b": {"nested": 1}}',
        '{"a": null, "o": "{}"}',
    ]
    rows, unread, names = read(write(tmp_path / "t.jsonl", "\r\n".join(lines)))
    assert rows == {
        1: {"a": "7", "b": "x", "o": None},
        4: {"a": "8", "b": '{"nested":1}', "o": '{"k":[1]}'},
        5: {"a": None, "b": None, "o": "{}"},
    }
    assert unread == [
        (2, "", "the line is not a JSON object"),
        (3, "", "the line is not a JSON object"),
        (4, "b", "expected one value, received a JSON object or list"),
    ]
    assert names == {"a", "b", "o", "extra"}


@settings(max_examples=25, deadline=None)
@given(values=st.lists(st.text(max_size=20), min_size=1, max_size=60), block=st.sampled_from([16, 100, 10**6]))
def test_jsonl_gives_back_any_text_whatever_the_block(values, block, tmp_path_factory):
    path = tmp_path_factory.mktemp("jsonl") / "t.jsonl"
    write(path, "".join(json.dumps({"a": value}, ensure_ascii=False) + "\n" for value in values))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BLOCK_BYTES", block)
        rows, unread, _ = read(path)
    assert [cells["a"] for cells in rows.values()] == values
    assert unread == []


def test_parquet_keeps_its_types_and_reads_wanted_columns_only(tmp_path):
    table = pa.table({"a": [1, 2], "extra": [0, 0], "o": [{"k": 1}, None]})
    pq.write_table(table, tmp_path / "t.parquet")
    rows, _, names = read(tmp_path / "t.parquet")
    assert rows == {1: {"a": 1, "o": {"k": 1}}, 2: {"a": 2, "o": None}}
    assert names == {"a", "o", "extra"}


def test_parquet_rows_are_numbered_over_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BATCH_ROWS", 3)
    pq.write_table(pa.table({"a": np.arange(1, 11)}), tmp_path / "t.parquet")
    assert {row: cells["a"] for row, cells in read(tmp_path / "t.parquet")[0].items()} == {n: n for n in range(1, 11)}


def test_parquet_rows_with_long_texts_come_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "BATCH_BYTES", 100_000)
    texts = [f"{row:05d}" * 2000 for row in range(40)]  # 10,000 characters each: ten a batch, or fewer
    pq.write_table(pa.table({"a": np.arange(40), "b": pa.array(texts, pa.large_string())}), tmp_path / "t.parquet")
    batches = list(read_batches(tmp_path / "t.parquet", WANTED))
    assert max(len(batch.rows) for batch in batches) <= 10
    assert [cell for batch in batches for cell in batch.columns["b"].to_pylist()] == texts


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_compressed_text(tmp_path, suffix):
    text = "a\n1\n" if suffix == ".csv" else '{"a": 1}\n'
    path = tmp_path / f"t{suffix}.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert read(path)[0][1]["a"] == "1"
    path.write_bytes(gzip.compress(text.encode() * 99)[:-12])
    with pytest.raises(DataError, match="cannot be read"):
        read(path)


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_an_empty_file_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match="is empty"):
        read(write(tmp_path / name, ""))


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_a_file_of_blank_lines_is_an_error(tmp_path, name):
    with pytest.raises(DataError, match="is empty"):
        read(write(tmp_path / name, "\n\n"))


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    rows, unread, names = read(write(tmp_path / "t.csv", "a,b\n"))
    assert (rows, unread, names) == ({}, [], {"a", "b"})
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "t.parquet")
    assert read(tmp_path / "t.parquet") == ({}, [], {"a"})


@pytest.mark.parametrize(("name", "text"), [("t.csv", "a,b\n1,红色\n"), ("t.jsonl", '{"a": "红色"}\n')])
def test_other_encodings_are_an_error_that_says_how_to_convert(tmp_path, name, text):
    with pytest.raises(DataError, match=r"not UTF-8.*iconv"):
        read(write(tmp_path / name, text, "gb18030"))


def test_a_header_in_another_encoding(tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        read(write(tmp_path / "t.csv", "a,名称\n1,2\n", "gb18030"))


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-16", "UTF-16"), ("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")]
)
@pytest.mark.parametrize(("name", "text"), [("t.csv", "a,b\n1,红色\n"), ("t.jsonl", '{"a": "红色"}\n')])
def test_utf_16_is_named(tmp_path, encoding, said, name, text):
    with pytest.raises(DataError, match=rf"is {said} text.*iconv -f {said} -t UTF-8"):
        read(write(tmp_path / name, text, encoding))


def test_a_broken_parquet_file(tmp_path):
    with pytest.raises(DataError, match="a whole Parquet file"):
        read(write(tmp_path / "t.parquet", "PAR1 and then nothing"))


def test_two_columns_of_one_name(tmp_path):
    with pytest.raises(DataError, match="two columns named 'a'"):
        read(write(tmp_path / "t.csv", "a,b,a\n1,2,3\n"))
    pq.write_table(pa.table([[1], [2]], ["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(DataError, match="two columns named 'a'"):
        read(tmp_path / "t.parquet")


def test_a_name_in_capitals_is_read_as_what_it_says(tmp_path):
    (tmp_path / "t.CSV.GZ").write_bytes(gzip.compress(b"a,b\n1,2\n"))
    assert read(tmp_path / "t.CSV.GZ")[0] == {1: {"a": "1", "b": "2"}}
    pq.write_table(pa.table({"a": ["x"]}), tmp_path / "t.PARQUET")
    assert read(tmp_path / "t.PARQUET")[0] == {1: {"a": "x"}}


@pytest.mark.parametrize(
    ("name", "start", "said"),
    [
        ("t.csv", b"\x1f\x8b\x08", r"t\.csv is a gz file by its content; end its name in \.csv\.gz"),
        ("t.jsonl", b"PK\x03\x04", "is a zip file by its content; unpack it"),
        ("t.csv.gz", b"PK\x03\x04", "is a zip file"),
        ("t.csv", b"PAR1", "is a parquet file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path, name, start, said):
    (tmp_path / name).write_bytes(start + b"\x00\xff" * 20)
    with pytest.raises(DataError, match=said):
        read(tmp_path / name)
