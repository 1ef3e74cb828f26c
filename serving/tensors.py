"""TensorProto <-> numpy, with TensorFlow's own reading of short and packed values and without its slow paths."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from serving.protos import DataType, TensorProto

Array = npt.NDArray[Any]

MAX_REPEATED = 1 << 20
"""Most elements of a tensor that does not bring each one: 30 bytes can claim a tensor of any size."""

MAX_STRINGS = 4 << 20
"""Most strings of a tensor: an empty one takes two bytes of a message, and STRING_BYTES here."""

STRING_BYTES = 32
"""What a string takes beside its text: its places in the message, a list and an array (resident memory, measured)."""

_STRING = DataType.DT_STRING

# DataType -> (numpy dtype, field that holds its values, numpy dtype of that field)
_TYPES: dict[int, tuple[np.dtype[Any], str, type]] = {
    DataType.DT_FLOAT: (np.dtype(np.float32), "float_val", np.float32),
    DataType.DT_DOUBLE: (np.dtype(np.float64), "double_val", np.float64),
    DataType.DT_INT64: (np.dtype(np.int64), "int64_val", np.int64),
    DataType.DT_INT32: (np.dtype(np.int32), "int_val", np.int32),
    DataType.DT_UINT8: (np.dtype(np.uint8), "int_val", np.int32),
    DataType.DT_INT8: (np.dtype(np.int8), "int_val", np.int32),
    DataType.DT_UINT16: (np.dtype(np.uint16), "int_val", np.int32),
    DataType.DT_INT16: (np.dtype(np.int16), "int_val", np.int32),
    DataType.DT_UINT32: (np.dtype(np.uint32), "uint32_val", np.uint32),
    DataType.DT_UINT64: (np.dtype(np.uint64), "uint64_val", np.uint64),
    DataType.DT_BOOL: (np.dtype(np.bool_), "bool_val", np.bool_),
    DataType.DT_HALF: (np.dtype(np.float16), "half_val", np.int32),
    DataType.DT_BFLOAT16: (np.dtype(ml_dtypes.bfloat16), "half_val", np.int32),
    DataType.DT_COMPLEX64: (np.dtype(np.complex64), "scomplex_val", np.float32),
    DataType.DT_COMPLEX128: (np.dtype(np.complex128), "dcomplex_val", np.float64),
}
_DATA_TYPES: dict[np.dtype[Any], int] = {dtype: number for number, (dtype, _, _) in _TYPES.items()}

# Fields of fixed width are a tag, a length and the bytes as they lie in memory: the parser takes them in one copy.
_PACKED_TAGS = {DataType.DT_FLOAT: b"\x2a", DataType.DT_DOUBLE: b"\x32"}


class TensorError(ValueError):
    """A TensorProto that holds no tensor."""


def to_array(proto: TensorProto) -> Array:
    """Read a tensor.

    Values come in `tensor_content` or in the typed `*_val` field. As in TensorFlow, fewer values than elements repeat
    the last one, no value means zeros, and values beyond the shape are dropped.

    Returns:
        An array of the declared dtype and shape; strings as an object array of bytes.

    Raises:
        TensorError: if dtype, shape and contents do not make a tensor.
    """
    shape = _shape(proto)
    try:
        return _elements(proto, math.prod(shape)).reshape(shape)
    except TensorError:
        raise
    except ValueError as error:  # numpy's own limits, on (0, 2**40, 2**40) for one
        raise TensorError(f"the shape {shape} is not held") from error


def to_proto(array: Array, proto: TensorProto, content: bool = False) -> None:
    """Write `array` into an empty `proto`.

    Args:
        array: strings as an object array of bytes.
        proto: where to.
        content: write to `tensor_content`, in one copy, instead of the typed `*_val` fields that TF Serving answers in.

    Raises:
        TensorError: if the dtype has no TensorProto field.
    """
    dims = proto.tensor_shape.dim
    for side in array.shape:
        dims.add().size = side
    if array.dtype == object:
        proto.dtype = _STRING
        values = array.ravel().tolist()
        if content:
            proto.tensor_content = b"".join([*(_varint(len(value)) for value in values), *values])
        else:
            proto.string_val.extend(values)
        return
    number = _DATA_TYPES.get(array.dtype)
    if number is None:
        raise TensorError(f"dtype {array.dtype} is not written")
    proto.dtype = number
    if content:
        proto.tensor_content = array.tobytes()
        return
    if number in _PACKED_TAGS:
        data = array.tobytes()
        proto.MergeFromString(_PACKED_TAGS[number] + _varint(len(data)) + data)
        return
    field = _TYPES[number][1]
    getattr(proto, field).extend(_to_field(np.ascontiguousarray(array).ravel(), field).tolist())


def make_proto(values: Array | Sequence[Any]) -> TensorProto:
    """A request's tensor: numbers in `tensor_content`, which is one copy; text as UTF-8 in `string_val`."""
    array = np.asarray(values)
    proto = TensorProto()
    if array.dtype.kind in "OSU":
        to_proto(_bytes_array(array), proto)
    else:
        to_proto(array, proto, content=True)
    return proto


def data_type_of(dtype: np.dtype[Any]) -> int:
    """The DataType of numbers of `dtype`; KeyError for one that TensorFlow lacks."""
    return _DATA_TYPES[dtype]


def dtype_of(number: int) -> np.dtype[Any]:
    """The dtype of numbers of a DataType; KeyError for one that numpy lacks, and for strings."""
    return _TYPES[number][0]


def type_name_of(array: Array) -> str:
    """The name of an array's DataType, `DT_FLOAT` and so on."""
    return data_type_name(_STRING if array.dtype == object else data_type_of(array.dtype))


def data_type_name(number: int) -> str:
    """`DT_FLOAT` and so on; the number itself for one that TensorFlow does not know."""
    name: Callable[[int], str] = DataType.Name
    return name(number) if number in DataType.values() else str(number)


def _shape(proto: TensorProto) -> tuple[int, ...]:
    if proto.tensor_shape.unknown_rank:
        raise TensorError("the shape is unknown")
    shape = tuple(dim.size for dim in proto.tensor_shape.dim)
    if any(side < 0 for side in shape):
        raise TensorError(f"the shape {shape} has a negative side")
    if len(shape) > 64:  # numpy's limit; TensorFlow's is 254
        raise TensorError(f"{len(shape)} dimensions")
    return shape


def _elements(proto: TensorProto, size: int) -> Array:
    """[size], of the declared dtype."""
    if proto.dtype == _STRING:
        if size > MAX_STRINGS:
            raise TensorError(f"{size:,} strings; at most {MAX_STRINGS:,} are read")
        if proto.tensor_content:
            return _objects(_packed_strings(proto.tensor_content, size))
        return _repeat_last(_objects(proto.string_val[:size]), size, b"")
    if proto.dtype not in _TYPES:
        raise TensorError(f"dtype {proto.dtype} is not read")
    dtype, field, field_dtype = _TYPES[proto.dtype]
    if proto.tensor_content:
        if len(proto.tensor_content) != size * dtype.itemsize:
            raise TensorError(f"{len(proto.tensor_content)} bytes for {size} elements of {dtype}")
        return np.frombuffer(proto.tensor_content, dtype)
    return _repeat_last(_from_field(np.array(getattr(proto, field), field_dtype), field, dtype), size, 0)


def _repeat_last(values: Array, size: int, default: Any) -> Array:
    """The first `size` values; the last one, or `default`, for those that are missing."""
    missing = size - len(values)
    if missing <= 0:
        return values[:size]
    if size > MAX_REPEATED:
        raise TensorError(f"{len(values):,} values for {size:,} elements; at most {MAX_REPEATED:,} are repeated")
    last = values[-1] if len(values) else default
    return np.concatenate([values, np.full(missing, last, values.dtype)])


def _objects(values: Sequence[Any]) -> Array:
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _from_field(values: Array, field: str, dtype: np.dtype[Any]) -> Array:
    """The elements that a field's values stand for: 16-bit floats come as their bits, complex numbers as pairs."""
    if field == "half_val":
        return values.astype(np.uint16).view(dtype)
    if field in ("scomplex_val", "dcomplex_val"):
        return values[: len(values) // 2 * 2].view(dtype)
    return values.astype(dtype)


def _to_field(elements: Array, field: str) -> Array:
    if field == "half_val":
        return elements.view(np.uint16)
    if field in ("scomplex_val", "dcomplex_val"):
        return elements.view(elements.real.dtype)
    return elements


def _packed_strings(data: bytes, size: int) -> list[bytes]:
    """TensorFlow's packing: `size` lengths as varints, then the bytes of all strings."""
    lengths, at = [], 0
    for _ in range(size):
        length, shift = 0, 0
        while True:
            if at >= len(data) or shift > 63:
                raise TensorError("the packed strings are truncated")
            byte = data[at]
            at += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                break
        lengths.append(length)
    if at + sum(lengths) != len(data):
        raise TensorError("the packed strings do not fill their bytes")
    values = []
    for length in lengths:
        values.append(data[at : at + length])
        at += length
    return values


def _bytes_array(array: Array) -> Array:
    flat = [value.encode() if isinstance(value, str) else bytes(value) for value in array.ravel().tolist()]
    return _objects(flat).reshape(array.shape)


def _varint(number: int) -> bytes:
    data = bytearray()
    while number > 0x7F:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)
