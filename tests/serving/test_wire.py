import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.protos import TensorProto
from serving.wire import fields


def test_finds_each_field_with_its_tag() -> None:
    # Field 1, varint 150; field 2, the bytes "ab"; field 3, four bytes; field 4, eight bytes.
    data = b"\x08\x96\x01" + b"\x12\x02ab" + b"\x1d1234" + b"\x2112345678"
    assert list(fields(data)) == [(1, 0, 3), (2, 3, 7), (3, 7, 12), (4, 12, 21)]


@given(st.lists(st.binary(max_size=200), max_size=5), st.binary(max_size=300))
def test_the_fields_of_a_message_make_it_up_again(strings: list[bytes], content: bytes) -> None:
    data = TensorProto(dtype=7, string_val=strings, tensor_content=content).SerializeToString()
    found = list(fields(data))
    assert b"".join(data[begin:end] for _, begin, end in found) == data
    assert sum(number == 8 for number, _, _ in found) == len(strings)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"\x12\x05ab", "ends at 7"), (b"\x08\x96", "within a number"), (b"\x0b", "wire type 3")],
)
def test_says_where_the_bytes_are_no_message(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        list(fields(data))
