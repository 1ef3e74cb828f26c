"""The small textproto files beside the model config: MonitoringConfig, SSLConfig and BatchingParameters.

Their messages are not in the tensorflow-serving-api wheel, so they are declared here, field by field.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from pydantic import ValidationError

from catalog.errors import ConfigError
from serving.batching_parameters import BatchingParameters

_Field = descriptor_pb2.FieldDescriptorProto

METRICS_PATH = "/monitoring/prometheus/metrics"
"""Where TF Serving shows metrics unless told otherwise (PrometheusExporter::kPrometheusPath)."""

_FIELDS = {
    "Number": {"value": "int64"},
    "Text": {"value": "string"},
    "Switch": {"value": "bool"},
    "BatchingParameters": {
        "max_batch_size": "Number",
        "batch_timeout_micros": "Number",
        "max_enqueued_batches": "Number",
        "num_batch_threads": "Number",
        "thread_pool_name": "Text",
        "allowed_batch_sizes": "int64s",
        "pad_variable_length_inputs": "bool",
        "enable_large_batch_splitting": "Switch",
        "max_execution_batch_size": "Number",
    },
    "PrometheusConfig": {"enable": "bool", "path": "string"},
    "MonitoringConfig": {"prometheus_config": "PrometheusConfig"},
    "SSLConfig": {"server_key": "string", "server_cert": "string", "custom_ca": "string", "client_verify": "bool"},
}
"""Fields in the order of their numbers: config/monitoring_config.proto, config/ssl_config.proto and BatchingParameters
of servables/tensorflow/session_bundle_config.proto, whose numbers are wrapped in google.protobuf's own messages."""

_NUMBERS = [name for name, kind in _FIELDS["BatchingParameters"].items() if kind == "Number"]


@dataclass(frozen=True)
class SslConfig:
    """The PEM texts of a server's TLS.

    Attributes:
        key, certificate: the server's own.
        authority: whom client certificates must be signed by; empty only where clients need not show one.
        verify_client: whether a client must show one.
    """

    key: str
    certificate: str
    authority: str
    verify_client: bool


def read_metrics_path(path: Path) -> str | None:
    """The URL path at which a MonitoringConfig wants metrics shown; None where it wants none.

    Raises:
        ConfigError: if the file is unreadable, no MonitoringConfig, or its path is none.
    """
    config = _read(path, "MonitoringConfig").prometheus_config
    if not config.enable:
        return None
    shown = str(config.path or METRICS_PATH)
    if not shown.startswith("/"):
        raise ConfigError(f"{path}: prometheus_config.path is {shown!r}; expected a URL path that begins with /")
    return shown


def read_ssl_config(path: Path) -> SslConfig:
    """Read an SSLConfig.

    Raises:
        ConfigError: if the file is unreadable, no SSLConfig, or lacks what TLS needs.
    """
    config = _read(path, "SSLConfig")
    for name in ("server_key", "server_cert"):
        if "-----BEGIN" not in getattr(config, name):
            raise ConfigError(f"{path}: {name} must hold the text of a PEM file, not its name")
    if config.client_verify and not config.custom_ca:
        raise ConfigError(f"{path}: client_verify needs custom_ca, the authority that signs client certificates")
    return SslConfig(config.server_key, config.server_cert, config.custom_ca, config.client_verify)


def read_batching_parameters(path: Path) -> BatchingParameters:
    """Read BatchingParameters; what the file leaves out has TF Serving's default.

    Raises:
        ConfigError: if the file is unreadable, no BatchingParameters, or its values do not fit.
    """
    message = _read(path, "BatchingParameters")
    settings: dict[str, Any] = {name: getattr(message, name).value for name in _NUMBERS if message.HasField(name)}
    if message.allowed_batch_sizes:
        settings["allowed_batch_sizes"] = tuple(message.allowed_batch_sizes)
    try:
        return BatchingParameters(
            **settings,
            pad_variable_length_inputs=message.pad_variable_length_inputs,
            enable_large_batch_splitting=message.enable_large_batch_splitting.value,
        )
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigError(f"{path}: {problems}") from error


def _read(path: Path, name: str) -> Any:
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), _messages()[name]())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: the file cannot be read: {error}") from error
    except text_format.ParseError as error:
        # Its own text would show the line, and a key may be in it.
        place = f"line {error.GetLine()}, column {error.GetColumn()}" if error.GetLine() else "its end"
        raise ConfigError(f"{path}: not a {name} in text form, at {place}") from None


@cache
def _messages() -> dict[str, Any]:
    package = "tensorflow.serving"
    file = descriptor_pb2.FileDescriptorProto(name="server_files.proto", package=package, syntax="proto3")
    kinds = {"bool": _Field.TYPE_BOOL, "string": _Field.TYPE_STRING, "int64": _Field.TYPE_INT64}
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), start=1):
            added = message.field.add(name=field, number=number, label=_Field.LABEL_OPTIONAL)
            if kind.endswith("s"):
                added.label, kind = _Field.LABEL_REPEATED, kind.removesuffix("s")
            if kind in kinds:
                added.type = kinds[kind]
            else:
                added.type = _Field.TYPE_MESSAGE
                added.type_name = f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{name}")) for name in _FIELDS}
