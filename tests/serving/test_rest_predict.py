"""Rows and columns in and out. The messages are those of TF Serving's json_tensor.cc."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorflow.core.framework import types_pb2

from serving.errors import Rejection
from serving.messages import PredictRequest, SignatureDef
from serving.rest_predict import decimals, fill_inputs, write_outputs
from serving.tensors import make_proto, to_array


def signature_of(**dtypes: int) -> SignatureDef:
    signature = SignatureDef()
    for name, dtype in dtypes.items():
        signature.inputs[name].dtype = dtype
    return signature


ONE = signature_of(x=types_pb2.DT_FLOAT)
TWO = signature_of(x=types_pb2.DT_FLOAT, text=types_pb2.DT_STRING)
B64 = {"b64": "YQ=="}


def read(document: dict[str, object], signature: SignatureDef) -> tuple[bool, dict[str, list[object]]]:
    request = PredictRequest()
    row = fill_inputs(document, signature, request)
    return row, {name: to_array(proto).tolist() for name, proto in request.inputs.items()}


@pytest.mark.parametrize(
    ("document", "signature", "row", "inputs"),
    [
        ({"instances": [1, 2]}, ONE, True, {"x": [1.0, 2.0]}),
        ({"instances": [[1], [2]]}, ONE, True, {"x": [[1.0], [2.0]]}),
        ({"instances": [{"x": 1}, {"x": 2}]}, ONE, True, {"x": [1.0, 2.0]}),
        ({"instances": [{"x": [1, 2], "text": "a"}]}, TWO, True, {"x": [[1.0, 2.0]], "text": [b"a"]}),
        ({"instances": [B64, "b"]}, signature_of(t=types_pb2.DT_STRING), True, {"t": [b"a", b"b"]}),
        ({"inputs": [1, 2]}, ONE, False, {"x": [1.0, 2.0]}),
        ({"inputs": 1}, ONE, False, {"x": 1.0}),
        ({"inputs": B64}, signature_of(t=types_pb2.DT_STRING), False, {"t": b"a"}),
        ({"inputs": {"x": [1], "text": [["a", B64]], "more": 1}}, TWO, False, {"x": [1.0], "text": [[b"a", b"a"]]}),
    ],
)
def test_inputs_in_rows_and_columns(
    document: dict[str, object], signature: SignatureDef, row: bool, inputs: dict[str, object]
) -> None:
    assert read(document, signature) == (row, inputs)


ROW = "Failed to process element: {} of 'instances' list. Error: INVALID_ARGUMENT: "


@pytest.mark.parametrize(
    ("document", "signature", "message"),
    [
        ({}, ONE, "Missing 'inputs' or 'instances' key"),
        ({"instances": [1], "inputs": [1]}, ONE, "Not formatted correctly expecting only one of 'inputs' or"),
        ({"instances": 1}, ONE, "JSON Value: {\"instances\": 1} Expecting 'instances' to be an list/array"),
        ({"instances": []}, ONE, "No values in 'instances' array"),
        ({"instances": [1]}, TWO, "instances is a plain list, but expecting list of objects as multiple"),
        ({"inputs": [1]}, TWO, "inputs is a plain value/list, but expecting an object as multiple"),
        ({"inputs": {"x": 1}}, TWO, "Missing named input: text in 'inputs' object."),
        ({"instances": [{"x": 1}, 2]}, ONE, "Expecting object but got list at item 1 of input list"),
        ({"instances": [1, {"x": 1}]}, ONE, "Expecting value/list but got object at item 1 of input list"),
        ({"instances": [{"x": 1}]}, TWO, 'JSON object: {"x": 1} keys must be equal to: text,x'),
        ({"instances": [{"x": 1, "z": 1}]}, ONE, "JSON object: does not have named input: z"),
        ({"instances": [1, "y"]}, ONE, ROW.format(1) + 'JSON Value: "y" Type: String is not of expected type: float'),
        ({"instances": [{"x": 1}, {"x": [1]}]}, ONE, "Failed to process element: 1 key: x of 'instances' list. "),
        ({"instances": [[1], [2, 3]]}, ONE, ROW.format(1) + "Expecting tensor size: 1 but got: 2"),
        ({"instances": [[[1, 2]], [[1], [2]]]}, ONE, ROW.format(1) + "Expecting shape [1,2] but got: [2,1]"),
        # What is found first: row by row, and in each row in its own order, not in that of the signature.
        (
            {"instances": [{"text": "a", "x": "y"}, {"x": 1, "z": 1}]},
            TWO,
            "element: 0 key: x of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"y\" Type: String",
        ),
        ({"instances": [{"x": "y", "text": "a"}, 2]}, TWO, "element: 0 key: x of 'instances' list."),
        ({"instances": [{"x": 1, "text": 5}, {"x": "y", "text": "a"}]}, TWO, "element: 0 key: text of 'instances'"),
        ({"instances": [{"text": 5, "x": "y"}]}, TWO, "element: 0 key: text of 'instances'"),
        ({"instances": [{"x": "y", "text": 5}]}, TWO, "element: 0 key: x of 'instances'"),
        ({"instances": [{"x": "y", "z": 1}]}, TWO, "element: 0 key: x of 'instances'"),
        ({"instances": ["y", {"x": 1}]}, ONE, ROW.format(0) + 'JSON Value: "y" Type: String'),
        ({"instances": [[[1] for _ in range(2)], [[1], 2]]}, ONE, ROW.format(1) + "JSON Value: 2 found at incorrect"),
        ({"instances": [1]}, SignatureDef(), "Failed to get input map for signature: DEFAULT"),
    ],
)
def test_inputs_that_are_none(document: dict[str, object], signature: SignatureDef, message: str) -> None:
    with pytest.raises(Rejection) as error:
        fill_inputs(document, signature, PredictRequest())
    assert message in error.value.message
    assert error.value.code.name == "INVALID_ARGUMENT"


def test_a_row_of_as_many_dimensions_as_a_tensor_may_have_is_one_too_many() -> None:
    row: object = 1
    for _ in range(64):
        row = [row]
    with pytest.raises(Rejection, match=r"^a tensor of more than 64 dimensions is not read"):
        read({"instances": [row]}, ONE)


def written(row: bool, **outputs: object) -> bytes:
    return write_outputs({name: make_proto(np.asarray(value)) for name, value in outputs.items()}, row)


def test_outputs_in_rows_and_columns() -> None:
    y = np.array([[1, 2], [3, 4]], np.float32)
    assert written(True, y=y) == b'{"predictions": [[1.0, 2.0], [3.0, 4.0]]}'
    assert written(False, y=y) == b'{"outputs": [[1.0, 2.0], [3.0, 4.0]]}'
    assert written(False, y=np.float32(0.5)) == b'{"outputs": 0.5}'
    two = {"y": y[:, 0], "id": ["红", "b"]}
    assert json.loads(written(True, **two)) == {"predictions": [{"y": 1.0, "id": "红"}, {"y": 3.0, "id": "b"}]}
    assert json.loads(written(False, **two)) == {"outputs": {"y": [1.0, 3.0], "id": ["红", "b"]}}
    assert written(True, y=np.zeros((0, 2), np.float32)) == b'{"predictions": []}'
    assert written(False, y=np.zeros((2, 0, 3), np.float32)) == b'{"outputs": [[], []]}'


def test_bytes_go_in_base64_and_text_as_text() -> None:
    values = np.array([b"\xff", b'"'], object)
    assert json.loads(written(False, image_bytes=values)) == {"outputs": [{"b64": "/w=="}, {"b64": "Ig=="}]}
    assert json.loads(written(False, image=values)) == {"outputs": ["\N{REPLACEMENT CHARACTER}", '"']}


def test_every_type_that_json_carries_and_one_that_it_does_not() -> None:
    for dtype in (np.int8, np.uint8, np.int16, np.int32, np.int64, np.uint32, np.uint64):
        largest = np.iinfo(dtype).max
        assert json.loads(written(False, n=np.array([0, largest], dtype))) == {"outputs": [0, int(largest)]}
    assert written(False, b=np.array([True, False])) == b'{"outputs": [true, false]}'
    with pytest.raises(Rejection, match="Failed to write JSON value for tensor type: half"):
        written(False, h=np.zeros(1, np.float16))


def test_outputs_that_are_no_rows() -> None:
    with pytest.raises(Rejection, match="Tensor name: y has no shape information "):
        written(True, y=np.float32(1))
    with pytest.raises(Rejection, match="Tensor name: z has inconsistent batch size: 2 expecting: 1"):
        written(True, y=np.zeros(1), z=np.zeros(2))
    with pytest.raises(Rejection, match="Cannot convert empty tensor map to JSON"):
        write_outputs({}, row=True)


def test_decimals_are_written_as_tf_serving_writes_them() -> None:
    values = [0.2, 1, -0.0, 9000000, 0.00003, 0.1234567, np.nan, np.inf, -np.inf]
    assert decimals(np.array(values, np.float32)) == [
        "0.2", "1.0", "-0.0", "9e+06", "3e-05", "0.123456702", "NaN", "Infinity", "-Infinity",
    ]  # fmt: skip
    assert decimals(np.array([0.1 + 0.2])) == ["0.30000000000000004"]


@given(st.lists(st.floats(width=32)))
def test_a_decimal_reads_back_as_the_value_it_was(values: list[float]) -> None:
    for value, text in zip(values, decimals(np.array(values, np.float32)), strict=True):
        back = np.float32(json.loads(text))
        assert back == np.float32(value) or (math.isnan(value) and math.isnan(back))
