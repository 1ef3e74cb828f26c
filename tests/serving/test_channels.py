"""Connections: TLS, several servers, and what is sent along with a request."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import grpc
import pytest

from catalog.errors import ConfigError
from serving import channels
from serving.async_client import AsyncSearchClient
from serving.client import ClientConfig, SearchClient, Tls
from serving.errors import BadRequestError, ServerUnavailableError, ServingError
from tests.serving.scripted import ScriptedServer, answer, fails

Connect = Callable[..., SearchClient]
Scripts = Callable[..., ScriptedServer]

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """server.pem, client.pem and stranger.pem, each signed by itself, with their keys."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("server", "client", "stranger"):
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} "
            f"-addext subjectAltName=DNS:tandem.example -keyout {name}.key -out {name}.pem".split(),
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return folder


def server_credentials(folder: Path, mutual: bool) -> grpc.ServerCredentials:
    pair = ((folder / "server.key").read_bytes(), (folder / "server.pem").read_bytes())
    roots = (folder / "client.pem").read_bytes() if mutual else None
    return grpc.ssl_server_credentials([pair], roots, require_client_auth=mutual)


def test_a_server_is_known_by_its_certificate(connect: Connect, scripted: Scripts, certificates: Path) -> None:
    server = scripted(server_credentials(certificates, mutual=False), search=[answer])
    for pem in (
        certificates / "server.pem",
        str(certificates / "server.pem"),
        (certificates / "server.pem").read_bytes(),
    ):
        client = connect(server.address, tls=Tls(pem, server_name="tandem.example"))
        assert client.search("dress").hits[0].product_id == "dress"
    for tls in (
        Tls(certificates / "stranger.pem", server_name="tandem.example"),
        Tls(certificates / "server.pem"),
        None,
    ):
        with pytest.raises(ServerUnavailableError):
            connect(server.address, tls=tls, attempts=1).search("dress")
    assert server.predicted("search") == 3


def test_a_client_is_known_by_its_certificate(connect: Connect, scripted: Scripts, certificates: Path) -> None:
    server = scripted(server_credentials(certificates, mutual=True), search=[answer])

    def tls(name: str) -> Tls:
        key, chain = certificates / f"{name}.key", certificates / f"{name}.pem"
        return Tls(certificates / "server.pem", key, chain, "tandem.example")

    assert len(connect(server.address, tls=tls("client")).search("dress")) == 1
    for refused in (tls("stranger"), Tls(certificates / "server.pem", server_name="tandem.example")):
        with pytest.raises(ServerUnavailableError):
            connect(server.address, tls=refused, attempts=1).search("dress")
    assert server.predicted("search") == 1


@pytest.mark.parametrize("client", [SearchClient, AsyncSearchClient])
def test_a_certificate_that_is_not_there_is_named(client: type, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tls root_certificates: received .*none\.pem, which cannot be read"):
        client(config=ClientConfig(tls=Tls(tmp_path / "none.pem")))


def test_several_servers_take_turns_and_one_that_is_gone_is_passed_over(connect: Connect, scripted: Scripts) -> None:
    servers = [scripted(search=[answer]) for _ in range(2)]
    client = connect(tuple(server.address for server in servers))
    for _ in range(1000):
        client.search("dress")
        if all(server.predicted("search") for server in servers):
            break
    assert all(server.predicted("search") for server in servers)
    servers[0].server.stop(None).wait()
    asked = servers[1].predicted("search")
    for _ in range(10):
        assert len(client.search("dress")) == 1
    assert servers[1].predicted("search") == asked + 10


def test_a_name_is_resolved(connect: Connect, scripted: Scripts) -> None:
    port = scripted(search=[answer]).address.rpartition(":")[2]
    assert len(connect(f"dns:///localhost:{port}").search("dress")) == 1


def test_metadata_and_token_are_sent_with_every_request(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[answer])
    tokens = iter(["first", "second"])
    config = {"metadata": {"shop": "a", "lane": "b"}, "bearer_token": lambda: next(tokens)}
    client = connect(server.address, **config)
    client.search("dress", metadata={"lane": "c"}, traceparent=TRACE)
    sent = server.metadata
    assert (sent["shop"], sent["lane"], sent["authorization"]) == ("a", "c", "Bearer first")
    assert sent["traceparent"] == TRACE
    client.search("dress")
    assert (server.metadata["lane"], server.metadata["authorization"]) == ("b", "Bearer second")
    assert "traceparent" not in server.metadata
    secret = connect(server.address, bearer_token="hidden")
    secret.search("dress")
    assert server.metadata["authorization"] == "Bearer hidden"
    assert "hidden" not in repr(secret.config)


def test_a_trace_that_is_none_is_left_out_and_metadata_that_is_none_refused(
    connect: Connect, scripted: Scripts
) -> None:
    server = scripted(search=[answer])
    client = connect(server.address)
    for wrong in ("", "00-0-0-01", TRACE.upper(), TRACE.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32), "a\nb"):
        client.search("dress", traceparent=wrong)
        assert "traceparent" not in server.metadata
    with pytest.raises(BadRequestError, match="metadata: received the key 'Upper'"):
        client.search("dress", metadata={"Upper": "x"})
    with pytest.raises(BadRequestError, match="not printable ASCII"):
        client.search("dress", metadata={"shop": "a\nb"})


@pytest.mark.parametrize("metadata", [["shop"], "shop", {"shop": 1}])
def test_metadata_and_trace_of_another_type_are_named(connect: Connect, metadata: object) -> None:
    client = connect("127.0.0.1:1")
    with pytest.raises(BadRequestError, match="metadata"):
        client.search("dress", metadata=metadata)
    for trace in (TRACE.encode(), 7):
        with pytest.raises(BadRequestError, match=r"traceparent: received .*; expected text"):
            client.search("dress", traceparent=trace)


def test_a_function_gives_a_token_that_can_be_sent(connect: Connect, scripted: Scripts) -> None:
    server = scripted(search=[answer])
    connect(server.address, bearer_token=lambda: "read from a file\n").search("dress")
    assert server.metadata["authorization"] == "Bearer read from a file"
    for wrong in (None, b"hush", "", "hush\nhush", "hush "):
        with pytest.raises(ServingError, match="bearer_token, from its function: received") as error:
            connect(server.address, bearer_token=lambda wrong=wrong: wrong).search("dress")
        assert "hush" not in str(error.value)


def test_a_proxy_is_not_asked_for_servers_on_the_same_machine(
    connect: Connect, scripted: Scripts, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted(search=[answer])
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        for host in ("127.0.0.1", "localhost"):
            client = connect(server.address.replace("127.0.0.1", host), timeout=10)
            assert len(client.search("dress")) == 1
    assert ("grpc.enable_http_proxy", 0) not in channels.channel_options(ClientConfig(address="shop:8500"))


def test_a_token_that_is_refused_is_named(connect: Connect, scripted: Scripts) -> None:
    client = connect(scripted(search=[fails(grpc.StatusCode.UNAUTHENTICATED)]).address)
    with pytest.raises(ServingError, match="check its token and certificates"):
        client.search("dress")


@pytest.fixture
def span(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """OpenTelemetry's two functions that a client calls, over a span context that the test sets."""
    context = SimpleNamespace(is_valid=True)
    package, trace, propagate = (ModuleType(f"opentelemetry{name}") for name in ("", ".trace", ".propagate"))
    trace.get_current_span = lambda: SimpleNamespace(get_span_context=lambda: context)  # type: ignore[attr-defined]
    propagate.inject = lambda carrier: carrier.update(traceparent=OTHER, tracestate="a=b")  # type: ignore[attr-defined]
    package.trace, package.propagate = trace, propagate  # type: ignore[attr-defined]
    for module in (package, trace, propagate):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    channels._opentelemetry.cache_clear()
    yield context
    channels._opentelemetry.cache_clear()


def test_the_current_span_is_the_trace_unless_one_is_given(
    connect: Connect, scripted: Scripts, span: SimpleNamespace
) -> None:
    server = scripted(search=[answer])
    client = connect(server.address)
    client.search("dress")
    assert (server.metadata["traceparent"], server.metadata["tracestate"]) == (OTHER, "a=b")
    client.search("dress", traceparent=TRACE)
    assert server.metadata["traceparent"] == TRACE
    assert "tracestate" not in server.metadata  # it belongs to the other trace
    span.is_valid = False
    client.search("dress")
    assert "traceparent" not in server.metadata
