"""A small HTTP/1.1 server: sockets in one event loop, requests in a bounded number of threads.

A connection takes a thread only once a whole request has come, so that slow and half-open ones hold nothing but a
socket. Each wait has an end; where too many connections are open, one that has not asked anything goes first.
"""

import asyncio
import resource
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from serving.addresses import host_port
from serving.call_record import Departure
from serving.errors import ServingError
from serving.http_messages import (
    HEAD_BYTES,
    BadHttpError,
    Head,
    HttpRequest,
    HttpResponse,
    decompress,
    parse_head,
    read_pieces,
)

_LINGER_SECONDS = 1.0
"""How long what a refused client still sends is read: closing before that would reset the answer away."""


@dataclass(frozen=True)
class HttpLimits:
    """What clients may take.

    Attributes:
        body_bytes: the largest body, also after gzip.
        all_bodies_bytes: all bodies that are being read or worked on.
        connections: open at a time; lowered to half of the files that the process may open.
        idle_seconds: how long the head of a request may take, the wait for it included.
        body_seconds: how long the body may take, and the client in taking the answer.
    """

    body_bytes: int
    all_bodies_bytes: int = 1 << 30
    connections: int = 4096
    idle_seconds: float = 60.0
    body_seconds: float = 60.0


class _Reader(asyncio.StreamReader):
    """What a client sends; the end of it, while a request is worked on, means that the client has gone.

    One that closes only its own direction and still reads looks the same until it is written to, so it counts as gone,
    as it does for nginx.
    """

    _departure: Departure | None = None

    def watch(self, departure: Departure | None) -> None:
        """Tell this one from now on; None for nobody."""
        self._departure = departure
        if departure is not None and self.at_eof():
            departure.leave()

    def feed_eof(self) -> None:
        super().feed_eof()
        self._leave()

    def set_exception(self, exc: Exception) -> None:
        super().set_exception(exc)
        self._leave()

    def _leave(self) -> None:
        if self._departure is not None:
            self._departure.leave()


Handler = Callable[[HttpRequest], HttpResponse]
"""Answers a request, in a thread; raises nothing."""

Refusal = Callable[[int, str], HttpResponse]
"""The answer for what never becomes a request: status and text."""


class HttpServer:
    """Listens once built; `stop` ends it.

    Args:
        handler: answers requests.
        refuse: answers what is none.
        host, port: to listen on; port 0 takes a free one.
        limits: what clients may take.
        pool: the threads that requests are worked on in; shut down by `stop`.

    Attributes:
        port: the port it listens on.

    Raises:
        ServingError: if the port is taken.
    """

    def __init__(
        self, handler: Handler, refuse: Refusal, host: str, port: int, limits: HttpLimits, pool: ThreadPoolExecutor
    ) -> None:
        self._handler = handler
        self._refuse = refuse
        self._limits = limits
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._connections = max(1, min(limits.connections, files // 2))
        self._pool = pool
        self._waiting: dict[asyncio.Task[None], bool] = {}  # for a whole request, oldest first; whether one came before
        self._busy: set[asyncio.Task[None]] = set()
        self._held: dict[asyncio.Task[None], int] = {}  # bytes of bodies
        self._draining = False
        self._loop = asyncio.new_event_loop()
        try:
            listening = self._loop.create_server(self._protocol, host.strip("[]"), port, backlog=1024)
            self._server = self._loop.run_until_complete(listening)
        except OSError as error:
            self._pool.shutdown()
            self._loop.close()
            raise ServingError(
                f"cannot listen on {host_port(host, port)} ({error.strerror}); is that an address of this machine, and "
                "no other server running there?"
            ) from error
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest-sockets", daemon=True)
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Refuse new connections and let requests in flight finish, for `drain_seconds` at most. Safe to call twice."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._drain(drain_seconds), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _drain(self, seconds: float) -> None:
        self._draining = True
        self._server.close()
        for task in self._waiting:
            task.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=seconds)
        left = [*self._waiting, *self._busy]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def _protocol(self) -> asyncio.StreamReaderProtocol:
        reader = _Reader(HEAD_BYTES, self._loop)
        return asyncio.StreamReaderProtocol(reader, self._accept, self._loop)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert isinstance(reader, _Reader)
        if self._draining:  # accepted just before
            writer.close()
            return
        self._waiting[task] = False
        if len(self._waiting) + len(self._busy) > self._connections:
            self._make_room(task)
        try:
            # A client that leaves, is too slow or has to make room is told nothing: nobody would hear it.
            with suppress(OSError, EOFError, TimeoutError, asyncio.CancelledError):
                while await self._exchange(reader, writer, task):
                    self._busy.discard(task)
                    self._waiting[task] = True
        finally:
            self._waiting.pop(task, None)
            self._busy.discard(task)
            writer.close()

    def _make_room(self, newest: asyncio.Task[None]) -> None:
        others = [task for task in self._waiting if task is not newest]
        fresh = (task for task in others if not self._waiting[task])
        next(fresh, others[0] if others else newest).cancel()

    async def _exchange(self, reader: _Reader, writer: asyncio.StreamWriter, task: asyncio.Task[None]) -> bool:
        """Read one request and answer it; whether the connection goes on."""
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                head = parse_head(await reader.readuntil(b"\r\n\r\n"))
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._read_body(reader, writer, head, task)
            self._waiting.pop(task)
            self._busy.add(task)
            request = HttpRequest(head.method, head.target, head.headers, body)
            reader.watch(request.departure)
            response = await self._loop.run_in_executor(self._pool, self._answer, request)
        except asyncio.LimitOverrunError:
            return await self._turn_away(reader, writer, 431, f"a line or the head exceeds {HEAD_BYTES} bytes")
        except BadHttpError as error:
            return await self._turn_away(reader, writer, error.status, str(error))
        finally:
            reader.watch(None)
            self._held.pop(task, None)
        keep_alive = head.keep_alive and not self._draining
        writer.write(response.encode(keep_alive, head.method != "HEAD", say_so=head.version == "HTTP/1.0"))
        async with asyncio.timeout(self._limits.body_seconds):
            await writer.drain()
        return keep_alive

    async def _read_body(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Head, task: asyncio.Task[None]
    ) -> bytes:
        limits = self._limits
        too_large = BadHttpError(413, f"the body exceeds {limits.body_bytes} bytes")
        if head.length is not None and head.length > limits.body_bytes:
            raise too_large
        if head.expects_continue:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces = []
        self._held[task] = 0
        async for piece in read_pieces(reader, head.length):
            pieces.append(piece)
            self._held[task] += len(piece)
            if self._held[task] > limits.body_bytes:
                raise too_large
            if sum(self._held.values()) > limits.all_bodies_bytes:
                raise BadHttpError(503, "too many large requests at a time; try again later")
        return b"".join(pieces)

    def _answer(self, request: HttpRequest) -> HttpResponse:
        if request.departure.gone:
            return self._refuse(499, "the client has gone")
        encoding = request.headers.get("Content-Encoding", "")
        try:
            body = decompress(request.body, encoding, self._limits.body_bytes)
        except BadHttpError as error:
            return self._refuse(error.status, str(error))
        return self._handler(replace(request, body=body))

    async def _turn_away(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int, message: str
    ) -> bool:
        writer.write(self._refuse(status, message).encode(keep_alive=False))
        with suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                await writer.drain()
                writer.write_eof()
                while await reader.read(HEAD_BYTES):
                    pass
        return False
