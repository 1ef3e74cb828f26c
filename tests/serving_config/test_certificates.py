"""make_certificates.sh: its ssl.config starts a TLS server as TF Serving reads it, and only its clients get in."""

import os
import subprocess
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from serving_protos import MESSAGES

from serving.health import main

SCRIPT = Path(__file__).parents[2] / "serving_config" / "make_certificates.sh"


def make(folder: Path, *hosts: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(SCRIPT), str(folder), *hosts], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls") / "certificates"
    result = make(folder, "localhost", "127.0.0.1")
    assert result.returncode == 0, result.stderr
    return folder


def start(config: Message) -> tuple[grpc.Server, int]:
    """A server with the credentials that server.cc makes of an SSLConfig."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    pair = (config.server_key.encode(), config.server_cert.encode())
    credentials = grpc.ssl_server_credentials([pair], config.custom_ca.encode(), config.client_verify)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    return server, port


@pytest.fixture(scope="module")
def port(certificates: Path) -> Iterator[int]:
    text = (certificates / "ssl.config").read_text(encoding="utf-8")
    server, port = start(text_format.Parse(text, MESSAGES["SSLConfig"]()))
    yield port
    server.stop(None)


def flags(folder: Path, *names: str) -> list[str]:
    files = {"ca": "ca.crt", "cert": "client.crt", "key": "client.key"}
    return [part for name in names for part in (f"--{name}", str(folder / files[name]))]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_client_of_the_ca_is_served_under_every_name(certificates: Path, port: int, host: str) -> None:
    main([f"{host}:{port}", *flags(certificates, "ca", "cert", "key")])


def test_a_client_without_certificate_is_not(certificates: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main([f"127.0.0.1:{port}", *flags(certificates, "ca")])
    assert end.value.code == 1
    assert "UNAVAILABLE" in capsys.readouterr().err


def test_a_client_of_another_ca_is_not(certificates: Path, port: int, tmp_path: Path) -> None:
    assert make(tmp_path / "other", "localhost").returncode == 0
    with pytest.raises(SystemExit) as end:
        main([f"127.0.0.1:{port}", *flags(certificates, "ca"), *flags(tmp_path / "other", "cert", "key")])
    assert end.value.code == 1


def test_a_plain_client_is_not(port: int) -> None:
    with pytest.raises(SystemExit) as end:
        main([f"127.0.0.1:{port}"])
    assert end.value.code == 1


def test_keys_are_readable_by_their_owner_alone(certificates: Path) -> None:
    assert certificates.stat().st_mode & 0o077 == 0
    for name in ("ca.key", "server.key", "client.key", "ssl.config"):
        assert (certificates / name).stat().st_mode & 0o077 == 0, name


def test_a_folder_is_not_overwritten_and_arguments_are_asked_for(certificates: Path, tmp_path: Path) -> None:
    before = (certificates / "ca.crt").read_bytes()
    again = make(certificates, "localhost")
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert (certificates / "ca.crt").read_bytes() == before
    usage = make(tmp_path / "new")
    assert (usage.returncode, (tmp_path / "new").exists()) == (2, False)
    assert os.access(SCRIPT, os.X_OK)
