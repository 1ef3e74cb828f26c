"""TF Serving's REST API (http_rest_api_handler.cc): paths, JSON bodies, status codes.

It answers by the same functions as gRPC: what differs is how tensors are written.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

import grpc
from google.protobuf.json_format import MessageToDict, MessageToJson
from google.protobuf.message import Message

from serving.auth import Token
from serving.call_record import Call, CallPool, Record, check_accepted, current_call, in_hand
from serving.errors import Rejection, invalid_argument
from serving.example_inference import classify, regress
from serving.http_messages import HttpRequest, HttpResponse
from serving.http_server import HttpLimits, HttpServer
from serving.logs import where_it_failed
from serving.manager import ModelManager
from serving.messages import (
    ClassificationRequest,
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelSpec,
    PredictRequest,
    RegressionRequest,
    SignatureDefMap,
)
from serving.model_service import model_status
from serving.predict import predict
from serving.prediction_service import INTERNAL_ERROR, model_metadata
from serving.rest_examples import fill_examples, write_classes, write_values
from serving.rest_json import parse_json, read_signature_name
from serving.rest_predict import fill_inputs, write_outputs
from serving.servable import DEFAULT_SIGNATURE
from serving.server_config import ServerConfig
from serving.tracing import TRACEPARENT, TRACESTATE, read_traceparent, span
from serving.version_table import Version

_log = logging.getLogger(__name__)

_VERSION = r"(?:(?:/versions/(?P<version>\d+))|(?:/labels/(?P<label>[^/:]+)))?"
_INFERENCE = re.compile(
    rf"/v1/models/(?P<model>[^/:]+){_VERSION}:(?P<method>(?-i:classify|regress|predict))", re.I | re.A
)
_INFORMATION = re.compile(
    rf"/v1/models(?:/(?P<model>[^/:]+))?{_VERSION}(?:/(?:(?P<method>(?-i:metadata))|metadata))?", re.I | re.A
)  # METADATA is no method and asks for the status, as in TF Serving
_API = re.compile(r"/v1/.*", re.I | re.S)

_CODE = grpc.StatusCode
_HTTP_STATUS = {
    _CODE.CANCELLED: 499,
    _CODE.INVALID_ARGUMENT: 400,
    _CODE.DEADLINE_EXCEEDED: 504,
    _CODE.NOT_FOUND: 404,
    _CODE.ALREADY_EXISTS: 409,
    _CODE.PERMISSION_DENIED: 403,
    _CODE.RESOURCE_EXHAUSTED: 429,
    _CODE.FAILED_PRECONDITION: 400,
    _CODE.ABORTED: 409,
    _CODE.OUT_OF_RANGE: 400,
    _CODE.UNIMPLEMENTED: 501,
    _CODE.UNAVAILABLE: 503,
    _CODE.UNAUTHENTICATED: 401,
}
"""HTTP's status for gRPC's (http_server.cc); 500 for what is not here."""

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type, Authorization",
}


class RestApi:
    """Answers HTTP requests from the versions that a manager holds.

    Args:
        manager: the models.
        timeout: seconds that a run may take; None for no limit.
        cors: let web pages of other origins call it.
        pages: what else is shown, by URL path, as plain text.
        token: what every request asks for; None for nothing.
    """

    def __init__(
        self,
        manager: ModelManager,
        timeout: float | None,
        cors: bool = False,
        pages: Mapping[str, Callable[[], str]] | None = None,
        token: Token | None = None,
    ) -> None:
        self._manager = manager
        self._timeout = timeout
        self._headers = _CORS if cors else {}
        self._pages = pages or {}
        self._token = token

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer one request; every error is an answer, too."""
        call = current_call()
        call.departure = request.departure
        try:
            # A page's preflight brings no token, and learns nothing but that it may ask.
            if self._token is not None and request.method != "OPTIONS":
                self._token.check(request.headers.get("Authorization", ""))
            if request.method != "OPTIONS" and request.target in self._pages:
                page = self._pages[request.target]().encode()
                return HttpResponse(200, page, "text/plain; charset=utf-8", self._headers)
            if not _API.fullmatch(request.target):  # no call of the API, so nobody counts it
                text = f"Not found: {request.method} {request.target}; the API is under /v1/models"
                raise Rejection(_CODE.NOT_FOUND, text)
            call.entrypoint, call.api = "REST", "request"
            call.traceparent = read_traceparent(request.headers.get(TRACEPARENT, ""))
            tracestate = ",".join(request.headers.get_all(TRACESTATE, []))
            with in_hand(call), span(call, tracestate):
                check_accepted(call)
                return HttpResponse(200, self._route(request, call), headers=self._headers)
        except Rejection as rejection:
            call.status = rejection.code.name
            return self.refuse(_HTTP_STATUS.get(rejection.code, 500), rejection.message)
        except Exception as error:  # noqa: BLE001 - the place is logged; a client sees no insides
            _log.error("a request failed: %s", where_it_failed(error))
            call.status = _CODE.INTERNAL.name
            return self.refuse(500, INTERNAL_ERROR)

    def refuse(self, status: int, message: str) -> HttpResponse:
        """An error as TF Serving writes it."""
        headers = self._headers | ({"WWW-Authenticate": "Bearer"} if status == 401 else {})
        return HttpResponse(status, json.dumps({"error": message}).encode(), headers=headers)

    def _route(self, request: HttpRequest, call: Call) -> bytes:
        method, target = request.method, request.target
        if method == "OPTIONS":
            if re.match("https?://", request.headers.get("Origin", "")):
                return b""
            raise Rejection(_CODE.FAILED_PRECONDITION, "Origin header is missing in CORS preflight")
        pattern = {"POST": _INFERENCE, "GET": _INFORMATION}.get(method)
        match = pattern.fullmatch(target) if pattern else None
        if match is None:
            raise invalid_argument(f"Malformed request: {method} {target}")
        spec = _model_spec(match)
        call.model, call.api = spec.name, match["method"] or "status"
        if method == "GET":
            return self._information(spec, call.api == "metadata")
        return self._inference(spec, call.api, request.body)

    def _information(self, spec: ModelSpec, metadata: bool) -> bytes:
        if not spec.name:
            raise invalid_argument("Missing model name in request.")
        if not metadata:
            status = model_status(self._manager, GetModelStatusRequest(model_spec=spec))
            text: str = MessageToJson(status, always_print_fields_with_no_presence=True, indent=1)
            return text.encode()
        response = model_metadata(
            self._manager, GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        )
        signatures = SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        answer = {
            "model_spec": _whole(response.model_spec),
            "metadata": {"signature_def": _whole(signatures)},
        }
        return json.dumps(answer, indent=1).encode()

    def _inference(self, spec: ModelSpec, method: str, body: bytes) -> bytes:
        document = parse_json(body)
        spec.signature_name = read_signature_name(document)
        if method == "predict":
            with self._manager.lease(spec) as version:
                return self._predict(version, PredictRequest(model_spec=spec), document)
        request = (ClassificationRequest if method == "classify" else RegressionRequest)(model_spec=spec)
        fill_examples(document, request.input)
        with self._manager.lease(spec) as version:
            assert version.servable is not None
            if method == "classify":
                return write_classes(classify(version.servable, request, self._timeout, version.number).result)
            return write_values(regress(version.servable, request, self._timeout, version.number).result)

    def _predict(self, version: Version, request: PredictRequest, document: dict[str, Any]) -> bytes:
        assert version.servable is not None
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        if name not in version.servable.signatures:
            raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
        row = fill_inputs(document, version.servable.signatures[name], request)
        response = predict(version.servable, request, self._timeout, version.number)
        return write_outputs(response.outputs, row)


def listen(api: RestApi, config: ServerConfig, record: Record) -> HttpServer:
    """Serve the API on the REST port of `config`, telling `record` of each call; ServingError if the port is taken."""
    assert config.rest_api_port is not None
    threads = config.threads(config.rest_api_num_threads)
    limits, pool = HttpLimits(config.max_message_bytes), CallPool(threads, "rest", record, config.queue_length(threads))
    return HttpServer(api, api.refuse, config.rest_api_host, config.rest_api_port, limits, pool)


def _model_spec(match: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=unquote(match["model"] or "", errors="replace"))
    if match["version"]:
        number = int(match["version"]) if len(match["version"]) < 20 else 1 << 63
        if number >= 1 << 63:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = number
    if match["label"]:
        spec.version_label = unquote(match["label"], errors="replace")
    return spec


def _whole(message: Message) -> dict[str, Any]:
    """Every field under its own name, those that are not set among them."""
    return MessageToDict(message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True)
