"""HTTP as clients send it: whole, in chunks, gzipped, half, too much, and never."""

import gzip
import http.client
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from serving.errors import ServingError
from serving.http_messages import HttpRequest, HttpResponse
from serving.http_server import HttpLimits, HttpServer

LIMIT = 100_000
Start = Callable[..., HttpServer]


def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, f"{request.method} {request.target} {len(request.body)}".encode(), "text/plain")


def refuse(status: int, message: str) -> HttpResponse:
    return HttpResponse(status, json.dumps({"error": message}).encode())


@pytest.fixture
def start() -> Iterator[Start]:
    servers = []

    def run(handler: Callable[[HttpRequest], HttpResponse] = echo, **limits: float) -> HttpServer:
        settings = HttpLimits(**{"body_bytes": LIMIT, **limits})  # type: ignore[arg-type]
        servers.append(HttpServer(handler, refuse, "127.0.0.1", 0, settings, ThreadPoolExecutor(2)))
        return servers[-1]

    yield run
    for server in servers:
        server.stop(0)


def send(port: int, data: bytes) -> bytes:
    """Everything that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(data)
        received = b""
        while piece := connection.recv(1 << 16):
            received += piece
    return received


def post(port: int, headers: str, body: bytes = b"") -> bytes:
    return send(port, f"POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n".encode() + body)


def test_a_connection_serves_request_after_request(start: Start) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", start().port, timeout=30)
    for size in (0, 5, LIMIT):
        connection.request("POST", "/v1?a=b", b"x" * size)
        local = connection.sock.getsockname()
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, f"POST /v1?a=b {size}".encode())
        assert connection.sock.getsockname() == local
    connection.request("HEAD", "/v1")
    response = connection.getresponse()
    assert (response.headers["Content-Length"], response.read()) == ("10", b"")
    connection.close()


def test_an_http_1_0_client_is_told_that_its_connection_goes_on(start: Start) -> None:
    with socket.create_connection(("127.0.0.1", start().port), timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            assert b"\r\nConnection: keep-alive\r\n" in connection.recv(1000)
        connection.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        assert b"Connection" not in connection.recv(1000)
        connection.sendall(b"GET /a HTTP/1.0\r\n\r\n")
        assert b"\r\nConnection: close\r\n" in connection.recv(1000)


@pytest.mark.parametrize(
    ("target", "path"),
    [("http://h:1/v1/models/x?a=b", "/v1/models/x?a=b"), ("HTTPS://h", "/"), ("/http://h/x", "/http://h/x")],
)
def test_a_target_that_names_the_host_is_read_by_its_path(start: Start, target: str, path: str) -> None:
    assert send(start().port, f"GET {target} HTTP/1.0\r\n\r\n".encode()).endswith(f"GET {path} 0".encode())


def test_an_empty_line_before_a_request_is_skipped(start: Start) -> None:
    request = b"POST /x HTTP/1.1\r\nContent-Length: 2\r\n\r\nab"
    with socket.create_connection(("127.0.0.1", start().port), timeout=30) as connection:
        for _ in range(2):
            connection.sendall(b"\r\n" + request)
            assert connection.recv(1000).endswith(b"POST /x 2")


def test_requests_sent_at_once_are_all_answered(start: Start) -> None:
    """As long as the client keeps its sending side open: one that closes it looks like one that has gone."""
    requests = b"GET /a HTTP/1.1\r\n\r\n" * 2 + b"GET /b HTTP/1.1\r\nConnection: close\r\n\r\n"
    received = send(start().port, requests)
    assert (received.count(b"GET /a 0"), received.count(b"GET /b 0")) == (2, 1)


def test_bodies_in_chunks_and_gzipped(start: Start) -> None:
    port = start().port
    chunks = b"5;name=value\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n"
    assert post(port, "Transfer-Encoding: chunked\r\n", chunks).endswith(b"POST /x 15")
    body = gzip.compress(b"a" * 1000)
    assert post(port, f"Content-Encoding: gzip\r\nContent-Length: {len(body)}\r\n", body).endswith(b"POST /x 1000")


def test_a_client_that_waits_for_a_word_before_it_sends_its_body(start: Start) -> None:
    with socket.create_connection(("127.0.0.1", start().port), timeout=30) as connection:
        connection.sendall(b"POST /x HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"ab")
        assert connection.recv(1000).endswith(b"POST /x 2")


BOMB = gzip.compress(b"\0" * (LIMIT + 1))


@pytest.mark.parametrize(
    ("headers", "body", "status", "message"),
    [
        (f"Content-Length: {LIMIT + 1}\r\n", b"", 413, "the body exceeds 100000 bytes"),
        ("Transfer-Encoding: chunked\r\n", b"FFFFF\r\n" + b"x" * 0xFFFFF, 413, "the body exceeds"),
        (f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB)}\r\n", BOMB, 413, "once decompressed"),
        ("Content-Encoding: gzip\r\nContent-Length: 2\r\n", b"ab", 400, "not gzip"),
        (f"Content-Encoding: gzip\r\nContent-Length: {len(BOMB) - 9}\r\n", BOMB[:-9], 413, "once decompressed"),
        ("Content-Encoding: br\r\nContent-Length: 2\r\n", b"ab", 415, "Content-Encoding 'br' is not read"),
        ("Content-Length: two\r\n", b"ab", 400, "Content-Length must be one whole number"),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", b"ab", 400, "Content-Length must be one whole number"),
        ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n", 400, "beside Transfer-Encoding"),
        ("Transfer-Encoding: deflate\r\n", b"", 501, "Transfer-Encoding 'deflate' is not read"),
        ("Transfer-Encoding: chunked\r\n", b"zz\r\n", 400, "the size of a chunk"),
        ("Transfer-Encoding: chunked\r\n", b"1\r\nabc\r\n", 400, "longer than it says"),
        (f"X: {'x' * 70_000}\r\n", b"", 431, "the head exceeds"),
        # Read without the lines that are none, each of these has no body, and "ab" begins the next request.
        ("Content-Length : 2\r\n", b"ab", 400, "no `name: value`"),
        ("X\r\nContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        (": x\r\nContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        ("From x\r\nContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        ("X: a\rContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        ("X: a\nContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        ("X: a\n\nContent-Length: 2\r\n", b"ab", 400, "no `name: value`"),
        ("X: a\r\n b\r\n", b"", 400, "no `name: value`"),
        ("X: a\0b\r\n", b"", 400, "no `name: value`"),
    ],
)
def test_what_is_refused(start: Start, headers: str, body: bytes, status: int, message: str) -> None:
    answer = post(start().port, headers, body)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert message in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]


@pytest.mark.parametrize("line", [b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_no_http(start: Start, line: bytes) -> None:
    assert send(start().port, line)[9:12] in (b"400", b"505")


def test_too_many_bytes_at_a_time_are_refused_and_given_back(start: Start) -> None:
    server = start(all_bodies_bytes=LIMIT // 2)
    for _ in range(3):
        assert post(server.port, f"Content-Length: {LIMIT}\r\n", b"x" * LIMIT).startswith(b"HTTP/1.1 503")
        assert post(server.port, "Content-Length: 5\r\n", b"hello").endswith(b"POST /x 5")


def test_half_open_connections_cost_others_nothing(start: Start) -> None:
    """Ten times more clients than may connect send half a head or half a body; every whole request is answered."""
    server = start(connections=20)
    with ExitStack() as stack:
        for number in range(200):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            half = b"GET /half HTTP/1.1\r\n", b"POST /half HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf"
            connection.sendall(half[number % 2])
            if number % 20 == 0:
                assert post(server.port, "Content-Length: 5\r\n", b"hello").endswith(b"POST /x 5")
        server.stop(3600)  # waits for none of them


def test_who_sends_half_a_body_or_nothing_is_let_go(start: Start) -> None:
    port = start(idle_seconds=0.05, body_seconds=0.05).port
    assert send(port, b"") == b""
    assert send(port, b"POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhe") == b""


def test_stopping_lets_the_request_in_flight_finish_and_takes_no_other(start: Start) -> None:
    entered, let_go = threading.Event(), threading.Event()

    def wait(request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            entered.set()
            let_go.wait(timeout=30)
        return echo(request)

    server = start(wait)
    answers: list[bytes] = []
    asking = threading.Thread(target=lambda: answers.append(post(server.port, "")))
    asking.start()
    assert entered.wait(timeout=30)
    idle = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    idle.sendall(b"GET /a HTTP/1.1\r\n\r\nGET")
    assert idle.recv(1000).endswith(b"GET /a 0")
    stopping = threading.Thread(target=server.stop, args=(30,))
    stopping.start()
    assert idle.recv(1) == b"", "an idle connection is closed at once"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", server.port), timeout=30)
    let_go.set()
    stopping.join(timeout=30)
    asking.join(timeout=30)
    assert answers[0].endswith(b"POST /x 0")


@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_is_noticed_while_its_request_is_worked_on(start: Start, reset: bool) -> None:
    entered, left, handled = threading.Event(), threading.Event(), threading.Event()

    def wait(request: HttpRequest) -> HttpResponse:
        request.departure.tell(left.set)
        entered.set()
        assert left.wait(timeout=30)
        handled.set()
        return echo(request)

    port = start(wait).port
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        assert entered.wait(timeout=30)
    assert handled.wait(timeout=30)


def test_the_request_of_a_client_that_left_while_it_waited_is_not_worked_on() -> None:
    busy, let_go, left, noticed = (threading.Event() for _ in range(4))
    handled: list[str] = []

    class Pool(ThreadPoolExecutor):
        def submit(self, work: Any, request: HttpRequest) -> Any:
            if request.target == "/leaves":
                request.departure.tell(left.set)
            return super().submit(work, request)

    def wait(request: HttpRequest) -> HttpResponse:
        handled.append(request.target)
        busy.set()
        assert let_go.wait(timeout=30)
        return echo(request)

    def refused(status: int, message: str) -> HttpResponse:
        if status == 499:
            noticed.set()
        return refuse(status, message)

    server = HttpServer(wait, refused, "127.0.0.1", 0, HttpLimits(LIMIT), Pool(1))
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as stays:
            stays.sendall(b"GET /stays HTTP/1.1\r\n\r\n")
            assert busy.wait(timeout=30)
            with socket.create_connection(("127.0.0.1", server.port), timeout=30) as leaves:
                leaves.sendall(b"GET /leaves HTTP/1.1\r\n\r\n")
            assert left.wait(timeout=30)
            let_go.set()
            assert stays.recv(1000).endswith(b"GET /stays 0")
            assert noticed.wait(timeout=30)
    finally:
        server.stop(0)
    assert handled == ["/stays"]


def test_a_taken_port_is_said(start: Start) -> None:
    port = start().port
    with pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{port}"):
        HttpServer(echo, refuse, "127.0.0.1", port, HttpLimits(LIMIT), ThreadPoolExecutor(1))
