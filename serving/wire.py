"""The wire format of protocol buffers, where parsing the whole message would cost too much.

https://protobuf.dev/programming-guides/encoding
"""

from collections.abc import Iterator

_FIXED = {1: 8, 5: 4}  # bytes by wire type


def fields(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The fields of a serialised message, in order: the number of each, and where it begins (with its tag) and ends.

    Raises:
        ValueError: for bytes that are no message.
    """
    place = 0
    while place < len(data):
        begin = place
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(data, place)
        elif kind == 2:
            length, place = _varint(data, place)
            place += length
        elif kind in _FIXED:
            place += _FIXED[kind]
        else:
            raise ValueError(f"wire type {kind} at byte {begin}; expected 0, 1, 2 or 5")
        if place > len(data):
            raise ValueError(f"the field at byte {begin} ends at {place:,}, and the message at {len(data):,}")
        yield tag >> 3, begin, place


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError(f"the message ends within a number, at byte {place:,}")
