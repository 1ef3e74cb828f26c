"""JSON values into tensors as TF Serving's REST API reads them (json_tensor.cc), with its words for what is wrong."""

import base64
import binascii
import json
import re
from itertools import chain
from typing import Any

import grpc
import numpy as np

from serving.errors import Rejection, invalid_argument
from serving.protos import DataType
from serving.rest_json_faults import find_fault
from serving.tensors import Array, data_type_name

MAX_DEPTH = 64
"""Deepest nesting of a tensor; numpy's limit."""

MAX_VALUES = 2 << 20
"""Most values of a request, counted before parsing: commas, lists and objects, and each name of a value as four more.

The parser lets no other thread run, gRPC's among them. It takes about 0.25 microseconds a number or list and a
microsecond a name, two where objects hold a name twice, so it is done within about a second; 60 MB of text take as
long. A picture of 224 x 224 x 3 pixels has 200,000 commas and brackets: ten of them fit.
"""

_MARKS = {b",": 1, b"[": 1, b"{": 1, b":": 4}
_DEBUG_CHARACTERS = 256
ENCODER = json.JSONEncoder(ensure_ascii=False)
_WORDS = {"Inf": "Infinity", "-NaN": "NaN"}
"""Numbers that rapidjson reads, as Python's parser knows them."""

_STRING_OR_WORD = re.compile(r'("[^"\\]*+(?:\\.[^"\\]*+)*+")|Inf(?!inity)|-NaN', re.DOTALL)
_ALIKE = bytes.maketrans(b"123456789E", b"000000000e")
_LARGE_EXPONENT, _LARGE_WHOLE = re.compile(rb"e\+?000"), b"0" * 309
"""What a number too big for a double has, once its digits are made alike: quick to look for."""

_LARGE_NUMBER = re.compile(rb"[\[,:\s]-?(?:[0-9]++(?:\.[0-9]++)?[eE]\+?[0-9]{3}|[0-9]{309})")
_HALF_PAIR = re.compile(rb"\\u[Dd][89ABab](?!..\\u[Dd][C-Fc-f])")

_SPACE = re.compile(r"[ \t\r\n]*")

INTEGERS: dict[int, tuple[type, type]] = {
    # DataType -> (what the JSON number must fit, what the tensor holds)
    DataType.DT_INT8: (np.int32, np.int8),
    DataType.DT_UINT8: (np.int32, np.uint8),
    DataType.DT_INT16: (np.int32, np.int16),
    DataType.DT_INT32: (np.int32, np.int32),
    DataType.DT_INT64: (np.int64, np.int64),
    DataType.DT_UINT32: (np.uint32, np.uint32),
    DataType.DT_UINT64: (np.uint64, np.uint64),
}
_FLOATS: dict[int, type] = {DataType.DT_FLOAT: np.float32, DataType.DT_DOUBLE: np.float64}
_TYPE_NAMES = {type(None): "Null", str: "String", list: "Array", int: "Number", float: "Number"}


class Repetitive(dict[str, Any]):
    """An object that has a name twice: of each the first value, which rapidjson's FindMember finds."""

    def __init__(self, members: list[tuple[str, Any]]) -> None:
        super().__init__(reversed(members))
        self._members = members

    @property
    def last(self) -> dict[str, Any]:
        """Of each the last value, which a feature of a tf.Example keeps."""
        return dict(self._members)


def _object(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    return found if len(found) == len(members) else Repetitive(members)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def parse_json(body: bytes) -> dict[str, Any]:
    """The JSON object of a request; NaN, Inf and Infinity are numbers, what follows the object is ignored.

    Raises:
        Rejection: INVALID_ARGUMENT, with what is wrong and where, and for more than MAX_VALUES values.
    """
    if len(body) > MAX_VALUES and sum(weight * body.count(mark) for mark, weight in _MARKS.items()) > MAX_VALUES:
        raise invalid_argument(
            f"JSON Parse error: more than {MAX_VALUES:,} values, counted by commas, brackets and, fourfold, names; "
            "ask for less at once, or over gRPC"
        )
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    try:
        document = _decoded(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise invalid_argument(f"JSON Parse error: not UTF-8 at offset: {error.start}") from None
    except RecursionError:
        raise invalid_argument(f"JSON Parse error: {find_fault(body) or 'nested too deeply'}") from None
    except ValueError:
        raise invalid_argument(f"JSON Parse error: {find_fault(body) or 'Unspecific syntax error.'}") from None
    if (not isinstance(document, dict) or _may_be_refused(body)) and (fault := find_fault(body)):
        raise invalid_argument(f"JSON Parse error: {fault}")
    if not isinstance(document, dict):
        raise format_error(document, "Is not object")
    return document


def _may_be_refused(body: bytes) -> bool:
    """Whether rapidjson may refuse what Python's parser has read: numbers too big, and halves of surrogate pairs."""
    alike = body.translate(_ALIKE)
    large = _LARGE_WHOLE in alike or _LARGE_EXPONENT.search(alike)
    return bool((large and _LARGE_NUMBER.search(body)) or _HALF_PAIR.search(body))


def _decoded(text: str) -> Any:
    start = _SPACE.match(text).end()  # type: ignore[union-attr]  # it matches nothing, too
    try:
        return _DECODER.raw_decode(text, start)[0]
    except json.JSONDecodeError as error:
        if not error.doc.startswith(("Inf", "-Inf", "-NaN"), error.pos):
            raise
    return _DECODER.raw_decode(_STRING_OR_WORD.sub(lambda match: match[1] or _WORDS[match[0]], text), start)[0]


def read_signature_name(document: dict[str, Any]) -> str:
    """The signature that a request names; empty for the default one."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise format_error(document, "not formatted correctly. 'signature_name' key must be a string value.")
    encode_text(name)  # no message holds half of a surrogate pair
    return name


def decode_base64(value: dict[str, Any]) -> bytes:
    """The bytes of {"b64": "..."}; padding is right or missing, with dots for = too, as for absl::Base64Unescape."""
    if not is_base64(value):
        raise format_error(value, "not formatted correctly for base64 data")
    padded = b"".join(encode_text(value["b64"]).split())
    text = padded.rstrip(b"=.")
    missing = -len(text) % 4
    try:
        if len(padded) - len(text) in (0, missing):
            return base64.b64decode(text + b"=" * missing, validate=True)
    except binascii.Error:
        pass
    raise invalid_argument("Unable to base64 decode")


def is_base64(value: Any) -> bool:
    """Whether a JSON value stands for bytes."""
    return type(value) is dict and len(value) == 1 and isinstance(value.get("b64"), str)


def encode_text(value: str) -> bytes:
    """UTF-8; INVALID_ARGUMENT for half of a surrogate pair."""
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise invalid_argument("JSON Parse error: The surrogate pair in string is invalid.") from None


def format_error(value: Any, message: str) -> Rejection:
    """INVALID_ARGUMENT that shows the JSON value that is wrong."""
    return invalid_argument(f"JSON Value: {shown(value)} {message}")


def shown(value: Any) -> str:
    """The start of a value, for a message."""
    text = ""
    for part in ENCODER.iterencode(value):
        text += part
        if len(text) >= _DEBUG_CHARACTERS:
            break
    return text[:_DEBUG_CHARACTERS]


def type_name(value: Any) -> str:
    """The name of a JSON type, as in messages."""
    if isinstance(value, bool):
        return str(value)
    return "Object" if isinstance(value, dict) else _TYPE_NAMES[type(value)]


def to_tensor(value: Any, dtype: int) -> Array:
    """A nested list, or a single value, as an array.

    Args:
        value: JSON.
        dtype: the number of TensorFlow's DataType.

    Raises:
        Rejection: for lists of different lengths, values of another type, and dtypes that JSON does not carry.
    """
    shape = _shape(value)
    items = [value]
    for level, size in enumerate(shape):
        for item in items:
            if type(item) is not list:
                raise format_error(
                    item, f"found at incorrect level: {level + 1} in the JSON DOM. Expected at level: {len(shape)}"
                )
            if len(item) != size:
                raise invalid_argument(
                    f"Encountered list at unexpected size: {len(item)} at level: {level} expected size: {size}"
                )
        items = list(chain.from_iterable(items))
    if list in set(map(type, items)):
        raise invalid_argument(f"Encountered list at unexpected level: {len(shape)} expected < {len(shape)}")
    return _elements(items, dtype).reshape(shape)


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while type(value) is list:
        shape.append(len(value))
        if len(shape) > MAX_DEPTH:
            raise invalid_argument(f"a tensor of more than {MAX_DEPTH} dimensions is not read")
        value = value[0] if value else None
    return tuple(shape)


def _elements(items: list[Any], dtype: int) -> Array:
    """[n], of the dtype."""
    if dtype == DataType.DT_STRING:
        array = np.empty(len(items), object)
        array[:] = [_string(item) for item in items]
        return array
    if dtype in _FLOATS:
        _check_types(items, (float, int), dtype)
        with np.errstate(over="ignore"):
            try:
                return np.array(items, np.float64).astype(_FLOATS[dtype])
            except OverflowError:
                raise _too_big() from None
    if dtype in INTEGERS:
        _check_types(items, (int,), dtype)
        read_as, kept_as = INTEGERS[dtype]
        limits = np.iinfo(read_as)
        if items and not limits.min <= min(items) <= max(items) <= limits.max:
            raise _type_error(next(item for item in items if not limits.min <= item <= limits.max), dtype)
        return np.array(items, read_as).astype(kept_as)
    if dtype == DataType.DT_BOOL:
        _check_types(items, (bool,), dtype)
        return np.array(items, np.bool_)
    value = shown(items[0]) if items else "[]"
    raise Rejection(grpc.StatusCode.UNIMPLEMENTED, f"Conversion of JSON Value: {value} to type: {dtype_name(dtype)}")


def to_double(number: int) -> float:
    """A whole number as a double."""
    try:
        return float(number)
    except OverflowError:
        raise _too_big() from None


def _too_big() -> Rejection:
    return invalid_argument("JSON Parse error: Number too big to be stored in double.")


def _string(item: Any) -> bytes:
    if isinstance(item, str):
        return encode_text(item)
    if isinstance(item, dict):
        return decode_base64(item)
    raise _type_error(item, DataType.DT_STRING)


def _check_types(items: list[Any], allowed: tuple[type, ...], dtype: int) -> None:
    if not set(map(type, items)) <= set(allowed):  # bool is an int to isinstance and none here
        raise _type_error(next(item for item in items if type(item) not in allowed), dtype)


def _type_error(value: Any, dtype: int) -> Rejection:
    return format_error(value, f"Type: {type_name(value)} is not of expected type: {dtype_name(dtype)}")


def dtype_name(dtype: int) -> str:
    """The short name of a DataType, as in messages: float, half and so on."""
    return data_type_name(dtype).removeprefix("DT_").lower()
