"""Refusing calls under overload, for as little as a refusal can cost."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from typing import Any

import grpc

from serving.call_record import OVERLOADED, Call, CallPool, Record
from serving.messages import PREDICTION_SERVICE

Continuation = Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler | None]


class Refusals(grpc.ServerInterceptor):
    """Answers calls of PredictionService with UNAVAILABLE where too many wait already.

    gRPC's one thread that accepts calls does it itself and reads nothing of the request. Were a refusal to wake a
    thread and to parse its message, refusing would take the time that answering needs, and calls would pile up before
    that thread, where nothing bounds their wait. Health checks and ModelService are never refused here.

    Args:
        pool: the threads that calls wait for.
        record: gets each refused call; the model it asked for is not known.
    """

    def __init__(self, pool: CallPool, record: Record) -> None:
        self._pool = pool
        self._handlers: dict[str, grpc.RpcMethodHandler] = {}
        self._record = record

    def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler | None:
        """The refusal, or the handler that answers."""
        service, _, method = handler_call_details.method.strip("/").rpartition("/")
        if service != PREDICTION_SERVICE or not self._pool.full:
            return continuation(handler_call_details)
        if method not in self._handlers:
            if continuation(handler_call_details) is None:
                return None
            # A handler that takes a stream is called before a message has come.
            refusal = _Refusal(method, self._record)
            self._handlers[method] = grpc.stream_unary_rpc_method_handler(refusal)
        return self._handlers[method]


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
