"""PredictionService over gRPC: Predict, Classify, Regress, MultiInference, GetModelMetadata."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import grpc

from serving.call_record import check_accepted, current_call, in_hand
from serving.errors import Rejection, invalid_argument
from serving.example_inference import classify, multi_inference, regress
from serving.logs import where_it_failed
from serving.manager import ModelManager
from serving.messages import (
    ClassificationRequest,
    ClassificationResponse,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    ModelSpec,
    MultiInferenceRequest,
    MultiInferenceResponse,
    PredictionServiceServicer,
    PredictRequest,
    PredictResponse,
    RegressionRequest,
    RegressionResponse,
    SignatureDefMap,
)
from serving.predict import predict
from serving.servable import Servable
from serving.tracing import TRACEPARENT, TRACESTATE, read_traceparent, span

_log = logging.getLogger(__name__)

INTERNAL_ERROR = "internal error; the server's log has the details"

Response = TypeVar("Response")
Run = Callable[[Servable, Any, float | None, int | None], Response]


class PredictionService(PredictionServiceServicer):
    """Answers from the versions that a manager holds. SessionRun is never registered, as in TF Serving.

    Args:
        manager: the models.
        content: answer Predict in `tensor_content`.
    """

    def __init__(self, manager: ModelManager, content: bool = False) -> None:
        self._manager = manager
        self._predict = partial(predict, content=content)

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        """Run a signature on tensors."""
        return answer(context, "Predict", request.model_spec, lambda: self._run(self._predict, request, context))

    def Classify(self, request: ClassificationRequest, context: grpc.ServicerContext) -> ClassificationResponse:
        """Run a classification signature on tf.Examples."""
        return answer(context, "Classify", request.model_spec, lambda: self._run(classify, request, context))

    def Regress(self, request: RegressionRequest, context: grpc.ServicerContext) -> RegressionResponse:
        """Run a regression signature on tf.Examples."""
        return answer(context, "Regress", request.model_spec, lambda: self._run(regress, request, context))

    def MultiInference(self, request: MultiInferenceRequest, context: grpc.ServicerContext) -> MultiInferenceResponse:
        """Run several classification and regression signatures of one model on the same tf.Examples."""
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        return answer(context, "MultiInference", spec, lambda: self._run_on(spec, multi_inference, request, context))

    def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> GetModelMetadataResponse:
        """The signatures of a model."""
        return answer(context, "GetModelMetadata", request.model_spec, lambda: model_metadata(self._manager, request))

    def _run(self, run: "Run[Response]", request: Any, context: grpc.ServicerContext) -> Response:
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        return self._run_on(request.model_spec, run, request, context)

    def _run_on(self, spec: ModelSpec, run: "Run[Response]", request: Any, context: grpc.ServicerContext) -> Response:
        with self._manager.lease(spec) as version:
            assert version.servable is not None
            timeout = context.time_remaining()
            if timeout is not None and timeout <= 0:
                raise Rejection(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the run began")
            return run(version.servable, request, timeout, version.number)


def model_metadata(manager: ModelManager, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
    """The signatures of a model; Rejection for a field other than signature_def."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = GetModelMetadataResponse()
    with manager.lease(request.model_spec) as version:
        assert version.servable is not None
        signatures = SignatureDefMap()
        for name, signature in version.servable.signatures.items():
            signatures.signature_def[name].CopyFrom(signature)
        response.model_spec.name = version.model
        response.model_spec.version.value = version.number
    response.metadata["signature_def"].Pack(signatures)
    return response


def answer(context: grpc.ServicerContext, api: str, spec: ModelSpec, work: Callable[[], Response]) -> Response:
    """Do the work of one call; a Rejection becomes its status, anything else INTERNAL without its insides."""
    call = current_call()
    call.entrypoint, call.api, call.model = "GRPC", api, spec.name
    call.traceparent = read_traceparent(metadata_of(context, TRACEPARENT))
    if not context.add_callback(call.departure.leave):
        call.departure.leave()
    try:
        with in_hand(call), span(call, metadata_of(context, TRACESTATE)):
            check_accepted(call)
            return work()
    except Rejection as rejection:
        code, details = rejection.code, rejection.details
    except Exception as error:  # noqa: BLE001 - the place is logged; a client sees no insides
        _log.error("a request failed: %s", where_it_failed(error))
        code, details = grpc.StatusCode.INTERNAL, INTERNAL_ERROR
    call.status = code.name
    context.abort(code, details)
    raise AssertionError("abort returned")


def metadata_of(context: grpc.ServicerContext, key: str) -> str:
    """The value that a caller sent with its call under `key`; empty for none."""
    value = next((value for name, value in context.invocation_metadata() if name == key), "")
    return value if isinstance(value, str) else ""
