"""Predict on one loaded version: the checks in TF Serving's order, with its codes and words (predict_util.cc)."""

from collections.abc import Iterable

import grpc

from serving.errors import Rejection, invalid_argument
from serving.example_inference import CLASSIFY, REGRESS
from serving.messages import PredictRequest, PredictResponse, SignatureDef
from serving.servable import DEFAULT_SIGNATURE, Servable
from serving.tensors import Array, TensorError, to_array, to_proto

PREDICT = "tensorflow/serving/predict"
_METHODS = (PREDICT, CLASSIFY, REGRESS)


def predict(
    servable: Servable, request: PredictRequest, timeout: float | None, version: int | None, content: bool = False
) -> PredictResponse:
    """Answer a Predict request.

    Args:
        servable: the version that the request's model_spec names.
        timeout: seconds that the run may take; None for no limit.
        version: what the response says answered; None in warm-up.
        content: answer in `tensor_content`, not in the typed fields.

    Raises:
        Rejection: with the code and text of the first check that fails, or of the failed run.
    """
    name = request.model_spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise Rejection(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
    if servable.checks_method_names and signature.method_name not in _METHODS:
        text = f"Expected prediction signature method_name to be one of {{{', '.join(_METHODS)}}}. "
        raise Rejection(grpc.StatusCode.INTERNAL, f"{text}Was: {signature.method_name}")
    _check_input_count(signature, request)
    inputs = _input_values(signature, request)
    outputs = _output_names(signature, request)
    response = PredictResponse()
    response.model_spec.name = request.model_spec.name
    response.model_spec.signature_name = name
    if version is not None:
        response.model_spec.version.value = version
    for alias, value in servable.run(name, inputs, outputs, timeout).items():
        try:
            to_proto(value, response.outputs[alias], content)
        except TensorError as error:
            raise Rejection(grpc.StatusCode.UNIMPLEMENTED, f"output {alias}: {error}") from error
    return response


def _check_input_count(signature: SignatureDef, request: PredictRequest) -> None:
    sent, expected = set(request.inputs), set(signature.inputs)
    if len(sent) > len(expected) or (len(sent) < len(expected) and not signature.defaults):
        raise invalid_argument(
            f"input size does not match signature: {len(sent)}!={len(expected)} len({{{_join(sent)}}}) != "
            f"len({{{_join(expected)}}}). Sent extra: {{{_join(sent - expected)}}}. "
            f"Missing but required: {{{_join(expected - sent)}}}."
        )


def _input_values(signature: SignatureDef, request: PredictRequest) -> dict[str, Array]:
    values = {}
    for alias in signature.inputs:
        if alias in request.inputs:
            proto = request.inputs[alias]
        elif alias in signature.defaults:
            proto = signature.defaults[alias]
        else:
            raise invalid_argument(
                f"Signature input alias: {alias}(feed name: {signature.inputs[alias].name}) not found in request and "
                f"no default value provided. Inputs expected to be in the request {{{_join(signature.inputs)}}}, "
                f"or default input alias set: {_join(signature.defaults)}"
            )
        try:
            values[alias] = to_array(proto)
        except TensorError:
            raise invalid_argument(f"tensor parsing error: {alias}") from None
    unknown = set(request.inputs) - set(signature.inputs)
    if unknown:
        seen = set(request.inputs) - unknown
        raise invalid_argument(
            f"Inputs contains invalid name. Used request inputs: {_join(seen)}, request input: {_join(request.inputs)}"
        )
    return values


def _output_names(signature: SignatureDef, request: PredictRequest) -> list[str]:
    names: list[str] = []
    for alias in request.output_filter:
        if alias not in signature.outputs:
            raise invalid_argument(
                f"output tensor alias not found in signature: {alias} Outputs expected to be in the set "
                f"{{{_join(signature.outputs)}}}."
            )
        if alias in names:
            raise invalid_argument(f"duplicate output tensor alias: {alias}")
        names.append(alias)
    return names or list(signature.outputs)


def _join(names: Iterable[str]) -> str:
    return ",".join(sorted(names))
