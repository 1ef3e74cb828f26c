"""TFRecord files without TensorFlow (tensorflow/core/lib/io/record_writer.h).

A record is its length as uint64, the masked CRC-32C of these eight bytes, its bytes, and the masked CRC-32C of them,
all little-endian.
"""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

_HEAD, _SUM = struct.Struct("<QI"), struct.Struct("<I")
_LENGTH = 8  # bytes of the head that its sum is of
_MASK = 0xA282EAD8


class RecordError(ValueError):
    """A file that ends within a record, or whose bytes have changed."""


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write a file anew."""
    with path.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            file.writelines((length, _SUM.pack(_masked(length)), record, _SUM.pack(_masked(record))))


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file, one after the other.

    Raises:
        RecordError: at the record that is broken.
        OSError: if the file cannot be read.
    """
    left = path.stat().st_size
    with path.open("rb") as file:
        while head := file.read(_HEAD.size):
            left -= len(head)
            if len(head) < _HEAD.size:
                raise RecordError("the file ends within the length of a record")
            length, told = _HEAD.unpack(head)
            if told != _masked(head[:_LENGTH]):
                raise RecordError("the length of a record is not what was written")
            if length + _SUM.size > left:
                raise RecordError(f"a record of {length:,} bytes begins {left:,} bytes before the end of the file")
            record = file.read(length)
            left -= length + _SUM.size
            if file.read(_SUM.size) != _SUM.pack(_masked(record)):
                raise RecordError(f"the {length:,} bytes of a record are not what was written")
            yield record


def _masked(data: bytes) -> int:
    """CRC-32C of data that may hold CRCs itself (tensorflow/core/lib/hash/crc32c.h)."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF
