"""The bodies of a REST Predict request and its answer, in row and column form (json_tensor.cc)."""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.errors import Rejection, invalid_argument
from serving.messages import PredictRequest, SignatureDef, TensorProto
from serving.rest_json import ENCODER, INTEGERS, dtype_name, format_error, is_base64, shown, to_tensor
from serving.tensors import Array, data_type_of, make_proto, to_array

_BYTES_SUFFIX = "_bytes"
"""Text outputs of such names are bytes and go in base64."""


def fill_inputs(document: dict[str, Any], signature: SignatureDef, request: PredictRequest) -> bool:
    """Put the tensors of `instances` or `inputs` into `request`.

    Returns:
        Whether they came in rows (`instances`): the answer goes back in the same form.

    Raises:
        Rejection: INVALID_ARGUMENT, or UNIMPLEMENTED for a dtype that JSON does not carry.
    """
    dtypes = {name: int(info.dtype) for name, info in signature.inputs.items()}
    if not dtypes:
        name = request.model_spec.signature_name or "DEFAULT"
        raise invalid_argument(f"Failed to get input map for signature: {name}")
    if "instances" not in document and "inputs" not in document:
        raise invalid_argument("Missing 'inputs' or 'instances' key")
    if "instances" in document and "inputs" in document:
        raise format_error(
            document, "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist "
        )
    row = "instances" in document
    tensors = _rows(document, dtypes) if row else _columns(document["inputs"], dtypes)
    for name, tensor in tensors.items():
        request.inputs[name].CopyFrom(make_proto(tensor))
    return row


def write_outputs(outputs: Mapping[str, TensorProto], row: bool) -> bytes:
    """The answer to a Predict request as JSON.

    Raises:
        Rejection: INVALID_ARGUMENT for outputs that have no such form.
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    arrays = {name: to_array(proto) for name, proto in outputs.items()}
    if not row:
        columns = {name: _nested(_texts(name, array), array.shape, 0)[0] for name, array in arrays.items()}
        return f'{{"outputs": {_named(columns)}}}'.encode()
    batch = -1
    for name, array in arrays.items():
        if array.ndim == 0:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch not in (-1, len(array)):
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    rows = {name: _nested(_texts(name, array), array.shape, 1) for name, array in arrays.items()}
    items = (_named(dict(zip(rows, values, strict=True))) for values in zip(*rows.values(), strict=True))
    return f'{{"predictions": [{", ".join(items)}]}}'.encode()


def decimals(array: Array) -> list[str]:
    """Floats as TF Serving writes them: six digits where they are enough, else as many as bring the value back."""
    values = array.ravel().tolist()
    texts = [f"{value:.6g}" for value in values]
    with np.errstate(over="ignore"):
        exact = (np.array([float(text) for text in texts]).astype(array.dtype) == array.ravel()).tolist()
    digits = 9 if array.dtype == np.float32 else 17
    return [_decimal(text if same else f"{value:.{digits}g}") for value, text, same in
            zip(values, texts, exact, strict=True)]  # fmt: skip


def _columns(value: Any, dtypes: dict[str, int]) -> dict[str, Array]:
    if isinstance(value, dict) and not is_base64(value):
        for name in dtypes:
            if name not in value:
                raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        return {name: to_tensor(value[name], dtype) for name, dtype in dtypes.items()}
    if len(dtypes) > 1:
        raise invalid_argument(
            "inputs is a plain value/list, but expecting an object as multiple "
            "input tensors required as per tensorinfo_map"
        )
    return {name: to_tensor(value, dtype) for name, dtype in dtypes.items()}


def _rows(document: dict[str, Any], dtypes: dict[str, int]) -> dict[str, Array]:
    instances = document["instances"]
    if not isinstance(instances, list):
        raise format_error(document, "Expecting 'instances' to be an list/array")
    if not instances:
        raise format_error(document, "No values in 'instances' array")
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple "
            "input tensors required as per tensorinfo_map"
        )
    named = _is_named(instances[0])
    if not all(_is_named(item) == named and (not named or item.keys() == dtypes.keys()) for item in instances):
        _check_in_order(instances, dtypes, named)
    columns = {name: [item[name] for item in instances] for name in dtypes} if named else {min(dtypes): instances}
    try:
        return {name: to_tensor(column, dtypes[name]) for name, column in columns.items()}
    except Rejection:
        _check_in_order(instances, dtypes, named)
        raise


def _is_named(item: Any) -> bool:
    return isinstance(item, dict) and not is_base64(item)


def _check_in_order(instances: list[Any], dtypes: dict[str, int], named: bool) -> None:
    """Raise for what TF Serving finds first: it goes row by row, and in each by the row's own order of names."""
    firsts: dict[str, Array] = {}
    for number, item in enumerate(instances):
        if _is_named(item) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid_argument(f"Expecting {expected} but got {got} at item {number} of input list")
        for name, value in item.items() if named else [(min(dtypes), item)]:
            try:
                _check_value(name, value, dtypes, firsts)
            except Rejection as rejection:
                key = f" key: {name}" if named else ""
                raise invalid_argument(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {rejection.code.name}: {rejection.message}"
                ) from None
        if named and item.keys() != dtypes.keys():
            raise invalid_argument(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(item)} "
                f"keys must be equal to: {','.join(sorted(dtypes))}"
            )


def _check_value(name: str, value: Any, dtypes: dict[str, int], firsts: dict[str, Array]) -> None:
    """Raise for a value that is wrong, or unlike the first of its name, which `firsts` keeps."""
    if name not in dtypes:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    array = to_tensor(value, dtypes[name])
    first = firsts.setdefault(name, array)
    if array.size != first.size:
        raise invalid_argument(f"Expecting tensor size: {first.size} but got: {array.size}")
    if array.shape != first.shape:
        raise invalid_argument(f"Expecting shape {_brackets(first)} but got: {_brackets(array)}")


def _brackets(array: Array) -> str:
    return f"[{','.join(map(str, array.shape))}]"


def _texts(name: str, array: Array) -> list[str]:
    """Every element as JSON, in order."""
    if array.dtype == object:
        if name.endswith(_BYTES_SUFFIX):
            return [f'{{"b64": "{base64.b64encode(value).decode()}"}}' for value in array.ravel()]
        return [ENCODER.encode(value.decode("utf-8", "replace")) for value in array.ravel()]
    if array.dtype in (np.float32, np.float64):
        return decimals(array)
    if array.dtype == np.bool_:
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if array.dtype in {np.dtype(kept) for _, kept in INTEGERS.values()}:
        return list(map(str, array.ravel().tolist()))
    raise invalid_argument(f"Failed to write JSON value for tensor type: {dtype_name(data_type_of(array.dtype))}")


def _nested(texts: list[str], shape: tuple[int, ...], kept: int) -> list[str]:
    """Join elements into lists, from the innermost dimension out; the first `kept` dimensions stay a flat list."""
    for axis in range(len(shape) - 1, kept - 1, -1):
        size, count = shape[axis], int(np.prod(shape[:axis], dtype=np.int64))
        texts = [f"[{', '.join(texts[at * size : (at + 1) * size])}]" for at in range(count)]
    return texts


def _named(values: dict[str, str]) -> str:
    """The object of several outputs; a single one goes without its name."""
    if len(values) == 1:
        return next(iter(values.values()))
    return f"{{{', '.join(f'{ENCODER.encode(name)}: {text}' for name, text in values.items())}}}"


def _decimal(text: str) -> str:
    if "n" in text:  # nan, inf, -inf
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[text]
    return text if "." in text or "e" in text else f"{text}.0"
