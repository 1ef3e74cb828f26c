import contextlib

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tensorflow.core.framework.tensor_pb2 import TensorProto

from serving.protos import DataType
from serving.tensors import MAX_STRINGS, TensorError, make_proto, to_array, to_proto

DTYPES = (
    *(np.float16, np.float32, np.float64, np.int8, np.int16, np.int32, np.int64),
    *(np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, np.complex128),
)
ARRAYS = st.sampled_from(DTYPES).flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0)))


@given(ARRAYS)
@settings(max_examples=100, deadline=None)
def test_arrays_survive_both_forms_and_tensorflow_reads_them_alike(array: np.ndarray) -> None:
    typed = TensorProto()
    to_proto(array, typed)
    packed = make_proto(array)
    for proto in (typed, packed):
        assert to_array(proto).dtype == array.dtype
        np.testing.assert_array_equal(to_array(proto), array)
        np.testing.assert_array_equal(tf.make_ndarray(proto), array)
    assert not typed.tensor_content


@given(ARRAYS)
@settings(max_examples=50, deadline=None)
def test_what_tensorflow_writes_is_read(array: np.ndarray) -> None:
    np.testing.assert_array_equal(to_array(tf.make_tensor_proto(array)), array)


@given(hnp.arrays(object, hnp.array_shapes(max_dims=3, min_side=0), elements=st.binary(max_size=5)))
@settings(max_examples=50, deadline=None)
def test_strings_survive(array: np.ndarray) -> None:
    proto = make_proto(array)
    assert to_array(proto).tolist() == array.tolist()
    assert to_array(proto).shape == array.shape
    packed = TensorProto(dtype=proto.dtype, tensor_shape=proto.tensor_shape)
    values = array.ravel().tolist()
    packed.tensor_content = bytes(len(value) for value in values) + b"".join(values)
    assert to_array(packed).tolist() == array.tolist()
    written = TensorProto()
    to_proto(array, written, content=True)
    assert written == packed


def test_lengths_of_packed_strings_are_varints() -> None:
    """300 = 2 * 128 + 44: the low seven bits, 44, come first and say that more follows."""
    proto = TensorProto()
    to_proto(np.array([b"", b"a" * 300], object), proto, content=True)
    assert proto.tensor_content == bytes([0, 128 + 44, 2]) + b"a" * 300
    assert to_array(proto).tolist() == [b"", b"a" * 300]


def test_text_is_written_as_utf8() -> None:
    assert list(make_proto(["红裙", "été"]).string_val) == ["红裙".encode(), "été".encode()]
    assert list(make_proto(np.array(["a", "b"])).string_val) == [b"a", b"b"]


def test_bfloat16_survives() -> None:
    array = np.array([1.5, -2.0], ml_dtypes.bfloat16)
    proto = TensorProto()
    to_proto(array, proto)
    assert to_array(proto).tolist() == [1.5, -2.0]


def proto_of(size: int, **values: object) -> TensorProto:
    proto = TensorProto(dtype=values.pop("dtype", 1), **values)
    proto.tensor_shape.dim.add().size = size
    return proto


def test_few_values_repeat_the_last_none_are_zeros_and_too_many_are_dropped() -> None:
    assert to_array(proto_of(4, float_val=[1, 2])).tolist() == [1, 2, 2, 2]
    assert to_array(proto_of(2)).tolist() == [0, 0]
    assert to_array(proto_of(1, float_val=[1, 2])).tolist() == [1]
    assert to_array(proto_of(3, dtype=7, string_val=[b"a", b"b"])).tolist() == [b"a", b"b", b"b"]
    assert to_array(proto_of(1, dtype=7)).tolist() == [b""]


@pytest.mark.parametrize(
    "proto",
    [
        proto_of(2, tensor_content=b"\0" * 7),
        proto_of(-1, float_val=[1]),
        proto_of(1 << 40, float_val=[1]),
        proto_of(1, dtype=0),
        proto_of(1, dtype=20),
        proto_of(1, dtype=9999),
        proto_of(2, dtype=7, tensor_content=b"\x05"),
        proto_of(1, dtype=7, tensor_content=b"\x05abc"),
        proto_of(1, dtype=7, tensor_content=b"\xff" * 11),
        proto_of(2**20 + 1, dtype=7),
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 0}, {"size": 2**40}, {"size": 2**40}]}),
        TensorProto(dtype=1, tensor_shape={"dim": [{"size": 1}] * 65}),
        TensorProto(dtype=1, tensor_shape={"unknown_rank": True}),
    ],
    ids=[
        *("short", "negative", "huge", "no-dtype", "resource", "unknown-dtype", "lengths", "strings", "varint"),
        *("repeats", "empty-and-huge", "dimensions", "rank"),
    ],
)
def test_what_is_no_tensor_is_refused(proto: TensorProto) -> None:
    with pytest.raises(TensorError):
        to_array(proto)


def test_strings_are_counted_before_they_are_read() -> None:
    proto = TensorProto(dtype=DataType.DT_STRING, string_val=[b""] * 3)
    for size, read in ((0, []), (2, [b"", b""])):
        proto.tensor_shape.Clear()
        proto.tensor_shape.dim.add().size = size
        assert to_array(proto).tolist() == read
    proto.tensor_shape.dim[0].size = MAX_STRINGS + 1
    for content in (b"", b"\0" * (MAX_STRINGS + 1)):  # packed: so many lengths of nothing
        proto.tensor_content = content
        with pytest.raises(TensorError, match="4,194,305 strings; at most 4,194,304 are read"):
            to_array(proto)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_arbitrary_bytes_are_a_tensor_or_refused(data: bytes) -> None:
    with contextlib.suppress(DecodeError, TensorError):
        to_array(TensorProto.FromString(data))
