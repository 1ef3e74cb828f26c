"""Classify, Regress and MultiInference: serialized tf.Examples in (classifier.cc, regressor.cc, multi_inference.cc)."""

import grpc
import numpy as np

from serving.call_record import current_call
from serving.errors import Rejection, invalid_argument
from serving.messages import (
    ClassificationRequest,
    ClassificationResponse,
    ClassificationResult,
    Input,
    ModelSpec,
    MultiInferenceRequest,
    MultiInferenceResponse,
    RegressionRequest,
    RegressionResponse,
    RegressionResult,
    SignatureDef,
)
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.tensors import Array, type_name_of

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Outputs = dict[str, Array]
"""Values by tensor name."""


def classify(
    servable: Servable, request: ClassificationRequest, timeout: float | None, version: int | None
) -> ClassificationResponse:
    """Answer a Classify request; Rejection INVALID_ARGUMENT if the signature is none for it."""
    signature = _signature(servable, request.model_spec)
    _check_method(servable, signature, "classification", CLASSIFY)
    tensors = _classification_outputs(signature)
    examples = _serialized_examples(request.input)
    outputs = _run(servable, [_input_name(signature, "classification")], tensors, examples, timeout)
    response = ClassificationResponse()
    _set_spec(response.model_spec, request.model_spec, version)
    _write_classes(signature, outputs, len(examples), response.result)
    return response


def regress(
    servable: Servable, request: RegressionRequest, timeout: float | None, version: int | None
) -> RegressionResponse:
    """Answer a Regress request; Rejection INVALID_ARGUMENT if the signature is none for it."""
    signature = _signature(servable, request.model_spec)
    _check_method(servable, signature, "regression", REGRESS)
    tensors = _regression_outputs(signature)
    examples = _serialized_examples(request.input)
    outputs = _run(servable, [_input_name(signature, "regression")], tensors, examples, timeout)
    response = RegressionResponse()
    _set_spec(response.model_spec, request.model_spec, version)
    _write_values(signature, outputs, len(examples), response.result)
    return response


def multi_inference(
    servable: Servable, request: MultiInferenceRequest, timeout: float | None, version: int | None
) -> MultiInferenceResponse:
    """Answer several Classify and Regress tasks on the same examples by one run of the graph."""
    signatures: dict[str, SignatureDef] = {}
    feeds: set[str] = set()
    fetches: set[str] = set()
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        signatures[name] = signature = servable.signatures[name]
        if task.method_name == CLASSIFY:
            _check_method(servable, signature, "classification", CLASSIFY)
            fetches.update(_classification_outputs(signature))
            feeds.add(_input_name(signature, "classification"))
        elif task.method_name == REGRESS:
            _check_method(servable, signature, "regression", REGRESS)
            fetches.update(_regression_outputs(signature))
            feeds.add(_input_name(signature, "regression"))
        else:
            raise Rejection(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
    examples = _serialized_examples(request.input)
    outputs = _run(servable, sorted(feeds), sorted(fetches), examples, timeout)
    response = MultiInferenceResponse()
    for task in request.tasks:
        signature = signatures[task.model_spec.signature_name or DEFAULT_SIGNATURE]
        result = response.results.add()
        if task.method_name == CLASSIFY:
            _write_classes(signature, outputs, len(examples), result.classification_result)
        else:
            _write_values(signature, outputs, len(examples), result.regression_result)
        _set_spec(result.model_spec, task.model_spec, version)
    return response


def _signature(servable: Servable, spec: ModelSpec) -> SignatureDef:
    name = spec.signature_name or DEFAULT_SIGNATURE
    if name not in servable.signatures:
        raise invalid_argument(f"No signature was found with the name: {name}")
    return servable.signatures[name]


def _check_method(servable: Servable, signature: SignatureDef, kind: str, method: str) -> None:
    if servable.checks_method_names and signature.method_name != method:
        raise invalid_argument(f"Expected {kind} signature method_name to be {method}. Was: {signature.method_name}")


def _input_name(signature: SignatureDef, method: str) -> str:
    if "inputs" not in signature.inputs:
        raise invalid_argument(f"No {method} inputs found in SignatureDef: {signature}")
    name: str = signature.inputs["inputs"].name
    return name


def _classification_outputs(signature: SignatureDef) -> list[str]:
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise invalid_argument(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    _input_name(signature, "classification")
    names = [signature.outputs[key].name for key in ("classes", "scores") if key in signature.outputs]
    if not names:
        raise invalid_argument(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {signature}"
        )
    return names


def _regression_outputs(signature: SignatureDef) -> list[str]:
    if len(signature.inputs) != 1:
        raise invalid_argument("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise invalid_argument("Expected one output Tensor.")
    _input_name(signature, "regression")
    if "outputs" not in signature.outputs:
        raise invalid_argument(f"No regression outputs found in SignatureDef: {signature}")
    return [signature.outputs["outputs"].name]


def _serialized_examples(request_input: Input) -> Array:
    """[examples] serialized; a context is merged into each by concatenation, as protobuf allows."""
    kind = request_input.WhichOneof("kind")
    values: list[bytes] = []
    if kind == "example_list":
        values = [example.SerializeToString() for example in request_input.example_list.examples]
    elif kind == "example_list_with_context":
        both = request_input.example_list_with_context
        context = both.context.SerializeToString()
        values = [context + example.SerializeToString() for example in both.examples]
    if not values:
        raise invalid_argument("Input is empty.")
    examples = np.empty(len(values), object)
    examples[:] = values
    return examples


def _run(servable: Servable, feeds: list[str], fetches: list[str], examples: Array, timeout: float | None) -> Outputs:
    outputs = servable.run_tensors(dict.fromkeys(feeds, examples), fetches, timeout)
    current_call().examples = len(examples)
    return dict(zip(fetches, outputs, strict=True))


def _set_spec(answered: ModelSpec, asked: ModelSpec, version: int | None) -> None:
    answered.name = asked.name
    answered.signature_name = asked.signature_name or DEFAULT_SIGNATURE
    if version is not None:
        answered.version.value = version


def _write_classes(signature: SignatureDef, outputs: Outputs, count: int, result: ClassificationResult) -> None:
    found = {key: outputs[signature.outputs[key].name] for key in ("classes", "scores") if key in signature.outputs}
    for key, dtype, name in (("classes", object, "DT_STRING"), ("scores", np.float32, "DT_FLOAT")):
        if key not in found:
            continue
        values = found[key]
        if values.ndim != 2:
            raise invalid_argument(f"Expected Tensor shape: [batch_size num_classes] but got {_shape(values)}")
        if values.dtype != dtype:
            raise invalid_argument(f"Expected {key} Tensor of {name}. Got: {type_name_of(values)}")
        if len(values) != count:
            raise invalid_argument(f"Expected {key} output batch size of {count}. Got: {len(values)}")
    widths = {key: values.shape[1] for key, values in found.items()}
    if len(set(widths.values())) > 1:
        raise invalid_argument(
            f"Tensors class and score should match in dim_size(1). Got {widths['classes']} vs. {widths['scores']}"
        )
    for row in range(count):
        classifications = result.classifications.add()
        for column in range(next(iter(widths.values()))):
            entry = classifications.classes.add()
            if "classes" in found:
                entry.label = found["classes"][row, column]
            if "scores" in found:
                entry.score = found["scores"][row, column]


def _write_values(signature: SignatureDef, outputs: Outputs, count: int, result: RegressionResult) -> None:
    values = outputs[signature.outputs["outputs"].name]
    if values.ndim != 1 and not (values.ndim == 2 and values.shape[1] == 1):
        raise invalid_argument(
            f"Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got {_shape(values)}"
        )
    if len(values) != count:
        raise invalid_argument(f"Input batch size did not match output batch size: {count} vs. {len(values)}")
    if values.dtype != np.float32:
        raise invalid_argument(f"Expected output Tensor of DT_FLOAT.  Got: {type_name_of(values)}")
    for value in values.ravel().tolist():
        result.regressions.add().value = value


def _shape(values: Array) -> str:
    return f"[{','.join(map(str, values.shape))}]"
