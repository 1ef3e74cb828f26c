"""Predict and GetModelMetadata, named after what SERVING.md says they do, in its order."""

from collections.abc import Callable

import grpc
import numpy as np
import pytest

from serving.local_server import Server
from serving.messages import (
    ClassificationRequest,
    GetModelMetadataRequest,
    MultiInferenceRequest,
    PredictionServiceStub,
    PredictRequest,
    RegressionRequest,
    SignatureDefMap,
)
from serving.tensors import make_proto, to_array

INVALID_ARGUMENT, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND

BuildRequest = Callable[..., PredictRequest]


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


def x(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_predict_answers_in_typed_fields_with_the_resolved_spec(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    response = prediction.Predict(predict_request("scale", x=x(1, 2), text=["red", "été 红"]))
    assert list(response.outputs["y"].float_val) == [3.0, 6.0]  # the latest version multiplies by 3
    assert list(response.outputs["capitals"].string_val) == [b"RED", "été 红".encode().upper()]
    assert response.outputs["y"].tensor_content == b""
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("scale", "serving_default", 2)


def test_predict_reads_typed_fields_as_well_as_tensor_content(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    request = predict_request("scale", text=["a", "b", "c"])
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add().size = 3
    request.inputs["x"].float_val.extend([1.0, 5.0])  # the last value fills the rest, as in TensorFlow
    assert list(prediction.Predict(request).outputs["y"].float_val) == [3.0, 15.0, 15.0]


def test_predict_on_a_specific_version(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    request = predict_request("scale", x=x(1), text=["a"])
    request.model_spec.version.value = 1
    response = prediction.Predict(request)
    assert list(response.outputs["y"].float_val) == [2.0]
    assert response.model_spec.version.value == 1


def test_check_1_missing_spec_then_empty_name(prediction: PredictionServiceStub) -> None:
    assert refused(lambda: prediction.Predict(PredictRequest())) == (INVALID_ARGUMENT, "Missing ModelSpec")
    request = PredictRequest()
    request.model_spec.signature_name = "serving_default"
    assert refused(lambda: prediction.Predict(request)) == (INVALID_ARGUMENT, "ModelSpec has no name specified.")


def test_check_2_unknown_label_comes_before_the_model(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    request = predict_request("nothing")
    request.model_spec.version_label = "canary"
    expected = (INVALID_ARGUMENT, "Unrecognized servable version label: canary")
    assert refused(lambda: prediction.Predict(request)) == expected


def test_check_3_unknown_model_or_version(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    request = predict_request("nothing")
    assert refused(lambda: prediction.Predict(request)) == (
        NOT_FOUND,
        "Servable not found for request: Latest(nothing)",
    )
    request = predict_request("scale")
    request.model_spec.version.value = 9
    assert refused(lambda: prediction.Predict(request)) == (
        NOT_FOUND,
        "Servable not found for request: Specific(scale, 9)",
    )


def test_check_4_unknown_signature_comes_before_the_inputs(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    expected = (grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "s" not found.')
    assert refused(lambda: prediction.Predict(predict_request("scale", "s"))) == expected


def test_check_5_wrong_number_of_inputs(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    too_few = predict_request("scale", x=x(1))
    assert refused(lambda: prediction.Predict(too_few)) == (
        INVALID_ARGUMENT,
        "input size does not match signature: 1!=2 len({x}) != len({text,x}). "
        "Sent extra: {}. Missing but required: {text}.",
    )
    too_many = predict_request("scale", x=x(1), text=["a"], z=x(1))
    assert refused(lambda: prediction.Predict(too_many)) == (
        INVALID_ARGUMENT,
        "input size does not match signature: 3!=2 len({text,x,z}) != len({text,x}). "
        "Sent extra: {z}. Missing but required: {}.",
    )


def test_check_5_unknown_input_in_the_right_number(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    request = predict_request("scale", x=x(1), words=["a"])
    code, details = refused(lambda: prediction.Predict(request))
    assert code is INVALID_ARGUMENT
    assert details.startswith(
        "Signature input alias: text(feed name: serving_default_text:0) not found in request and "
    )


def test_check_5_truncated_tensor(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    request = predict_request("scale", x=x(1, 2, 3), text=["a", "b", "c"])
    request.inputs["x"].tensor_content = request.inputs["x"].tensor_content[:-1]
    assert refused(lambda: prediction.Predict(request)) == (INVALID_ARGUMENT, "tensor parsing error: x")


@pytest.mark.parametrize("sides", [(1 << 40,), (-1,), (1 << 31, 1 << 31, 1 << 31)])
def test_check_5_shape_that_no_memory_holds(
    prediction: PredictionServiceStub, predict_request: BuildRequest, sides: tuple[int, ...]
) -> None:
    request = predict_request("scale", x=x(1), text=["a"])
    del request.inputs["x"].tensor_shape.dim[:]
    for side in sides:
        request.inputs["x"].tensor_shape.dim.add().size = side
    assert refused(lambda: prediction.Predict(request)) == (INVALID_ARGUMENT, "tensor parsing error: x")


def test_check_6_output_filter(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    request = predict_request("scale", x=x(1), text=["a"])
    request.output_filter.append("y")
    assert set(prediction.Predict(request).outputs) == {"y"}
    request.output_filter.append("z")
    assert refused(lambda: prediction.Predict(request)) == (
        INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {capitals,y}.",
    )
    request.output_filter[1] = "y"
    assert refused(lambda: prediction.Predict(request)) == (INVALID_ARGUMENT, "duplicate output tensor alias: y")


def test_check_7_wrong_dtype_has_tensorflows_own_text(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    request = predict_request("scale", x=np.ones(1, np.int64), text=["a"])
    code, details = refused(lambda: prediction.Predict(request))
    assert code is INVALID_ARGUMENT
    assert "to be float but int64 is provided" in details


def test_check_7_a_failing_op_is_the_requests_error(
    prediction: PredictionServiceStub, predict_request: BuildRequest
) -> None:
    code, details = refused(lambda: prediction.Predict(predict_request("scale", "fails", x=np.zeros(1, np.int32))))
    assert code is INVALID_ARGUMENT
    assert "division by zero" in details.lower()
    assert "File " not in details


def test_check_7_the_deadline_bounds_the_run(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    request = predict_request("scale", "slow", steps=np.array(1_000_000, np.int32))
    code, _ = refused(lambda: prediction.Predict(request, timeout=0.5))
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert prediction.Predict(predict_request("scale", x=x(1), text=["a"]), timeout=5).outputs


def test_a_huge_string_is_answered(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    response = prediction.Predict(predict_request("scale", x=x(1), text=["a" * 1_000_000]))
    assert response.outputs["capitals"].string_val[0] == b"A" * 1_000_000


def test_a_message_over_the_limit_is_refused(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    code, _ = refused(lambda: prediction.Predict(predict_request("scale", x=x(1), text=["a" * 5_000_000])))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_bytes_that_are_no_request_are_refused(shared_server: Server) -> None:
    with grpc.insecure_channel(shared_server.address) as channel:
        call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        assert refused(lambda: call(b"\xff\xff\xff"))[0] is grpc.StatusCode.INTERNAL


def test_session_run_is_not_registered(shared_server: Server) -> None:
    with grpc.insecure_channel(shared_server.address) as channel:
        call = channel.unary_unary("/tensorflow.serving.SessionService/SessionRun")
        assert refused(lambda: call(b""))[0] is grpc.StatusCode.UNIMPLEMENTED


def test_metadata_holds_the_signatures(prediction: PredictionServiceStub) -> None:
    request = GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "scale"
    response = prediction.GetModelMetadata(request)
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def["serving_default"].inputs) == {"x", "text"}
    assert (response.model_spec.name, response.model_spec.version.value) == ("scale", 2)


def test_metadata_refuses_missing_fields_and_unknown_ones(prediction: PredictionServiceStub) -> None:
    request = GetModelMetadataRequest()
    assert refused(lambda: prediction.GetModelMetadata(request)) == (INVALID_ARGUMENT, "Missing ModelSpec")
    request.model_spec.name = "nothing"
    assert refused(lambda: prediction.GetModelMetadata(request)) == (
        INVALID_ARGUMENT,
        "GetModelMetadataRequest must specify at least one metadata_field",
    )
    request.metadata_field.append("weights")
    expected = (INVALID_ARGUMENT, "Metadata field weights is not supported")
    assert refused(lambda: prediction.GetModelMetadata(request)) == expected
    request.metadata_field[0] = "signature_def"
    expected = (NOT_FOUND, "Servable not found for request: Latest(nothing)")
    assert refused(lambda: prediction.GetModelMetadata(request)) == expected


def add_examples(request: ClassificationRequest, *values: float) -> None:
    for value in values:
        example = request.input.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)


def test_classify_regress_and_multi_inference_on_a_tf1_model(prediction: PredictionServiceStub) -> None:
    classification = ClassificationRequest()
    classification.model_spec.name = "tf1"
    add_examples(classification, 1.0, 4.0)
    response = prediction.Classify(classification)
    rows = [[(entry.label, entry.score) for entry in row.classes] for row in response.result.classifications]
    assert rows == [[("low", 1.0), ("high", 2.0)], [("low", 4.0), ("high", 8.0)]]  # the weight is 2

    regression = RegressionRequest()
    regression.model_spec.name, regression.model_spec.signature_name = "tf1", "regress"
    add_examples(regression, 1.5)
    assert [entry.value for entry in prediction.Regress(regression).result.regressions] == [3.0]

    both = MultiInferenceRequest()
    add_examples(both, 2.0)
    for signature, method in (("serving_default", "classify"), ("regress", "regress")):
        task = both.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = "tf1", signature
    results = prediction.MultiInference(both).results
    assert results[0].classification_result.classifications[0].classes[1].score == 4.0
    assert results[1].regression_result.regressions[0].value == 4.0


def test_predict_on_a_tf1_model(prediction: PredictionServiceStub, predict_request: BuildRequest) -> None:
    example = ClassificationRequest()
    add_examples(example, 5.0)
    serialized = example.input.example_list.examples[0].SerializeToString()
    request = predict_request("tf1", "regress")
    request.inputs["inputs"].CopyFrom(make_proto([serialized]))
    assert to_array(prediction.Predict(request).outputs["outputs"]).tolist() == [10.0]


def test_classify_on_a_model_without_such_signatures(prediction: PredictionServiceStub) -> None:
    request = ClassificationRequest()
    request.model_spec.name = "scale"
    add_examples(request, 1.0)
    assert refused(lambda: prediction.Classify(request)) == (INVALID_ARGUMENT, "Expected one input Tensor.")
    request = ClassificationRequest()
    request.model_spec.name = "tf1"
    assert refused(lambda: prediction.Classify(request)) == (INVALID_ARGUMENT, "Input is empty.")
