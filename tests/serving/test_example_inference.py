"""Classify and Regress on what a model returns: what of it is an answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
import numpy as np
import pytest

from serving.errors import Rejection
from serving.example_inference import classify, multi_inference, regress
from serving.messages import (
    ClassificationRequest,
    MultiInferenceRequest,
    PredictRequest,
    RegressionRequest,
    SignatureDef,
)
from serving.predict import predict
from serving.tensors import Array

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


class Returns:
    """A servable whose only signature returns these tensors, whatever is asked."""

    def __init__(self, method: str, **outputs: Array) -> None:
        signature = SignatureDef(method_name=method)
        signature.inputs["inputs"].name = "examples"
        for name in outputs:
            signature.outputs[name].name = name
        self.checks_method_names = False
        self.signatures = {"serving_default": signature}
        self._outputs = outputs

    def run_tensors(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None) -> list[Array]:
        return [self._outputs[name] for name in fetches]


def request_of(kind: Any) -> Any:
    """A request with one empty example."""
    request = kind()
    request.input.example_list.examples.add()
    return request


def test_an_output_of_another_type_is_refused_by_tensorflow_s_name_for_it() -> None:
    servable: Any = Returns(CLASSIFY, scores=np.zeros((1, 2)))
    with pytest.raises(Rejection, match=r"Expected scores Tensor of DT_FLOAT\. Got: DT_DOUBLE"):
        classify(servable, request_of(ClassificationRequest), None, 1)
    servable = Returns(CLASSIFY, classes=np.zeros((1, 2), np.int64))
    with pytest.raises(Rejection, match=r"Expected classes Tensor of DT_STRING\. Got: DT_INT64"):
        classify(servable, request_of(ClassificationRequest), None, 1)
    servable = Returns(REGRESS, outputs=np.array([b"x"], object))
    with pytest.raises(Rejection, match=r"Expected output Tensor of DT_FLOAT\.  Got: DT_STRING"):
        regress(servable, request_of(RegressionRequest), None, 1)


def test_method_names_are_checked_where_that_is_wanted() -> None:
    servable: Any = Returns(CLASSIFY, outputs=np.zeros(1, np.float32))
    assert len(regress(servable, request_of(RegressionRequest), None, 1).result.regressions) == 1
    servable.checks_method_names = True
    wrong = f"Expected regression signature method_name to be {REGRESS}. Was: {CLASSIFY}"
    several = request_of(MultiInferenceRequest)
    several.tasks.add(method_name=REGRESS).model_spec.name = "m"
    for ask, request in ((regress, request_of(RegressionRequest)), (multi_inference, several)):
        with pytest.raises(Rejection) as error:
            ask(servable, request, None, 1)
        assert (error.value.code, error.value.message) == (grpc.StatusCode.INVALID_ARGUMENT, wrong)
    servable.signatures["serving_default"].method_name = ""
    with pytest.raises(Rejection) as error:
        classify(servable, request_of(ClassificationRequest), None, 1)
    assert error.value.message == f"Expected classification signature method_name to be {CLASSIFY}. Was: "
    with pytest.raises(Rejection) as error:
        predict(servable, PredictRequest(), None, 1)
    assert error.value.code is grpc.StatusCode.INTERNAL
    assert error.value.message == (
        "Expected prediction signature method_name to be one of {tensorflow/serving/predict, "
        "tensorflow/serving/classify, tensorflow/serving/regress}. Was: "
    )
