"""What the embedded server is told. Named as tensorflow_model_server's flags are; imports no TensorFlow."""

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from catalog.config import Config

_BATCHING_THREADS = 64  # a request holds a thread while its batch fills and runs
LogFormat = Literal["text", "json"]

NO_URIS = "is a URI, and this server reads folders alone; mount the models, or copy them"
"""What is said of a base path that `is_uri`."""


def is_uri(path: str) -> bool:
    """Whether a base path has a scheme, as gs://bucket/m and s3://bucket/m have."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", path) is not None


class ServerConfig(Config):
    """What the embedded server needs to know. Either `model_config_file` or `model_name` with `model_base_path`."""

    model_config_file: Path | None = Field(None, description="A ModelServerConfig in text form, absolute paths in it.")
    model_config_file_poll_wait_seconds: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="How often the model config file is read again; 0 for never."
    )
    model_name: str = Field("", description="The name of a single model, instead of a config file.")
    model_base_path: Path | None = Field(None, description="The folder that holds the single model's versions.")
    host: str = Field("127.0.0.1", description="Address that gRPC listens on; 0.0.0.0 for every network.")
    port: int | None = Field(8500, ge=0, le=65535, description="gRPC port; 0 takes a free one.")
    grpc_socket_path: Path | None = Field(None, description="A Unix socket to listen on for gRPC, beside the port.")
    grpc_channel_arguments: str = Field("", description="gRPC server settings: name=value, separated by commas.")
    grpc_threads: int = Field(
        0, ge=0, description="gRPC requests worked on at a time; 0 for four a core, with batching 64."
    )
    enable_grpc_healthcheck_service: bool = Field(True, description="Answer the standard gRPC health check.")
    ssl_config_file: Path | None = Field(None, description="An SSLConfig in text form: gRPC speaks TLS.")
    rest_api_port: int | None = Field(None, ge=0, le=65535, description="REST port.")
    rest_api_host: str = Field("127.0.0.1", description="Address that REST listens on; it has no TLS.")
    rest_api_num_threads: int = Field(0, ge=0, description="REST requests worked on at a time; 0 for four a core.")
    rest_api_timeout_in_ms: int = Field(30_000, ge=0, description="How long a REST request may run; 0 for no limit.")
    rest_api_enable_cors_support: bool = Field(False, description="Let web pages of other origins call REST.")
    monitoring_config_file: Path | None = Field(
        None, description="A MonitoringConfig in text form: Prometheus metrics on the REST port."
    )
    auth_token_file: Path | None = Field(
        None, description="A file with the token that REST and HandleReloadConfigRequest then ask for."
    )
    file_system_poll_wait_seconds: float = Field(
        1.0, ge=0, allow_inf_nan=False, description="How often folders are polled; 0 for never."
    )
    wait_for_versions: bool = Field(
        False,
        description="At the start, wait for models that have no version yet, where folders are polled; else that is an "
        "error. `tandem serve` waits for models that flags name.",
    )
    allow_version_labels_for_unavailable_models: bool = Field(
        False, description="Accept labels on versions that are not loaded yet, as labels in a config at start are."
    )
    enable_batching: bool = Field(False, description="Merge requests into batches.")
    enable_per_model_batching_parameters: bool = Field(
        False, description="A version's own batching_params.pbtxt, where it ships one, says how it is batched."
    )
    max_queued_requests: int = Field(
        0, ge=0, description="Requests that may wait for a thread; more are refused. 0 for 4 a thread."
    )
    batching_parameters_file: Path | None = Field(None, description="BatchingParameters in text form.")
    enable_signature_method_name_check: bool = Field(
        False, description="Refuse calls of another kind than a signature's method_name says."
    )
    enable_serialization_as_tensor_content: bool = Field(
        False, description="Answer Predict over gRPC in tensor_content, not in the typed fields."
    )
    enable_model_warmup: bool = Field(
        True, description="Run the requests that a version ships before it takes traffic."
    )
    num_request_iterations_for_warmup: int = Field(1, ge=0, description="How often each warm-up request is run.")
    num_load_threads: int = Field(0, ge=0, description="Models loaded side by side; 0 for one after the other.")
    max_num_load_retries: int = Field(0, ge=0, description="How often loading a version is tried again.")
    load_retry_interval_micros: int = Field(60_000_000, description="The wait before that, in microseconds.")
    saved_model_tags: str = Field(
        "serve", min_length=1, description="Tags, separated by commas, of the graph to load: exactly these."
    )
    tensorflow_intra_op_parallelism: int = Field(
        1, ge=0, description="Threads that share one op; 0 for one a core. 1 is fastest where the ops are small."
    )
    tensorflow_inter_op_parallelism: int = Field(0, ge=0, description="Threads that run ops; 0 for one a core.")
    max_message_bytes: int = Field(64 << 20, ge=1 << 10, description="Largest request that is read.")
    drain_seconds: float = Field(
        10.0, ge=0, le=86_400, description="How long requests in flight may take after SIGTERM; a day at most."
    )
    log_format: LogFormat = Field("text", description="text, or json for one object a line.")
    log_requests: bool = Field(False, description="Log a line a request: what was called and how it went, no inputs.")

    def threads(self, wanted: int) -> int:
        """Threads for requests: as `wanted`, or so many that batches can fill."""
        return wanted or (_BATCHING_THREADS if self.enable_batching else 4 * (os.cpu_count() or 1))

    def queue_length(self, threads: int) -> int:
        """Requests that may wait for one of `threads`."""
        return self.max_queued_requests or 4 * threads

    @field_validator("model_base_path", mode="before")
    @classmethod
    def _folder(cls, value: Any) -> Any:
        if isinstance(value, str) and is_uri(value):  # as a path it would lose a slash, and be a relative one
            raise ValueError(f"{value} {NO_URIS}")
        return value

    @model_validator(mode="after")
    def _settings_fit(self) -> "ServerConfig":
        single = bool(self.model_name) and self.model_base_path is not None
        if (self.model_config_file is not None) == single:
            raise ValueError("expected either model_config_file, or model_name with model_base_path")
        if self.batching_parameters_file is not None and not self.enable_batching:
            raise ValueError("batching_parameters_file is set without enable_batching")
        if self.port is None and self.grpc_socket_path is None:
            raise ValueError("gRPC has nothing to listen on; set port or grpc_socket_path")
        if self.rest_api_port and self.rest_api_port == self.port:
            raise ValueError(f"port and rest_api_port are both {self.port}; they must differ")
        return self
