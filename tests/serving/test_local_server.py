"""The server as a process: start, health, a taken port, SIGTERM with a request in flight."""

import contextlib
import http.client
import math
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from catalog.errors import ConfigError, TandemError
from serving.client import SearchClient
from serving.errors import DeadlineError, ServerUnavailableError, ServingError
from serving.local_server import Server, ServerConfig, serve
from serving.messages import PredictionServiceStub, PredictRequest
from tests.serving.asking import eventually, outcome

SCRIPT = """
import sys
from pathlib import Path
from serving.local_server import ServerConfig, serve
server = serve(ServerConfig(model_name="scale", model_base_path=Path(sys.argv[1]), port=0))
print(server.address, flush=True)
server.wait()
print("stopped", flush=True)
"""


@pytest.fixture
def process(exported: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SCRIPT, str(exported / "scale")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as started:
        assert started.stdout is not None
        yield started, started.stdout.readline().strip()
        with contextlib.suppress(ProcessLookupError):
            started.kill()


def test_sigterm_lets_requests_in_flight_finish(
    process: tuple[subprocess.Popen[str], str], predict_request: Callable[..., PredictRequest], tmp_path: Path
) -> None:
    server, address = process
    started, until = tmp_path / "started", tmp_path / "until"
    with grpc.insecure_channel(address) as channel, grpc.insecure_channel(address) as another:
        held = predict_request("scale", "held", started=np.array(str(started)), until=np.array(str(until)))
        in_flight = PredictionServiceStub(channel).Predict.future(held, timeout=60)
        eventually(started.exists)
        server.send_signal(signal.SIGTERM)
        nobody = predict_request("nobody")  # NOT_FOUND, as long as anything is answered
        eventually(lambda: outcome(PredictionServiceStub(another), nobody) is grpc.StatusCode.UNAVAILABLE)
        assert not in_flight.done()
        until.touch()
        assert in_flight.result().outputs["looks"].int_val
    assert server.wait(timeout=30) == 0
    assert server.stdout is not None
    assert server.stdout.readline() == "stopped\n"


def test_a_model_that_loads_holds_nobody_up_who_drains(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve(ServerConfig(model_name="scale", model_base_path=exported / "scale", port=0))
    drained, front = threading.Event(), server._grpc
    assert front is not None
    stop = front.stop

    def drain(seconds: float) -> None:
        stop(seconds)
        drained.set()

    monkeypatch.setattr(front, "stop", drain)
    # A watch of the config file stops when what it loads has loaded.
    server._watch = SimpleNamespace(stop=lambda patience: waited.append(drained.wait(patience)))  # type: ignore[assignment]
    waited: list[bool] = []
    server.stop()
    assert waited == [True]


def test_health_and_reflection(shared_server: Server) -> None:
    with grpc.insecure_channel(shared_server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"):
            status = health.Check(health_pb2.HealthCheckRequest(service=service)).status
            assert status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="tensorflow.serving.PredictionService")
        answer = next(iter(reflection.ServerReflectionInfo(iter([asked]))))
        assert answer.WhichOneof("message_response") == "file_descriptor_response"


_OWN_THREADS = ("batch_threads", "large_batch_threads", "model-versions", "memory")


def own_threads(before: list[threading.Thread]) -> list[threading.Thread]:
    """The server's threads that are not among those `before`."""
    return [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith(_OWN_THREADS)]


def test_a_taken_port_is_said_and_shared_with_nobody(shared_server: Server, exported: Path) -> None:
    base, port = exported / "scale", shared_server.port
    before = threading.enumerate()
    with pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{port}"):
        serve(ServerConfig(model_name="scale", model_base_path=base, port=port, enable_batching=True))
    assert own_threads(before) == []


def test_a_server_that_never_started_leaves_no_thread(exported: Path) -> None:
    before = threading.enumerate()
    server = Server(ServerConfig(model_name="scale", model_base_path=exported / "scale", enable_batching=True))
    assert own_threads(before)
    assert server.stop()
    assert own_threads(before) == []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def test_a_start_that_fails_leaves_the_grpc_port_free(exported: Path, tmp_path: Path) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for bad, words in (
            ({"rest_api_port": taken.getsockname()[1]}, "cannot listen on 127.0.0.1"),
            ({"grpc_socket_path": tmp_path / "absent" / "s"}, "absent/s; is its folder there"),
        ):
            config = ServerConfig(model_name="scale", model_base_path=exported / "scale", port=port, **bad)
            with pytest.raises(ServingError, match=words):
                serve(config)
            socket.create_server(("127.0.0.1", port)).close()


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("host", ["::1", "[::1]", "::"])
def test_ipv6_is_listened_on_over_grpc_and_rest(exported: Path, host: str) -> None:
    base = exported / "scale"
    server = serve(
        ServerConfig(model_name="scale", model_base_path=base, host=host, port=0, rest_api_host=host, rest_api_port=0)
    )
    try:
        assert server.address == f"[::1]:{server.port}"
        with grpc.insecure_channel(server.address) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        assert check.status == health_pb2.HealthCheckResponse.SERVING
        connection = http.client.HTTPConnection("::1", server.rest_port, timeout=10)
        connection.request("GET", "/v1/models/scale")
        assert connection.getresponse().status == 200
        connection.close()
    finally:
        server.stop()


def test_why_a_socket_cannot_be_listened_on(exported: Path, tmp_path: Path) -> None:
    config = ServerConfig(
        model_name="scale", model_base_path=exported / "scale", port=None, grpc_socket_path=tmp_path / "absent" / "s"
    )
    with pytest.raises(ServingError, match="absent/s; is its folder there"):
        serve(config)


def test_a_server_without_models_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="does not start: Could not find base path"):
        serve(ServerConfig(model_name="m", model_base_path=tmp_path / "absent", port=0))
    with pytest.raises(TandemError, match="cannot be read"):
        serve(ServerConfig(model_config_file=tmp_path / "absent.config", port=0))


@pytest.mark.parametrize(
    "settings", [{}, {"model_name": "m"}, {"model_config_file": "a", "model_name": "m", "model_base_path": "b"}]
)
def test_models_come_from_one_place(settings: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="either model_config_file, or model_name with model_base_path"):
        ServerConfig(**settings)
    assert issubclass(ConfigError, TandemError)


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("drain_seconds", 1e10),
        ("drain_seconds", math.inf),
        ("file_system_poll_wait_seconds", math.inf),
        ("model_config_file_poll_wait_seconds", math.inf),
    ],
)
def test_a_wait_that_never_ends_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=rf"{name}\n *Input should be (a finite number|less than or equal to 86400)"):
        ServerConfig(model_name="m", model_base_path="b", **{name: seconds})


def test_an_unreachable_server_is_named() -> None:
    with SearchClient("127.0.0.1:1", timeout=5) as client, pytest.raises(ServerUnavailableError, match="tandem serve"):
        client.search("dress")


def test_a_server_that_never_answers_costs_the_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with SearchClient(address, timeout=0.3) as client, pytest.raises((DeadlineError, ServerUnavailableError)):
            client.search("dress")
