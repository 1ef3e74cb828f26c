"""The gRPC side of the embedded server: services, health, reflection, and what it listens on."""

import re
from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from catalog.errors import ConfigError
from serving.addresses import host_port
from serving.auth import Token
from serving.call_record import CallPool, Record
from serving.errors import ServingError
from serving.health_service import HealthService
from serving.intake import Intake, Line
from serving.manager import ModelManager
from serving.messages import (
    MODEL_SERVICE,
    PREDICTION_SERVICE,
    add_ModelServiceServicer_to_server,
    add_PredictionServiceServicer_to_server,
)
from serving.model_service import ModelService
from serving.prediction_service import PredictionService
from serving.server_config import ServerConfig
from serving.server_files import SslConfig

_HEALTHY = ("", PREDICTION_SERVICE, MODEL_SERVICE, "PredictionService", "ModelService")
"""What the health check answers for: by full name, and by the short one that TF Serving registers."""


_MAX_PENDING = 10_000
"""Calls that may wait for the thread that accepts them. From 1,000 on, unless told otherwise, gRPC cancels some, which
tells a client nothing; once accepted, those that are too many are refused with UNAVAILABLE."""

_PATIENCE = 3.0
"""Seconds that a call may hold a thread that others want while its request has not come: time for some megabytes."""

_BESIDE = {
    health.SERVICE_NAME: (16, 0.5),
    reflection.SERVICE_NAME: (2, 3.0),
    f"{MODEL_SERVICE}/HandleReloadConfigRequest": (4, 3.0),
}
"""Services and methods with threads of their own: how many, and the patience. A health check is a few bytes that come
at once, and whoever asks expects the answer within a second or so; over reflection a person's tool talks, with pauses;
a new config waits for its models, and for the config before it."""

_BESIDE_WAITING = 64
"""Calls that may wait for a thread of those."""


class GrpcFront:
    """PredictionService and ModelService on a TCP port, a Unix socket or both.

    Args:
        config: where to listen, and how.
        manager: the models to answer from.
        record: gets each finished call.
        ssl: the certificates of TLS; None for none.
        token: what HandleReloadConfigRequest asks for.
        count: what the counter of a name has counted.

    Attributes:
        port: the port it listens on; None where it listens on a socket alone.

    Raises:
        ConfigError: if a setting is no gRPC server's.
        ServingError: if it cannot listen.
    """

    def __init__(
        self,
        config: ServerConfig,
        manager: ModelManager,
        record: Record,
        ssl: SslConfig | None = None,
        token: Token | None = None,
        count: Callable[[str], int] = lambda name: 0,
    ) -> None:
        self._health = HealthService(_HEALTHY)
        threads = config.threads(config.grpc_threads)
        pool = CallPool(threads, "grpc", record, config.queue_length(threads))
        beside = {
            service: Line(CallPool(few, "grpc-beside", record, _BESIDE_WAITING), few, patience)
            for service, (few, patience) in _BESIDE.items()
        }
        self._server = grpc.server(
            pool,
            interceptors=[Intake(Line(pool, threads, _PATIENCE), beside, record)],
            options=[
                ("grpc.max_receive_message_length", config.max_message_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.server.max_pending_requests", _MAX_PENDING),
                ("grpc.server.max_pending_requests_hard_limit", 2 * _MAX_PENDING),
                ("grpc.so_reuseport", 0),  # or a second server on the port would silently share its requests
                *channel_arguments(config.grpc_channel_arguments),
            ],
        )
        prediction = PredictionService(manager, config.enable_serialization_as_tensor_content)
        add_PredictionServiceServicer_to_server(prediction, self._server)
        add_ModelServiceServicer_to_server(ModelService(manager, token, count), self._server)
        names = [PREDICTION_SERVICE, MODEL_SERVICE, reflection.SERVICE_NAME]
        if config.enable_grpc_healthcheck_service:
            health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
            names.append(health.SERVICE_NAME)
        reflection.enable_server_reflection(names, self._server)
        self._credentials = None if ssl is None else _credentials(ssl)
        self._started = False
        try:
            self.port = None if config.port is None else self._bind(host_port(config.host, config.port))
            if config.grpc_socket_path is not None:
                self._bind(f"unix:{config.grpc_socket_path}")
        except BaseException:
            self.stop(0)
            raise

    def start(self) -> None:
        """Answer requests."""
        self._started = True
        self._server.start()

    def stop(self, drain_seconds: float) -> None:
        """Refuse new requests and let those in flight finish, for `drain_seconds` at most. It need not have started.

        Whoever watches the health is told, and not waited for.
        """
        if not self._started:
            self.start()  # gRPC stops, and lets go of its ports, only what has been started
        stopped = self._server.stop(drain_seconds)
        self._health.leave()
        stopped.wait()

    def _bind(self, address: str) -> int:
        try:
            if self._credentials is None:
                return int(self._server.add_insecure_port(address))
            return int(self._server.add_secure_port(address, self._credentials))
        except RuntimeError as error:
            cause = "is that an address of this machine, and no other server running there?"
            if address.startswith("unix:"):
                cause = "is its folder there, and is it at most 107 bytes long?"
            if self._credentials is not None:
                cause = f"do key and certificate in ssl_config_file fit together? If so, {cause}"
            raise ServingError(f"cannot listen on {address}; {cause}") from error


def _credentials(ssl: SslConfig) -> grpc.ServerCredentials:
    pair = (ssl.key.encode(), ssl.certificate.encode())
    authority = ssl.authority.encode() or None
    return grpc.ssl_server_credentials([pair], root_certificates=authority, require_client_auth=ssl.verify_client)


def channel_arguments(text: str) -> list[tuple[str, int | str]]:
    """Read --grpc_channel_arguments: name=value separated by commas; a whole number of 32 bits is passed as one.

    Raises:
        ConfigError: for a part that is not name=value.
    """
    arguments: list[tuple[str, int | str]] = []
    for part in filter(None, text.split(",")):
        name, equals, value = part.strip().partition("=")
        if not (name and equals):
            raise ConfigError(f"grpc_channel_arguments: received {part!r}, expected name=value, separated by commas")
        is_number = re.fullmatch(r"\s*[+-]?[0-9]{1,20}", value) and -(1 << 31) <= int(value) < 1 << 31
        arguments.append((name, int(value) if is_number else value))
    return arguments
