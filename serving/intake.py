"""What happens to a call of PredictionService before it is worked on: refused at once, or its request awaited."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from time import perf_counter
from typing import Any

import grpc

from serving.call_record import OVERLOADED, Call, CallPool, Record
from serving.messages import PREDICTION_SERVICE

_SILENT_SECONDS = 3.0
"""How long a call may hold a thread that others want while its request has not come: time for some megabytes."""

Continuation = Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None]


class Intake(grpc.ServerInterceptor):
    """Keeps calls from taking what they do not need; health checks and ModelService pass untouched.

    Where too many wait, gRPC's one thread that accepts calls answers UNAVAILABLE itself and reads nothing of the
    request. Were a refusal to wake a thread and to parse its message, refusing would take the time that answering
    needs, and calls would pile up before that thread, where nothing bounds their wait.

    A call holds a thread from when it was opened. Where threads are wanted, one whose request does not come is ended,
    so that connections which open calls and say no more hold nobody up.

    Args:
        pool: the threads that calls wait for.
        threads: how many there are.
        record: gets each call refused here; the model it asked for is not known.
    """

    def __init__(self, pool: CallPool, threads: int, record: Record) -> None:
        self._pool = pool
        self._threads = threads
        self._record = record
        self._handlers: dict[str, tuple[grpc.RpcMethodHandler, grpc.RpcMethodHandler]] = {}
        self._silent: dict[grpc.ServicerContext, float] = {}  # since when, oldest first
        self._lock = threading.Lock()

    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The handler that answers the call, or the one that refuses it."""
        service, _, method = handler_call_details.method.strip("/").rpartition("/")
        if service != PREDICTION_SERVICE:
            return continuation(handler_call_details)
        handlers = self._handlers.get(method)
        if handlers is None:
            handler = continuation(handler_call_details)
            if handler is None:
                return None
            handlers = self._handlers[method] = self._made(method, handler)
        self._end_silence()
        answer, refuse = handlers
        return refuse if self._pool.full else answer

    def _made(self, method: str, handler: grpc.RpcMethodHandler) -> tuple[grpc.RpcMethodHandler, grpc.RpcMethodHandler]:
        # Handlers that take a stream are called before a message has come; on the wire one message is the same.
        answer = partial(self._answer, handler.unary_unary, handler.request_deserializer)
        return (
            grpc.stream_unary_rpc_method_handler(answer, response_serializer=handler.response_serializer),
            grpc.stream_unary_rpc_method_handler(_Refusal(method, self._record)),
        )

    def _answer(
        self,
        behavior: Callable[[Any, grpc.ServicerContext], Any],
        parse: Callable[[bytes], Any],
        messages: Iterator[bytes],
        context: grpc.ServicerContext,
    ) -> Any:
        message = b""
        try:
            with self._silence(context):
                message = next(messages)
        except StopIteration:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the call requires exactly one request message")
        try:
            request = parse(message)
        except Exception:  # noqa: BLE001 - whatever a parser says; gRPC answers so, too
            context.abort(grpc.StatusCode.INTERNAL, "Exception deserializing request!")
        del message  # it may be megabytes
        return behavior(request, context)

    @contextmanager
    def _silence(self, context: grpc.ServicerContext) -> Iterator[None]:
        with self._lock:
            self._silent[context] = perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._silent.pop(context, None)

    def _end_silence(self) -> None:
        """Cancel calls that keep silent, where calls wait for threads or soon will."""
        if not self._pool.waiting and len(self._silent) < self._threads // 2:
            return
        before = perf_counter() - _SILENT_SECONDS
        with self._lock:
            ended = [context for context, since in self._silent.items() if since < before]
            for context in ended:
                del self._silent[context]
        for context in ended:
            context.cancel()


class _AtOnce(ThreadPoolExecutor):
    """Runs what it is given in the thread that gives it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class _Refusal:
    experimental_thread_pool = _AtOnce(1)
    """gRPC runs a handler with this attribute in it (grpc/_server.py, _select_thread_pool_for_behavior)."""

    def __init__(self, method: str, record: Record) -> None:
        self._method = method
        self._record = record

    def __call__(self, messages: Any, context: grpc.ServicerContext) -> None:
        now = perf_counter()
        call = Call(now, now, finished=now, refused=True)
        call.entrypoint, call.api, call.status = "GRPC", self._method, grpc.StatusCode.UNAVAILABLE.name
        self._record(call)
        context.abort(grpc.StatusCode.UNAVAILABLE, OVERLOADED)
