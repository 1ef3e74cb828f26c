"""HTTP/1.1 on the wire: the head by the standard library's parser, bodies sized, chunked or gzipped, and answers."""

import asyncio
import io
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from http.client import responses
from http.server import BaseHTTPRequestHandler

from serving.call_record import Departure

HEAD_BYTES = 64 << 10
"""The longest head; the standard library's limit on a line is the same."""

_PIECE = 256 << 10
_ORIGIN = re.compile(r"\Ahttps?://[^/?#]*", re.I)
_LINE = re.compile(rb"[^\0\r\n]+")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\0\r\n]*")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?\r\n")


class BadHttpError(Exception):
    """What came is not answered as HTTP; the connection ends after `status` and the text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class HttpRequest:
    """A request, read whole; `target` is path and query, `departure` whether its client has gone."""

    method: str
    target: str
    headers: Message
    body: bytes
    departure: Departure = field(default_factory=Departure)


@dataclass(frozen=True)
class HttpResponse:
    """An answer; Content-Length and Connection are added to its headers."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def encode(self, keep_alive: bool, with_body: bool = True, say_so: bool = False) -> bytes:
        """As sent; the answer to HEAD goes without its body, and one to HTTP/1.0 says that the connection goes on."""
        lines = [f"HTTP/1.1 {self.status} {responses.get(self.status, 'Client Closed Request')}"]
        fields = {"Content-Type": self.content_type, "Content-Length": str(len(self.body)), **self.headers}
        if not keep_alive:
            fields["Connection"] = "close"
        elif say_so:
            fields["Connection"] = "keep-alive"
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (self.body if with_body else b"")


@dataclass(frozen=True)
class Head:
    """A request's first line and headers.

    Attributes:
        target: path and query.
        version: HTTP/1.1, or an older one.
        length: of the body; None where it comes in chunks.
        keep_alive: whether the client wants to go on with this connection.
        expects_continue: whether it waits for a word before it sends the body.
    """

    method: str
    target: str
    version: str
    headers: Message
    length: int | None
    keep_alive: bool
    expects_continue: bool


class _Parser(BaseHTTPRequestHandler):
    """The standard library's parser of heads, without its socket."""

    protocol_version = "HTTP/1.1"

    def __init__(self, head: bytes) -> None:
        self.rfile = io.BytesIO(head)
        self.raw_requestline = self.rfile.readline()
        self.fault = (400, "not an HTTP request")
        self.expects_continue = False
        self.parsed = self.parse_request()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        self.fault = (code, message or self.fault[1])

    def handle_expect_100(self) -> bool:
        self.expects_continue = True
        return True


def parse_head(data: bytes) -> Head:
    """Read a head, up to and with its empty line; an empty line before it is skipped (RFC 9112, 2.2).

    Raises:
        BadHttpError: if it is none, or leaves open where the body ends.
    """
    data = data.removeprefix(b"\r\n")
    parser = _Parser(data)
    if not parser.parsed:
        raise BadHttpError(*parser.fault)
    _check_lines(data)
    encodings, lengths = parser.headers.get_all("Transfer-Encoding", []), parser.headers.get_all("Content-Length", [])
    if encodings and (lengths or len(encodings) > 1):
        raise BadHttpError(400, "received Content-Length or a second Transfer-Encoding beside Transfer-Encoding")
    if encodings and encodings[0].strip().lower() != "chunked":
        raise BadHttpError(501, f"Transfer-Encoding {encodings[0]!r} is not read; chunked is")
    if len(set(lengths)) > 1 or not all(re.fullmatch("[0-9]{1,18}", length.strip()) for length in lengths):
        raise BadHttpError(400, "Content-Length must be one whole number")
    length = None if encodings else int(lengths[0]) if lengths else 0
    target = _ORIGIN.sub("", parser.path) or "/"
    keep_alive = not parser.close_connection
    version = parser.request_version
    return Head(parser.command, target, version, parser.headers, length, keep_alive, parser.expects_continue)


def _check_lines(head: bytes) -> None:
    """Refuse what the standard library's parser skips, or ends its headers at.

    A proxy that reads the rest finds another length of the body, and takes other bytes for the next request
    (RFC 9112, 2.2, 5.1 and 5.2).
    """
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if not _LINE.fullmatch(first) or not all(map(_FIELD.fullmatch, lines)):
        raise BadHttpError(400, "a line of the head is no `name: value`")


async def read_pieces(reader: asyncio.StreamReader, length: int | None) -> AsyncIterator[bytes]:
    """Yield a body as it comes: `length` bytes, or chunks up to the empty one and its trailers.

    Raises:
        BadHttpError: if the chunks are none.
        EOFError: if the client leaves in between.
    """
    if length is not None:
        async for piece in _read_exactly(reader, length):
            yield piece
        return
    while True:
        match = _CHUNK_SIZE.fullmatch(await reader.readuntil(b"\r\n"))
        if match is None:
            raise BadHttpError(400, "expected the size of a chunk in hexadecimal digits")
        size = int(match[1], 16)
        if size == 0:
            break
        async for piece in _read_exactly(reader, size):
            yield piece
        if await reader.readexactly(2) != b"\r\n":
            raise BadHttpError(400, "a chunk is longer than it says")
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass


async def _read_exactly(reader: asyncio.StreamReader, length: int) -> AsyncIterator[bytes]:
    while length > 0:
        piece = await reader.read(min(length, _PIECE))
        if not piece:
            raise EOFError
        length -= len(piece)
        yield piece


def decompress(body: bytes, encoding: str, limit: int) -> bytes:
    """The body without its Content-Encoding.

    Raises:
        BadHttpError: if it is no gzip, or larger than `limit` bytes.
    """
    if encoding.strip().lower() in ("", "identity"):
        return body
    if encoding.strip().lower() not in ("gzip", "x-gzip"):
        raise BadHttpError(415, f"Content-Encoding {encoding!r} is not read; gzip is")
    stream = zlib.decompressobj(wbits=31)
    try:
        plain = stream.decompress(body, limit + 1)
    except zlib.error:
        raise BadHttpError(400, "the body is not gzip, as Content-Encoding says") from None
    if len(plain) > limit:
        raise BadHttpError(413, f"the body exceeds {limit} bytes once decompressed")
    if not stream.eof:
        raise BadHttpError(400, "the gzipped body is incomplete")
    return plain
