"""The embedded server: TF Serving's API over the same SavedModels and model configs."""

import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from types import FrameType

from serving.addresses import host_port
from serving.auth import Token, read_token
from serving.call_record import Call
from serving.config_watch import ConfigWatch
from serving.errors import Rejection, ServingError
from serving.grpc_front import GrpcFront
from serving.http_server import HttpServer
from serving.loading import Loader
from serving.logs import log_call
from serving.manager import ModelManager
from serving.messages import ModelServerConfig
from serving.model_config import read_model_config, single_model_config
from serving.monitoring import Monitoring
from serving.process import MemoryKeeper, freeze_what_stays, prepare_process
from serving.rest import RestApi, listen
from serving.servable import load_op_libraries
from serving.server_config import ServerConfig
from serving.server_files import SslConfig, read_metrics_path, read_ssl_config

__all__ = ["Server", "ServerConfig", "serve"]

_log = logging.getLogger(__name__)

_SIGNAL_CHECK_SECONDS = 0.2
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "[::]": "::1"}
"""Where a server that listens on every network is found on its own machine."""


class Server:
    """A server that is not started yet; `serve` gives a running one.

    Attributes:
        port: the gRPC port it listens on, once started; None for a Unix socket alone.
        rest_port: the REST port it listens on, once started; None for no REST.
    """

    def __init__(self, config: ServerConfig) -> None:
        prepare_process()
        self.config = config
        self.port = config.port
        self._monitoring = Monitoring(lambda: self._manager.model_names())
        self._loader = Loader(config, self._monitoring)
        self._manager = ModelManager(
            self._loader,
            config.file_system_poll_wait_seconds,
            config.allow_version_labels_for_unavailable_models,
            config.num_load_threads,
            config.wait_for_versions,
        )
        self.rest_port = config.rest_api_port
        self._grpc: GrpcFront | None = None
        self._rest: HttpServer | None = None
        self._watch: ConfigWatch | None = None
        self._memory = MemoryKeeper()
        self._stop = threading.Event()
        self._closed = True

    @property
    def address(self) -> str:
        """What a gRPC client on this machine connects to: host:port, or unix:path."""
        if self.port is None:
            return f"unix:{self.config.grpc_socket_path}"
        return host_port(_LOOPBACK.get(self.config.host, self.config.host), self.port)

    def start(self) -> None:
        """Load every model, wait for those without a version if the config says so, then listen.

        Raises:
            ConfigError: if a config file cannot be used.
            ServingError: if a model has no version that loads, or the port is taken.
        """
        try:
            models, files = _configured_models(self.config), _read_files(self.config)
            load_op_libraries()
            freeze_what_stays()
            self._manager.start(models)
            self._loader.give_way()
            self._listen(files)
        except BaseException as error:
            self._abandon()
            if isinstance(error, Rejection):
                raise ServingError(f"the server does not start: {error.message}") from error
            raise
        _log.info("serving %s at %s", ", ".join(self._manager.model_names()) or "no model", self.address)

    def stop(self) -> bool:
        """Refuse new requests, let those in flight finish, close the models. Safe to call twice.

        Returns:
            False where a request or batch still runs or a model still loads after `drain_seconds`: only the end of the
            process ends that.
        """
        self._stop.set()
        if self._grpc is None:
            if self._closed:
                self._loader.close()  # its threads run from the moment the server is built
            return self._closed
        until = monotonic() + self.config.drain_seconds
        self._loader.give_up()
        self._memory.stop()
        fronts = [front for front in (self._grpc, self._rest) if front is not None]
        stops: list[Callable[[float], None]] = [front.stop for front in fronts]
        if self._watch is not None:
            stops.append(self._watch.stop)  # beside them: it waits for the model that it loads
        stopping = [threading.Thread(target=stop, args=(self.config.drain_seconds,)) for stop in stops]
        for thread in stopping:
            thread.start()
        for thread in stopping:
            thread.join()
        self._grpc = self._rest = self._watch = None
        self._closed = self._manager.close(max(until - monotonic(), 0.0))
        if self._closed:
            self._loader.close()
        return self._closed

    def wait(self) -> bool:
        """Serve until SIGTERM or SIGINT, then stop: what `stop` returns. Call it in the main thread."""
        with _caught_signals() as signalled:
            return self._serve_until(signalled)

    def run(self, started: Callable[[], None]) -> bool:
        """Start, serve until SIGTERM or SIGINT, stop. A signal ends the loading of models, too.

        Call it in the main thread. The errors are those of `start`.

        Args:
            started: called once the server answers.

        Returns:
            False where a model still loads or a request or batch still runs after `drain_seconds`: then only the end of
            the process ends that.
        """
        failures: list[BaseException] = []

        def start() -> None:
            try:
                self.start()
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
                failures.append(error)

        with _caught_signals() as signalled:
            starting = threading.Thread(target=start, name="start", daemon=True)
            starting.start()
            while starting.is_alive() and not signalled:
                starting.join(_SIGNAL_CHECK_SECONDS)
            if signalled:
                _log.info("stopping while models load")
                self._loader.give_up()
                self._manager.give_up()
                starting.join(self.config.drain_seconds)
                return self.stop() and not starting.is_alive()
            if failures:
                raise failures[0]
            started()
            return self._serve_until(signalled)

    def _abandon(self) -> None:
        """End what a start has begun that failed."""
        self._memory.stop()
        for part in (self._grpc, self._rest, self._watch):
            if part is not None:
                part.stop(0)
        self._grpc = self._rest = self._watch = None
        self._manager.close()
        self._loader.close()

    def _serve_until(self, signalled: list[int]) -> bool:
        try:
            # The timeout is needed: a signal that another thread of the process receives wakes no one here.
            while not signalled and not self._stop.wait(_SIGNAL_CHECK_SECONDS):
                pass
        finally:
            closed = self.stop()
        return closed

    def _record(self, call: Call) -> None:
        self._monitoring.record(call)
        if self.config.log_requests:
            log_call(call)

    def _listen(self, files: "_Files") -> None:
        config, record = self.config, self._record
        self._grpc = GrpcFront(config, self._manager, record, files.ssl, files.token, self._monitoring.count)
        self.port = self._grpc.port
        if config.rest_api_port is not None:
            api = RestApi(
                self._manager,
                config.rest_api_timeout_in_ms / 1000 or None,
                config.rest_api_enable_cors_support,
                {files.metrics_path: self._monitoring.page} if files.metrics_path else None,
                files.token,
            )
            self._rest = listen(api, config, record)
            self.rest_port = self._rest.port
        if config.model_config_file is not None and config.model_config_file_poll_wait_seconds:
            seconds = config.model_config_file_poll_wait_seconds
            self._watch = ConfigWatch(config.model_config_file, self._manager, seconds)
        self._memory.start()
        self._grpc.start()


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """SIGTERM and SIGINT are noted in a list, in the main thread, instead of what they do otherwise."""
    signalled: list[int] = []

    def on_signal(number: int, frame: FrameType | None) -> None:
        signalled.append(number)  # no lock: the thread it interrupts may hold any

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield signalled
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(config: ServerConfig) -> Server:
    """Start a server; see `Server.start` for the errors."""
    server = Server(config)
    server.start()
    return server


def _configured_models(config: ServerConfig) -> ModelServerConfig:
    if config.model_config_file is not None:
        return read_model_config(config.model_config_file)
    assert config.model_base_path is not None
    return single_model_config(config.model_name, config.model_base_path)


@dataclass(frozen=True)
class _Files:
    """What the files beside the model config say."""

    metrics_path: str | None
    ssl: SslConfig | None
    token: Token | None


def _read_files(config: ServerConfig) -> _Files:
    monitoring, ssl, token = config.monitoring_config_file, config.ssl_config_file, config.auth_token_file
    return _Files(
        metrics_path=read_metrics_path(monitoring) if monitoring else None,
        ssl=read_ssl_config(ssl) if ssl else None,
        token=read_token(token) if token else None,
    )
