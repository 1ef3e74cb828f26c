"""tf.Examples as JSON, and the answers to them."""

import json

import numpy as np
import pytest
from tensorflow.core.example.example_pb2 import Example

from serving.errors import Rejection
from serving.messages import ClassificationResult, Input, RegressionResult
from serving.rest_examples import fill_examples, write_classes, write_values
from serving.rest_json import parse_json


def features(example: Example) -> dict[str, tuple[str, list[object]]]:
    found = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = (kind, list(getattr(feature, kind).value) if kind else [])
    return found


def test_the_first_value_decides_on_a_feature_s_kind() -> None:
    target = Input()
    example = {"a": 1, "b": [0.5, float("inf")], "c": ["x", {"b64": "/w=="}], "d": [True, 2], "e": []}
    fill_examples({"examples": [example, {"a": 2}]}, target)
    first, second = target.example_list.examples
    assert features(first) == {
        "a": ("int64_list", [1]),
        "b": ("float_list", [0.5, np.inf]),
        "c": ("bytes_list", [b"x", b"\xff"]),
        "d": ("int64_list", [1, 2]),
        "e": (None, []),
    }
    assert features(second) == {"a": ("int64_list", [2])}


def test_whole_numbers_of_more_than_64_bits_are_floats() -> None:
    target = Input()
    fill_examples({"examples": [{"a": 2**64, "b": [-(2**63) - 1, 0.5], "c": -(2**63)}]}, target)
    assert features(target.example_list.examples[0]) == {
        "a": ("float_list", [2.0**64]),
        "b": ("float_list", [-(2.0**63), 0.5]),
        "c": ("int64_list", [-(2**63)]),
    }
    with pytest.raises(Rejection, match="Number too big to be stored in double"):
        fill_examples({"examples": [{"a": 10**400}]}, Input())


def test_of_a_feature_given_twice_the_last_value_counts() -> None:
    target = Input()
    fill_examples(parse_json(b'{"examples": [{"a": 1, "b": 2, "a": "x"}], "examples": []}'), target)
    assert features(target.example_list.examples[0]) == {"a": ("bytes_list", [b"x"]), "b": ("int64_list", [2])}


def test_a_context_is_shared() -> None:
    target = Input()
    fill_examples({"context": {"c": 1}, "examples": [{"x": 1.0}]}, target)
    both = target.example_list_with_context
    assert features(both.context) == {"c": ("int64_list", [1])}
    assert [features(example) for example in both.examples] == [{"x": ("float_list", [1.0])}]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "When method is classify, key 'examples' is expected and was not found"),
        ({"examples": {}}, "Expecting 'examples' value to be an list/array"),
        ({"examples": []}, "'examples' value is an empty array"),
        ({"examples": [1]}, "Example must be JSON object but got JSON Number"),
        ({"examples": [{"x": None}]}, "Feature: x has element with unexpected JSON type: Null"),
        ({"examples": [{"x": [[1]]}]}, "Feature: x has element with unexpected JSON type: Array"),
        ({"examples": [{"x": {"y": 1}}]}, "Feature: x has element with unexpected JSON type: Object"),
        ({"examples": [{"x": [1, 2.0]}]}, "Unexpected element type in feature: x expecting type: int64"),
        ({"examples": [{"x": ["a", 1]}]}, "Unexpected element type in feature: x expecting type: bytes"),
        ({"examples": [{"x": 2**63}]}, "Feature: x has uint64_t element. Only int64_t is supported."),
    ],
)
def test_what_is_no_example(document: dict[str, object], message: str) -> None:
    with pytest.raises(Rejection) as error:
        fill_examples(document, Input())
    assert message in error.value.message


def test_answers() -> None:
    classes = ClassificationResult()
    row = classes.classifications.add()
    row.classes.add(label='a"', score=0.2)
    row.classes.add(score=2)
    assert json.loads(write_classes(classes)) == {"results": [[['a"', 0.2], ["", 2.0]]]}
    values = RegressionResult()
    for value in (0.2, float("nan"), float("-inf")):
        values.regressions.add(value=value)
    assert write_values(values) == b'{"results": [0.2, NaN, -Infinity]}'
    with pytest.raises(Rejection, match="Cannot convert empty ClassificationResults"):
        write_classes(ClassificationResult())
    with pytest.raises(Rejection, match="Cannot convert empty RegressionResults"):
        write_values(RegressionResult())
