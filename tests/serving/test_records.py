"""TFRecord files, beside TensorFlow's own reader and writer."""

from pathlib import Path

import pytest
import tensorflow as tf

from serving.records import RecordError, read_records, write_records

RECORDS = [b"", b"a", b"red dress" * 1000]


def test_tensorflow_reads_what_is_written(tmp_path: Path) -> None:
    write_records(tmp_path / "file", RECORDS)
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "file"))] == RECORDS


def test_what_tensorflow_writes_is_read(tmp_path: Path) -> None:
    with tf.io.TFRecordWriter(str(tmp_path / "file")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert list(read_records(tmp_path / "file")) == RECORDS


def test_an_empty_file_has_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert list(read_records(tmp_path / "file")) == []


# Two records of one byte: each eight bytes of length, four of their sum, the byte, four of its sum.
@pytest.mark.parametrize(
    ("place", "message"),
    [
        (17, "the length of a record is not"),
        (17 + 8, "the length of a record is not"),
        (17 + 12, "the 1 bytes of a record are not"),
        (17 + 13, "the 1 bytes of a record are not"),
    ],
)
def test_a_changed_byte_is_noticed_after_the_records_before_it(tmp_path: Path, place: int, message: str) -> None:
    write_records(tmp_path / "file", [b"a", b"b"])
    data = bytearray((tmp_path / "file").read_bytes())
    data[place] ^= 1
    (tmp_path / "file").write_bytes(data)
    records = read_records(tmp_path / "file")
    assert next(records) == b"a"
    with pytest.raises(RecordError, match=message):
        next(records)


@pytest.mark.parametrize(
    ("kept", "message"), [(5, "within the length"), (12, "begins 0 bytes before"), (16, "begins 4")]
)
def test_a_file_that_was_cut(tmp_path: Path, kept: int, message: str) -> None:
    write_records(tmp_path / "file", [b"a"])
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:kept])
    with pytest.raises(RecordError, match=message):
        list(read_records(tmp_path / "file"))
