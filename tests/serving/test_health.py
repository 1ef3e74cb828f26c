"""The health check of containers, against the embedded server."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from serving.health import main
from serving.local_server import Server


def test_a_server_is_healthy(shared_server: Server) -> None:
    main([shared_server.address])


def test_nobody_at_the_address_is_a_sentence_and_exit_code_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["127.0.0.1:1", "--timeout", "5"])
    assert end.value.code == 1
    assert capsys.readouterr().err.startswith("127.0.0.1:1: UNAVAILABLE")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_proxy_is_not_asked_for_a_server_on_the_same_machine(
    shared_server: Server, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        main([shared_server.address.replace("127.0.0.1", host)])


@pytest.fixture
def leaving() -> Iterator[str]:
    """The address of a server that answers, but serves no more."""
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    server = grpc.server(futures.ThreadPoolExecutor(1))
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


def test_a_server_that_serves_no_more_is_not_healthy(leaving: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([leaving])
    assert "the server says NOT_SERVING" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--cert", "client.crt"], "go together"),
        (["--ca", "absent.crt"], "absent.crt: cannot be read"),
    ],
)
def test_unusable_tls_files_are_a_sentence(
    flags: list[str], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=reason):
        main(["127.0.0.1:8500", *flags])


def test_it_imports_no_tensorflow() -> None:
    program = "import sys, serving.health; print(sorted({'tensorflow', 'numpy', 'pydantic'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
