"""TLS and mutual TLS from an --ssl_config_file, with certificates made for the test."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.errors import ServingError
from serving.local_server import Server, ServerConfig, serve
from serving.messages import PredictionServiceStub, PredictRequest


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and a server and a client that it vouches for."""
    folder = tmp_path_factory.mktemp("certificates")
    new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(folder, "req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=ca")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    for name in ("server", "client"):
        openssl(folder, "req", *new_key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        by_authority = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *by_authority, "-out", f"{name}.pem")
    return folder


def start(exported: Path, certificates: Path, extra: str = "", key: str = "server.key") -> Server:
    def quoted(name: str) -> str:
        return '"' + (certificates / name).read_text().replace("\n", "\\n") + '"'

    path = certificates / "ssl.config"
    path.write_text(
        f"server_key: {quoted(key)} server_cert: {quoted('server.pem')} " + extra.replace("CA", quoted("ca.pem")),
        encoding="utf-8",
    )
    base = {"model_name": "scale", "model_base_path": exported / "scale", "enable_model_warmup": False}
    return serve(ServerConfig(**base, port=0, ssl_config_file=path))


def ask(address: str, request: PredictRequest, credentials: grpc.ChannelCredentials | None) -> list[float]:
    channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
    with channel:
        return list(PredictionServiceStub(channel).Predict(request, timeout=30).outputs["y"].float_val)


@pytest.fixture
def one(predict_request: Callable[..., PredictRequest]) -> PredictRequest:
    return predict_request("scale", x=np.ones(1, np.float32), text=["a"])


def test_tls_shows_the_server_s_certificate(exported: Path, certificates: Path, one: PredictRequest) -> None:
    server = start(exported, certificates)
    authority = (certificates / "ca.pem").read_bytes()
    try:
        assert ask(server.address, one, grpc.ssl_channel_credentials(authority)) == [3.0]
        for stranger in (None, grpc.ssl_channel_credentials((certificates / "client.pem").read_bytes())):
            with pytest.raises(grpc.RpcError) as error:
                ask(server.address, one, stranger)
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop()


def test_mutual_tls_asks_for_the_client_s(exported: Path, certificates: Path, one: PredictRequest) -> None:
    server = start(exported, certificates, "custom_ca: CA client_verify: true")
    authority, key, certificate = (
        (certificates / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem")
    )
    try:
        assert ask(server.address, one, grpc.ssl_channel_credentials(authority, key, certificate)) == [3.0]
        with pytest.raises(grpc.RpcError) as error:
            ask(server.address, one, grpc.ssl_channel_credentials(authority))
        assert error.value.code() is grpc.StatusCode.UNAVAILABLE
    finally:
        server.stop()


@pytest.mark.parametrize("key", ["client.key", "ca.pem"])
def test_a_key_that_does_not_fit_is_said_at_the_start(exported: Path, certificates: Path, key: str) -> None:
    with pytest.raises(ServingError, match="do key and certificate in ssl_config_file fit together"):
        start(exported, certificates, key=key)
