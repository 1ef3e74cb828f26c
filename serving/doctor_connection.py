"""Whether a server can be reached, and whether it says that it serves."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.doctor_requests import Clock
from serving.doctor_signatures import MODELS
from serving.findings import SERVER, Finding
from serving.messages import GetModelStatusRequest, ModelServiceStub

_WRONG_END = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED)


def check_reachable(channel: grpc.Channel, timeout: float, clock: Clock) -> Finding:
    """One status call for a model that may or may not be there: any answer of ModelService will do."""
    started = clock()
    request = GetModelStatusRequest()
    request.model_spec.name = MODELS[0]
    try:
        ModelServiceStub(channel).GetModelStatus(request, timeout=timeout)
    except grpc.RpcError as error:
        if error.code() in _WRONG_END:
            return _unreachable(error, timeout)
    milliseconds = 1000 * (clock() - started)
    return Finding(
        "reachable",
        SERVER,
        "ok",
        f"connected and answered in {milliseconds:.1f} ms",
        "",
        {"connect_ms": milliseconds},
    )


def check_health(channel: grpc.Channel, timeout: float) -> Finding:
    """Whether gRPC's health service, which probes ask, says that it serves."""
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=timeout)
    except grpc.RpcError as error:
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            advice = "Start it with --enable_grpc_healthcheck_service=true; without, gRPC probes restart it for ever."
            return Finding("health", SERVER, "warning", "the health service is off", advice)
        return Finding(
            "health", SERVER, "failure", f"{error.code().name}: {error.details()}", "Ask again; see its log."
        )
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return Finding("health", SERVER, "ok", "SERVING")
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return Finding("health", SERVER, "failure", name, "It is shutting down or starting: wait, and look at its log.")


def _unreachable(error: grpc.RpcError, timeout: float) -> Finding:
    advice = {
        grpc.StatusCode.UNAVAILABLE: (
            "Is a server started, and this its gRPC port (8500, not REST's 8501)? Does the network policy let this "
            "machine in? A server that speaks TLS refuses plain ones: give --ca, for mutual TLS also --cert and --key."
        ),
        grpc.StatusCode.DEADLINE_EXCEEDED: (
            f"Nothing answered in {timeout:g} s: a firewall that drops packets, or a server that is overloaded or "
            "still loading. Give a longer --timeout."
        ),
        grpc.StatusCode.UNIMPLEMENTED: "Another gRPC service listens there: check the address.",
    }[error.code()]
    return Finding("reachable", SERVER, "failure", f"{error.code().name}: {error.details()}", advice)
