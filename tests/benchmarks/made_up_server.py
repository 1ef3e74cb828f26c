"""A gRPC server for benchmarks to load, which answers at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc

from benchmarks.load import PREDICT

Answer = Callable[[bytes, grpc.ServicerContext], bytes]


class Echo:
    """Answers a request with itself, but refuses those in `refused`.

    Attributes:
        asked: the requests that came, in order.
    """

    def __init__(self, refused: frozenset[bytes] = frozenset()) -> None:
        self.asked: list[bytes] = []
        self._refused = refused
        self._lock = threading.Lock()

    def __call__(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        with self._lock:
            self.asked.append(request)
        if request in self._refused:
            context.abort(grpc.StatusCode.UNAVAILABLE, "as asked for")
        return request


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """The address of a server that answers Predict so, until the context ends."""
    service, _, method = PREDICT.strip("/").rpartition("/")
    server = grpc.server(futures.ThreadPoolExecutor(8))
    handlers = {method: grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
