"""The embedded server: TF Serving's gRPC API over the same SavedModels and model configs."""

import gc
import logging
import os
import signal
import threading
from concurrent import futures
from pathlib import Path
from types import FrameType

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import Field, model_validator

from catalog.config import Config
from serving.errors import Rejection, ServingError
from serving.example_inference import classify, multi_inference, regress
from serving.manager import ModelManager
from serving.messages import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    ModelServerConfig,
    add_ModelServiceServicer_to_server,
    add_PredictionServiceServicer_to_server,
    register_service_descriptors,
)
from serving.model_config import read_model_config, single_model_config
from serving.model_service import ModelService
from serving.predict import predict
from serving.prediction_service import PredictionService
from serving.servable import Servable, Threads, load_op_libraries
from serving.warmup import read_warmup_logs

_log = logging.getLogger(__name__)

_SIGNAL_CHECK_SECONDS = 0.2


class ServerConfig(Config):
    """What the embedded server needs to know. Either `model_config_file` or `model_name` with `model_base_path`."""

    model_config_file: Path | None = Field(None, description="A ModelServerConfig in text form, absolute paths in it.")
    model_name: str = Field("", description="The name of a single model, instead of a config file.")
    model_base_path: Path | None = Field(None, description="The folder that holds the single model's versions.")
    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 for every network.")
    port: int = Field(8500, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    file_system_poll_wait_seconds: float = Field(1.0, ge=0, description="How often folders are polled; 0 for never.")
    allow_version_labels_for_unavailable_models: bool = Field(
        False, description="Accept labels on versions that are not loaded yet, as labels in a config at start are."
    )
    enable_model_warmup: bool = Field(
        True, description="Run the requests that a version ships before it takes traffic."
    )
    tensorflow_intra_op_parallelism: int = Field(0, ge=0, description="Threads that share one op; 0 for one a core.")
    tensorflow_inter_op_parallelism: int = Field(0, ge=0, description="Threads that run ops; 0 for one a core.")
    grpc_threads: int = Field(0, ge=0, description="Requests worked on at a time; 0 for four a core.")
    max_message_bytes: int = Field(64 << 20, ge=1 << 10, description="Largest request that is read.")
    drain_seconds: float = Field(10.0, ge=0, description="How long requests in flight may take after SIGTERM.")

    @model_validator(mode="after")
    def _one_source_of_models(self) -> "ServerConfig":
        single = bool(self.model_name) and self.model_base_path is not None
        if (self.model_config_file is not None) == single:
            raise ValueError("expected either model_config_file, or model_name with model_base_path")
        return self

    def models(self) -> ModelServerConfig:
        """The model config that these settings stand for; ConfigError if the file cannot be used."""
        if self.model_config_file is not None:
            return read_model_config(self.model_config_file)
        assert self.model_base_path is not None
        return single_model_config(self.model_name, self.model_base_path)


class Server:
    """A server that is not started yet; `serve` gives a running one.

    Attributes:
        port: the port it listens on, once started.
    """

    def __init__(self, config: ServerConfig) -> None:
        self.config = config
        self.port = config.port
        self._manager = ModelManager(
            self._load, config.file_system_poll_wait_seconds, config.allow_version_labels_for_unavailable_models
        )
        self._health = health.HealthServicer()
        self._grpc: grpc.Server | None = None
        self._stop = threading.Event()

    @property
    def address(self) -> str:
        """host:port for clients on this machine."""
        host = "127.0.0.1" if self.config.host == "0.0.0.0" else self.config.host
        return f"{host}:{self.port}"

    def start(self) -> None:
        """Load every model, then listen.

        Raises:
            ConfigError: if the model config cannot be used.
            ServingError: if a model has no version that loads, or the port is taken.
        """
        models = self.config.models()
        load_op_libraries()
        # Unloading a version collects its graph at once. Without this, that walks all of TensorFlow's own objects too
        # and holds every request for 0.2 s.
        gc.collect()
        gc.freeze()
        try:
            self._manager.start(models)
        except Rejection as rejection:
            self._manager.close()
            raise ServingError(f"the server does not start: {rejection.message}") from rejection
        self._grpc = self._listen()
        for service in ("", PREDICTION_SERVICE, MODEL_SERVICE):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving %s at %s:%d", ", ".join(self._manager.model_names()), self.config.host, self.port)

    def stop(self) -> None:
        """Refuse new requests, let those in flight finish, close the models. Safe to call twice."""
        self._stop.set()
        if self._grpc is None:
            return
        self._health.enter_graceful_shutdown()
        self._grpc.stop(self.config.drain_seconds).wait()
        self._grpc = None
        self._manager.close()

    def wait(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop. Call it in the main thread."""

        signalled: list[int] = []

        def on_signal(number: int, frame: FrameType | None) -> None:
            signalled.append(number)  # no lock: the thread it interrupts may hold any

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            # The timeout is needed: a signal that another thread of the process receives wakes no one here.
            while not signalled and not self._stop.wait(_SIGNAL_CHECK_SECONDS):
                pass
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.stop()

    def _listen(self) -> grpc.Server:
        register_service_descriptors()
        threads = self.config.grpc_threads or 4 * (os.cpu_count() or 1)
        server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="request"),
            options=[
                ("grpc.max_receive_message_length", self.config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # or a second server on the port would silently share its requests
            ],
        )
        add_PredictionServiceServicer_to_server(PredictionService(self._manager), server)
        add_ModelServiceServicer_to_server(ModelService(self._manager), server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        try:
            self.port = server.add_insecure_port(f"{self.config.host}:{self.config.port}")
        except RuntimeError as error:
            self._manager.close()
            raise ServingError(
                f"cannot listen on {self.config.host}:{self.config.port}; is another server running there? "
                "Stop it or choose another port"
            ) from error
        server.start()
        return server

    def _load(self, name: str, path: Path) -> Servable:
        threads = Threads(self.config.tensorflow_intra_op_parallelism, self.config.tensorflow_inter_op_parallelism)
        servable = Servable(path, threads)
        if self.config.enable_model_warmup:
            try:
                warm_up(servable, path)
            except BaseException:
                servable.close()
                raise
        return servable


def serve(config: ServerConfig) -> Server:
    """Start a server; see `Server.start` for the errors."""
    server = Server(config)
    server.start()
    return server


def warm_up(servable: Servable, path: Path) -> int:
    """Run the warm-up requests that a version ships.

    Returns:
        How many were run.

    Raises:
        Rejection: of the first request that fails.
        ArtifactError: if their file is broken.
    """
    logs = read_warmup_logs(path)
    for log in logs:
        kind = log.WhichOneof("log_type")
        if kind == "predict_log":
            predict(servable, log.predict_log.request, None, None)
        elif kind == "classify_log":
            classify(servable, log.classify_log.request, None, None)
        elif kind == "regress_log":
            regress(servable, log.regress_log.request, None, None)
        elif kind == "multi_inference_log":
            multi_inference(servable, log.multi_inference_log.request, None, None)
        elif kind is not None:
            raise Rejection(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    return len(logs)
