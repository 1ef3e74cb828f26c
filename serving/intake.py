"""What happens to a gRPC call before it is worked on: refused at once, or its request awaited."""

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import grpc

from serving.call_record import OVERLOADED, Call, CallPool, Record

Continuation = Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None]


class Line:
    """Threads that calls wait for. Where threads are wanted, a call that says nothing does not keep one.

    A call holds a thread from when it was opened, so that connections which open calls and say no more would hold
    everybody up.

    Args:
        pool: the threads.
        threads: how many there are.
        patience: seconds that a call may hold a thread that others want while it keeps silent.
    """

    def __init__(self, pool: CallPool, threads: int, patience: float) -> None:
        self.pool = pool
        self._threads = threads
        self._patience = patience
        self._silent: dict[grpc.ServicerContext, float] = {}  # since when, oldest first
        self._look: threading.Timer | None = None
        self._lock = threading.Lock()

    def heard(self, messages: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:
        """The messages of a call; waiting for one is keeping silent."""
        while True:
            try:
                with self._silence(context):
                    message = next(messages)
            except StopIteration:
                return
            yield message

    @contextmanager
    def _silence(self, context: grpc.ServicerContext) -> Iterator[None]:
        with self._lock:
            self._silent[context] = perf_counter()
            self._look_later()
        try:
            yield
        finally:
            with self._lock:
                self._silent.pop(context, None)

    def _look_later(self) -> None:
        """Look twice within the patience, as long as anyone keeps silent."""
        if self._look is None and self._silent:
            look = threading.Timer(self._patience / 2, self._end_silence)
            look.daemon = True
            look.start()
            self._look = look

    def _end_silence(self) -> None:
        """Cancel calls that keep silent, where calls wait for threads or soon will."""
        before = perf_counter() - self._patience
        with self._lock:
            wanted = self.pool.waiting or len(self._silent) >= max(self._threads // 2, 2)
            ended = [context for context, since in self._silent.items() if wanted and since < before]
            for context in ended:
                del self._silent[context]
            self._look = None
            self._look_later()
        for context in ended:
            context.cancel()


class Intake(grpc.ServerInterceptor):
    """Keeps calls from taking what they do not need.

    Where too many wait, gRPC's one thread that accepts calls answers UNAVAILABLE itself and reads nothing of the
    request. Were a refusal to wake a thread and to parse its message, refusing would take the time that answering
    needs, and calls would pile up before that thread, where nothing bounds their wait.

    Args:
        calls: where calls wait.
        beside: the services and methods whose calls wait elsewhere, by name: what is asked of them is answered however
            busy the others are, and holds up none of these.
        record: gets each call refused here; the model it asked for is not known.
    """

    def __init__(self, calls: Line, beside: Mapping[str, Line], record: Record) -> None:
        self._calls = calls
        self._beside = beside
        self._record = record
        self._handlers: dict[str, tuple[grpc.RpcMethodHandler, grpc.RpcMethodHandler]] = {}

    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The handler that answers the call, or the one that refuses it."""
        called = handler_call_details.method.strip("/")
        service, _, method = called.rpartition("/")
        line = self._beside.get(called) or self._beside.get(service, self._calls)
        handlers = self._handlers.get(called)
        if handlers is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            refuse = grpc.stream_unary_rpc_method_handler(_Refusal(method, self._record))
            handlers = self._handlers[called] = (_listening(handler, line), refuse)
        answer, refuse = handlers
        return refuse if line.pool.full else answer


def _listening(handler: grpc.RpcMethodHandler, line: Line) -> grpc.RpcMethodHandler:
    """The handler that answers as `handler` does, in the threads of `line`.

    It takes a stream, and is called before a message has come; on the wire one message is the same as a stream of one.
    """
    if handler.request_streaming:
        respond = _Stream(line, handler.stream_stream)
        return grpc.stream_stream_rpc_method_handler(respond, handler.request_deserializer, handler.response_serializer)
    respond = _OneMessage(line, handler.unary_stream or handler.unary_unary, handler.request_deserializer)
    made = grpc.stream_stream_rpc_method_handler if handler.unary_stream else grpc.stream_unary_rpc_method_handler
    return made(respond, response_serializer=handler.response_serializer)


class _Stream:
    """Answers a stream of messages.

    Attributes:
        experimental_thread_pool: where gRPC runs it (grpc/_server.py, _select_thread_pool_for_behavior).
        experimental_non_blocking: whether it answers by a callback and holds no thread meanwhile (likewise,
            _stream_response_in_pool).
    """

    def __init__(self, line: Line, behavior: Callable[..., Any]) -> None:
        self.experimental_thread_pool = line.pool
        self.experimental_non_blocking = getattr(behavior, "experimental_non_blocking", False)
        self._line = line
        self._behavior = behavior

    def __call__(self, messages: Iterator[Any], context: grpc.ServicerContext, *callback: Any) -> Any:
        return self._behavior(self._line.heard(messages, context), context, *callback)


class _OneMessage(_Stream):
    """Answers a single message, which it parses."""

    def __init__(self, line: Line, behavior: Callable[..., Any], parse: Callable[[bytes], Any]) -> None:
        super().__init__(line, behavior)
        self._parse = parse

    def __call__(self, messages: Iterator[bytes], context: grpc.ServicerContext, *callback: Any) -> Any:
        message = next(self._line.heard(messages, context), None)
        if message is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the call requires exactly one request message")
            raise AssertionError("abort returned")
        try:
            request = self._parse(message)
        except Exception:  # noqa: BLE001 - whatever a parser says; gRPC answers so, too
            context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
        del message  # it may be megabytes
        return self._behavior(request, context, *callback)


class _AtOnce(ThreadPoolExecutor):
    """Runs what it is given in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Refusal:
    experimental_thread_pool = _AtOnce(1)

    def __init__(self, method: str, record: Record) -> None:
        self._method = method
        self._record = record

    def __call__(self, messages: Any, context: grpc.ServicerContext) -> None:
        now = perf_counter()
        call = Call(now, now, finished=now, refused=True)
        call.entrypoint, call.api, call.status = "GRPC", self._method, grpc.StatusCode.UNAVAILABLE.name
        self._record(call)
        context.abort(grpc.StatusCode.UNAVAILABLE, OVERLOADED)
