"""The bodies of REST Classify and Regress requests and their answers: tf.Examples as JSON (json_tensor.cc)."""

from typing import Any

import numpy as np

from serving.errors import invalid_argument
from serving.messages import ClassificationResult, Example, Feature, Input, RegressionResult
from serving.rest_json import (
    ENCODER,
    Repetitive,
    decode_base64,
    encode_text,
    format_error,
    is_base64,
    to_double,
    type_name,
)
from serving.rest_predict import decimals

_KIND_NAMES = {"bytes_list": "bytes", "float_list": "float", "int64_list": "int64"}
_INT64, _UINT64 = np.iinfo(np.int64), np.iinfo(np.uint64)


def fill_examples(document: dict[str, Any], target: Input) -> None:
    """Put the `examples`, and the `context` they share, into a request's input.

    Raises:
        Rejection: INVALID_ARGUMENT for what is no list of objects of features.
    """
    has_context = "context" in document
    if has_context:
        _fill_example(document["context"], target.example_list_with_context.context)
    if "examples" not in document:
        raise format_error(document, "When method is classify, key 'examples' is expected and was not found")
    examples = document["examples"]
    if not isinstance(examples, list):
        raise format_error(document, "Expecting 'examples' value to be an list/array")
    if not examples:
        raise format_error(document, "'examples' value is an empty array")
    into = target.example_list_with_context.examples if has_context else target.example_list.examples
    for example in examples:
        _fill_example(example, into.add())


def write_classes(result: ClassificationResult) -> bytes:
    """The answer to a Classify request: for each example its [label, score] pairs."""
    if not result.classifications:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    rows = []
    for classifications in result.classifications:
        scores = decimals(np.array([entry.score for entry in classifications.classes], np.float32))
        labels = [ENCODER.encode(entry.label) for entry in classifications.classes]
        rows.append(f"[{', '.join(f'[{label}, {score}]' for label, score in zip(labels, scores, strict=True))}]")
    return f'{{"results": [{", ".join(rows)}]}}'.encode()


def write_values(result: RegressionResult) -> bytes:
    """The answer to a Regress request: a number for each example."""
    if not result.regressions:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    values = np.array([regression.value for regression in result.regressions], np.float32)
    return f'{{"results": [{", ".join(decimals(values))}]}}'.encode()


def _fill_example(value: Any, example: Example) -> None:
    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {type_name(value)}")
    for name, content in (value.last if isinstance(value, Repetitive) else value).items():
        encode_text(name)
        feature = example.features.feature[name]
        for item in content if isinstance(content, list) else [content]:
            _add_value(item, name, feature)


def _add_value(item: Any, name: str, feature: Feature) -> None:
    """Add one value; the first one of a feature decides on its kind."""
    kind, value = _kind_and_value(item, name)
    known = feature.WhichOneof("kind")
    if known not in (None, kind):
        raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {_KIND_NAMES[known]}")
    getattr(feature, kind).value.append(value)


def _kind_and_value(item: Any, name: str) -> tuple[str, bytes | int | float]:
    if isinstance(item, str):
        return "bytes_list", encode_text(item)
    if is_base64(item):
        return "bytes_list", decode_base64(item)
    if isinstance(item, int):  # true and false among them
        if _INT64.max < item <= _UINT64.max:
            raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
        if _INT64.min <= item <= _INT64.max:
            return "int64_list", int(item)
        return "float_list", to_double(item)  # as rapidjson reads an integer of more than 64 bits
    if isinstance(item, float):
        return "float_list", item
    raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {type_name(item)}")
