"""The standard health service over gRPC. Who watches it is told when the server leaves, and is not waited for."""

import threading
from collections.abc import Callable, Collection

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest as Question
from grpc_health.v1.health_pb2 import HealthCheckResponse as Answer

Send = Callable[[Answer | None], None]
"""Sends one message of a call and returns when it is on its way; None ends the call."""


class HealthService(health_pb2_grpc.HealthServicer):
    """Says that its services serve, until it is told to `leave`.

    No lock is held while a message is sent. The one thread of gRPC that says when it has been sent also says who has
    gone: waiting for each other, the two would end everything (as they do in grpc_health's own servicer).

    Args:
        services: what it answers for, by name.
    """

    def __init__(self, services: Collection[str]) -> None:
        self._services = services
        self._watches: set[Send] = set()
        self._leaving = False
        self._lock = threading.Lock()  # of these two

    def Check(self, request: Question, context: grpc.ServicerContext) -> Answer:
        """Whether a service serves; NOT_FOUND for one that is not there."""
        if request.service not in self._services:
            context.abort(grpc.StatusCode.NOT_FOUND, "")
        return Answer(status=Answer.NOT_SERVING if self._leaving else Answer.SERVING)

    def Watch(self, request: Question, context: grpc.ServicerContext, send: Send) -> None:
        """The same at once, and once more when it changes, which is the end."""
        send(Answer(status=Answer.SERVING if request.service in self._services else Answer.SERVICE_UNKNOWN))
        with self._lock:
            leaving = self._leaving
            if not leaving:
                self._watches.add(send)
        if leaving:
            _end(send)
        elif not context.add_callback(lambda: self._watches.discard(send)):
            self._watches.discard(send)

    Watch.experimental_non_blocking = True  # type: ignore[attr-defined]  # gRPC's: it holds no thread between messages

    def leave(self) -> None:
        """Say from now on that nothing serves, and end the calls that watch."""
        with self._lock:
            self._leaving = True
            watches, self._watches = self._watches, set()
        for send in watches:
            _end(send)


def _end(send: Send) -> None:
    send(Answer(status=Answer.NOT_SERVING))
    send(None)
