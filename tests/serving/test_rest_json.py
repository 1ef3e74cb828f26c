"""JSON values into arrays. The messages are those of TF Serving's json_tensor.cc."""

import json

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import types_pb2

from serving.errors import Rejection
from serving.rest_json import (
    MAX_VALUES,
    Repetitive,
    decode_base64,
    is_base64,
    parse_json,
    read_signature_name,
    to_tensor,
    type_name,
)

FLOAT, INT32, INT64, STRING = types_pb2.DT_FLOAT, types_pb2.DT_INT32, types_pb2.DT_INT64, types_pb2.DT_STRING


def test_an_object_is_read_with_what_json_forbids_and_tf_serving_allows() -> None:
    document = parse_json(b'\xef\xbb\xbf \n{"a": [NaN, Infinity, -Infinity]} trailing')
    assert np.isnan(document["a"][0])
    assert document["a"][1:] == [np.inf, -np.inf]


def test_the_short_word_for_infinity_is_read_but_not_inside_of_text() -> None:
    document = parse_json(b'{"Inf": [Inf, -Inf, Infinity, "a \\" Inf", "Inf\\\\", "-NaN"]}')
    assert document == {"Inf": [np.inf, -np.inf, np.inf, 'a " Inf', "Inf\\", "-NaN"]}
    assert np.isnan(parse_json(b'{"a": [-NaN]}')["a"]).all()
    for body in (b'{"a": Info}', b'{"a": Inf', b'{"a": -inf}'):
        with pytest.raises(Rejection, match="JSON Parse error"):
            parse_json(body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b" \n", "JSON Parse error: The document is empty. at offset: 2"),
        (b"instances = [1]", "JSON Parse error: Invalid value. at offset: 0"),
        (b'{"a": [1, 2}', "JSON Parse error: Missing a comma or ']' after an array element. at offset: 11"),
        (b'{"a": tru}', "JSON Parse error: Invalid value. at offset: 9"),
        (b'{"instances":[1e400]}', "JSON Parse error: Number too big to be stored in double. at offset: 14"),
        (b'{"a": [0, -1.5E+400]}', "JSON Parse error: Number too big to be stored in double. at offset: 10"),
        (b'{"a": 1' + b"0" * 400 + b"}", "JSON Parse error: Number too big to be stored in double. at offset: 6"),
        (b'{"a": "\\ud83d"}', "JSON Parse error: The surrogate pair in string is invalid. at offset: 7"),
        (b"1.", "JSON Parse error: Miss fraction part in number. at offset: 2"),
        (b'{"a": "\xff"}', "JSON Parse error: not UTF-8 at offset: 7"),
        (b"[" * 40_000, "JSON Parse error: Invalid value. at offset: 40000"),
        (b"[" * 40_000 + b"]" * 40_000, "JSON Parse error: nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "JSON Parse error: Number too big to be stored in double. at offset: 6"),
        (b"[1, NaN]", "JSON Value: [1, NaN] Is not object"),
    ],
)
def test_bad_json_says_what_is_wrong(body: bytes, message: str) -> None:
    with pytest.raises(Rejection) as error:
        parse_json(body)
    assert error.value.message.startswith(message)


@pytest.mark.parametrize(
    ("item", "fit"),
    [(b"[]", MAX_VALUES // 2), (b"7", MAX_VALUES), (b'{"a":1}', MAX_VALUES // 6)],
    ids=["lists", "numbers", "names"],
)
def test_values_are_bounded_before_anything_is_parsed(item: bytes, fit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs a comma, which one of them has not; a list its bracket, too, and an object of one name five more."""
    monkeypatch.setattr("serving.rest_json._DECODER", None)  # using it would be an AttributeError
    body = b'{"a":[' + b",".join([item] * (fit + 1)) + b"]}"
    with pytest.raises(Rejection, match="more than 2,097,152 values") as error:
        parse_json(body)
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    body = b'{"a":[' + b",".join([item] * (fit - 6)) + b"]}"
    with pytest.raises(AttributeError):
        parse_json(body)


@pytest.mark.parametrize("text", ["1e300", "1e-400", "9" * 308, '"1e400"', '[", 1e400"]', '"\\ud83d\\ude00"', "12e308"])
def test_what_looks_too_big_and_is_not(text: str) -> None:
    """The last is infinity, there as here: only exponents are compared with 308."""
    assert parse_json(f'{{"a": {text}}}'.encode()) == {"a": json.loads(text)}


def test_of_a_name_given_twice_the_first_value_counts() -> None:
    document = parse_json(b'{"a": {"x": 1, "y": 2, "x": 3}, "a": 4}')
    assert document == {"a": {"x": 1, "y": 2}}
    assert type_name(document["a"]) == "Object"
    assert isinstance(document["a"], Repetitive)
    assert document["a"].last == {"x": 3, "y": 2}
    twice = parse_json(b'{"a": {"b64": "QQ==", "b64": "QQ=="}}')["a"]
    assert not is_base64(twice)


def test_long_text_is_no_many_values() -> None:
    text = "A" * (4 << 20)
    assert parse_json(b'{"a": {"b64": "' + text.encode() + b'"}}') == {"a": {"b64": text}}


def test_the_signature_s_name() -> None:
    assert read_signature_name({}) == ""
    assert read_signature_name({"signature_name": "s"}) == "s"
    with pytest.raises(Rejection, match="'signature_name' key must be a string value"):
        read_signature_name({"signature_name": 100})
    with pytest.raises(Rejection, match="The surrogate pair in string is invalid"):
        read_signature_name({"signature_name": "\udc00"})


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (1.5, FLOAT, np.array(1.5, np.float32)),
        ([1, 2.5, float("nan")], FLOAT, np.array([1, 2.5, np.nan], np.float32)),
        ([[1e300]], FLOAT, np.array([[np.inf]], np.float32)),
        ([1e300], types_pb2.DT_DOUBLE, np.array([1e300])),
        ([[1, 2, 3], [4, 5, 6]], INT32, np.array([[1, 2, 3], [4, 5, 6]], np.int32)),
        ([300, -1], types_pb2.DT_UINT8, np.array([44, 255], np.uint8)),
        ([2**63 - 1], INT64, np.array([2**63 - 1])),
        ([2**64 - 1], types_pb2.DT_UINT64, np.array([2**64 - 1], np.uint64)),
        ([True, False], types_pb2.DT_BOOL, np.array([True, False])),
        ([], FLOAT, np.zeros(0, np.float32)),
        ([[], []], STRING, np.zeros((2, 0), object)),
        (["红", {"b64": "/w=="}], STRING, np.array(["红".encode(), b"\xff"], object)),
        ({"b64": "YQ"}, STRING, np.array(b"a", object)),
    ],
)
def test_values_become_arrays(value: object, dtype: int, expected: np.ndarray) -> None:
    array = to_tensor(value, dtype)
    assert (array.dtype, array.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("value", "dtype", "message"),
    [
        (["x"], FLOAT, 'JSON Value: "x" Type: String is not of expected type: float'),
        ([None], FLOAT, "JSON Value: null Type: Null is not of expected type: float"),
        ([1, True], FLOAT, "JSON Value: true Type: True is not of expected type: float"),
        ([1.0], INT32, "JSON Value: 1.0 Type: Number is not of expected type: int32"),
        ([1, 2**31], INT32, "JSON Value: 2147483648 Type: Number is not of expected type: int32"),
        ([-1], types_pb2.DT_UINT64, "JSON Value: -1 Type: Number is not of expected type: uint64"),
        ([1], STRING, "JSON Value: 1 Type: Number is not of expected type: string"),
        ([1], types_pb2.DT_BOOL, "JSON Value: 1 Type: Number is not of expected type: bool"),
        ([[1, 2], [3]], FLOAT, "Encountered list at unexpected size: 1 at level: 1 expected size: 2"),
        ([[1], 2], FLOAT, "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2"),
        ([1, [2]], FLOAT, "Encountered list at unexpected level: 1 expected < 1"),
        ([{"b64": 1}], STRING, 'JSON Value: {"b64": 1} not formatted correctly for base64 data'),
        ([{"b64": "*"}], STRING, "Unable to base64 decode"),
        (["\udc00"], STRING, "JSON Parse error: The surrogate pair in string is invalid."),
        (["x" * 1000], FLOAT, 'JSON Value: "' + "x" * 255 + " Type: String"),
        ([1.0, 10**400], FLOAT, "JSON Parse error: Number too big to be stored in double."),
    ],
)
def test_what_is_no_tensor_is_named(value: object, dtype: int, message: str) -> None:
    with pytest.raises(Rejection) as error:
        to_tensor(value, dtype)
    assert error.value.message.startswith(message)
    assert error.value.code.name == "INVALID_ARGUMENT"


def test_a_tensor_nested_beyond_what_is_held() -> None:
    value: object = 1.0
    for _ in range(65):
        value = [value]
    with pytest.raises(Rejection, match="more than 64 dimensions"):
        to_tensor(value, FLOAT)


def test_a_dtype_that_json_does_not_carry() -> None:
    with pytest.raises(Rejection, match="Conversion of JSON Value: 1 to type: half") as error:
        to_tensor([1], types_pb2.DT_HALF)
    assert error.value.code.name == "UNIMPLEMENTED"


@pytest.mark.parametrize("text", ["aGVs\nbG8", "aGVsbG8=", "aGVsbG8 = ", "aGVsbG8."])
def test_base64_with_or_without_padding_and_with_line_ends(text: str) -> None:
    assert decode_base64({"b64": text}) == b"hello"


@pytest.mark.parametrize(
    "text", ["QQ=====", "QQ=", "QUI==", "QUJD=", "====", "Q", "Q===", "QQ==QQ==", " Q\u00a0Q", "红"]
)
def test_base64_that_is_none(text: str) -> None:
    """Two characters take two marks of padding or none, three take one or none, four take none."""
    with pytest.raises(Rejection, match="Unable to base64 decode"):
        decode_base64({"b64": text})
