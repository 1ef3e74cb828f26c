"""Connections: what gRPC is told about addresses, load balancing, keepalive, TLS and the metadata of a call."""

import functools
import json
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from pydantic import SecretStr

from serving.addresses import proxy_options
from serving.client_config import ClientConfig, metadata_fault, token_fault
from serving.errors import BadRequestError, ServingError
from serving.protos import GetModelMetadataRequest, GetModelMetadataResponse, PredictRequest, PredictResponse

PREDICT, GET_MODEL_METADATA = "Predict", "GetModelMetadata"
METHODS: Mapping[str, Any] = {
    PREDICT: (PredictRequest, PredictResponse),
    GET_MODEL_METADATA: (GetModelMetadataRequest, GetModelMetadataResponse),
}
"""The methods of PredictionService that a client calls, with the classes of request and response."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def channel_credentials(config: ClientConfig) -> Any:
    """gRPC's credentials for the TLS settings, None for plain text; ConfigError if one of their files is not read."""
    return None if config.tls is None else grpc.ssl_channel_credentials(**config.tls.pem())


def open_channel(api: Any, config: ClientConfig, credentials: Any) -> Any:
    """A channel of `grpc` or of `grpc.aio`."""
    options = channel_options(config)
    if credentials is None:
        return api.insecure_channel(config.target, options)
    return api.secure_channel(config.target, credentials, options)


def channel_options(config: ClientConfig) -> list[tuple[str, int | str]]:
    """gRPC's channel arguments: https://grpc.github.io/grpc/core/group__grpc__arg__keys.html"""
    options: list[tuple[str, int | str]] = [
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{config.load_balancing: {}}]})),
        ("grpc.keepalive_time_ms", int(config.keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", int(config.keepalive_timeout_seconds * 1000)),
        ("grpc.keepalive_permit_without_calls", int(config.keepalive_without_calls)),
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2000),
    ]
    if config.tls is not None and config.tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", config.tls.server_name))
    return [*options, *proxy_options(config.target)]


def check_process(process: int, address: str) -> None:
    """ServingError in another process than the one that a client was made in: gRPC's threads are not forked along."""
    if os.getpid() != process:
        raise ServingError(f"the client of {address} was made in another process; open one after the fork")


def open_methods(channel: Any) -> dict[str, Any]:
    """What calls each of METHODS over a channel."""
    return {
        name: channel.unary_unary(
            f"/tensorflow.serving.PredictionService/{name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        for name, (request, response) in METHODS.items()
    }


def call_metadata(
    config: ClientConfig, traceparent: str | None, extra: Mapping[str, str] | None
) -> tuple[tuple[str, str], ...]:
    """The metadata of one call; what is given for the call wins over the current span, and that over the config.

    A traceparent that is not one of https://www.w3.org/TR/trace-context/ is left out, as the standard has it.

    Raises:
        BadRequestError: for extra metadata that gRPC would not send, and a traceparent that is no text.
        ServingError: for a token function that returns no token.
    """
    fault = metadata_fault(extra or {})
    if fault is not None:
        raise BadRequestError(fault)
    if traceparent is not None and not isinstance(traceparent, str):
        raise BadRequestError(f"traceparent: received {traceparent!r} ({type(traceparent).__name__}); expected text")
    known = traceparent is not None and _TRACEPARENT.fullmatch(traceparent)
    sent = {**config.metadata, **({"traceparent": str(traceparent)} if known else current_trace())}
    if config.bearer_token is not None:
        sent["authorization"] = f"Bearer {_token(config.bearer_token)}"
    return tuple({**sent, **(extra or {})}.items())


def _token(token: SecretStr | Callable[[], str]) -> str:
    if isinstance(token, SecretStr):
        return token.get_secret_value()
    text = token()
    fault = token_fault(text)
    if fault is not None:
        raise ServingError(f"bearer_token, from its function: {fault}")
    return text.rstrip("\r\n")


def current_trace() -> dict[str, str]:
    """The trace context of OpenTelemetry's current span; empty without a span or without OpenTelemetry."""
    api = _opentelemetry()
    if api is None or not api.trace.get_current_span().get_span_context().is_valid:
        return {}
    carrier: dict[str, str] = {}
    api.propagate.inject(carrier)
    return {key: value for key, value in carrier.items() if metadata_fault({key: value}) is None}


@functools.cache
def _opentelemetry() -> Any:
    """The package, where it is installed."""
    try:
        import opentelemetry
        import opentelemetry.propagate
        import opentelemetry.trace
    except ImportError:
        return None
    return opentelemetry
