"""What a shop's backend imports: ask a server of TF Serving's API for products, without seeing a tensor."""

import os
import queue
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from types import TracebackType
from typing import Any

import grpc

from serving.answers import Answer, Hit, Retrieval
from serving.calls import Handle, Pause, Plan, Reply, Rpc, Send, Start, Step, T, Wait, Work
from serving.channels import channel_credentials, check_process, open_channel, open_methods
from serving.client_config import ClientConfig, Tls, client_config
from serving.errors import ServingError
from serving.planner import CallOptions, Planner
from serving.requests import HistoryEvent, Request

__all__ = ["Answer", "ClientConfig", "HistoryEvent", "Hit", "Request", "Retrieval", "SearchClient", "Tls"]


class SearchClient:
    """Searches and recommends over gRPC. Threads may share one client; it holds one connection to each address.

    Asks `search`, else `search_exact`; where neither is loaded, `retrieval` (or `retrieval_exact`) and then `rerank`
    of the same version. It belongs to the process it was made in. `serving.async_client.AsyncSearchClient` does the
    same for asyncio.

    Args:
        address: host:port, a gRPC target, or several IP:port; instead of the config's.
        timeout: seconds that one call may take in all; instead of the config's.
        config: everything else.

    Raises:
        ConfigError: for settings or certificates that cannot be used.

    Example:
        >>> with SearchClient("127.0.0.1:8500") as client:
        ...     history = [HistoryEvent("p17", "cart", 1_700_000_000)]
        ...     for hit in client.search("red summer dress", history, k=10):
        ...         print(hit.product_id, hit.score)
    """

    def __init__(
        self,
        address: str | tuple[str, ...] | None = None,
        timeout: float | None = None,
        config: ClientConfig | None = None,
    ) -> None:
        self.config = client_config(address, timeout, config)
        self._planner = Planner(self.config)
        self._channel = open_channel(grpc, self.config, channel_credentials(self.config))
        self._methods = open_methods(self._channel)
        self._closed = threading.Event()
        self._process = os.getpid()

    @property
    def address(self) -> str:
        """What it is connected to."""
        return self.config.target

    def __enter__(self) -> "SearchClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls under way end with a ServingError. Does nothing in another process."""
        if os.getpid() == self._process:
            self._closed.set()
            self._channel.close()

    def search(
        self,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        image: bytes | None = None,
        timestamp: int | float | datetime | None = None,
        k: int = 10,
        timeout: float | None = None,
        traceparent: str | None = None,
        metadata: Mapping[str, str] | None = None,
        exclude: Collection[str] = (),
    ) -> Answer:
        """The best products for a query, a picture, both, or (with neither) for what the shopper did.

        Args:
            query: text in any language; "" for a recommendation.
            history: what the shopper did, in any order; the last H events count.
            user: profile columns that the model declares; what is left out is unknown.
            image: the bytes of a picture file.
            timestamp: when it is asked; None is now, 0 the time of the model's snapshot.
            k: products wanted; fewer come when the model returns fewer.
            timeout: seconds for this call instead of the client's.
            traceparent: the W3C trace context of the caller's own request; None takes OpenTelemetry's current span.
            metadata: sent along, beside the config's.
            exclude: ids of products that the answer leaves out, of those that the model returns: fewer may come.

        Raises:
            BadRequestError: for input that cannot be asked with; the text says which and why.
            ServerUnavailableError, DeadlineError, ModelNotFoundError: as their names say.
            ServingError: for everything else.
        """
        request = Request(query, history, user, image, timestamp, exclude)
        return self.search_many([request], k, timeout, traceparent, metadata)[0]

    def search_many(
        self,
        requests: Iterable[Request],
        k: int = 10,
        timeout: float | None = None,
        traceparent: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Answer]:
        """An answer to each request, in their order, from one RPC; arguments and errors as in `search`.

        Requests with a picture and requests without one go to different signatures: a mixed batch takes two RPCs.
        """
        return self._run(self._planner.search(requests, k, CallOptions(timeout, traceparent, metadata)))

    def retrieve(
        self,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        image: bytes | None = None,
        timestamp: int | float | datetime | None = None,
        timeout: float | None = None,
        traceparent: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Retrieval:
        """The candidates that retrieval finds, all of them, best first; arguments and errors as in `search`."""
        request = Request(query, history, user, image, timestamp)
        return self._run(self._planner.retrieve(request, CallOptions(timeout, traceparent, metadata)))

    def rerank(
        self,
        retrieval: Retrieval,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        timestamp: int | float | datetime | None = None,
        k: int = 10,
        timeout: float | None = None,
        traceparent: str | None = None,
        metadata: Mapping[str, str] | None = None,
        exclude: Collection[str] = (),
    ) -> Answer:
        """Order what `retrieve` found, by the `rerank` of the same version; other arguments as given to `retrieve`."""
        request = Request(query, history, user, None, timestamp, exclude)
        return self._run(self._planner.rerank(request, retrieval, k, CallOptions(timeout, traceparent, metadata)))

    def _run(self, plan: Plan[T]) -> T:
        """Carry out the steps of a plan."""
        try:
            step = next(plan)
            while True:
                step = plan.send(self._perform(step))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            plan.close()

    def _perform(self, step: Step) -> Any:
        match step:
            case Send(rpc):
                return self._send(rpc)
            case Start(rpc):
                return self._started(rpc)
            case Wait(handles, seconds):
                reply = _first(handles, seconds)
                return reply if reply is None else self._told(reply)
            case Pause(seconds):
                self._closed.wait(seconds)
                return None
            case Work():
                return step.reply()

    def _send(self, rpc: Rpc) -> Reply:
        with self._open():
            try:
                # Blocking takes gRPC no other thread, as a future would.
                return Reply(self._methods[rpc.method](rpc.request, timeout=rpc.timeout, metadata=rpc.metadata))
            except grpc.RpcError as error:
                return self._told(Reply(error=error))

    def _started(self, rpc: Rpc) -> Handle:
        with self._open():
            handle: Handle = self._methods[rpc.method].future(rpc.request, timeout=rpc.timeout, metadata=rpc.metadata)
            return handle

    def _told(self, reply: Reply) -> Reply:
        """A reply; the error of a closed client for an RPC that the closing cancelled."""
        if reply.error is not None and reply.error.code() is grpc.StatusCode.CANCELLED:
            self._check_open()
        return reply

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Raise a ServingError if the client is closed, now or before the block is through."""
        self._check_open()
        try:
            yield
        except ValueError:  # gRPC's word for a channel that is closed
            self._check_open()
            raise

    def _check_open(self) -> None:
        check_process(self._process, self.address)
        if self._closed.is_set():
            raise ServingError(f"the client of {self.address} is closed; open another")


def _first(handles: Sequence[Any], seconds: float | None) -> Reply | None:
    ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for handle in handles:
        handle.add_done_callback(ended.put)
    try:
        first = ended.get(timeout=seconds)
    except queue.Empty:
        return None
    if first.code() is grpc.StatusCode.OK:
        return Reply(first.result(), handle=first)
    return Reply(error=first, handle=first)  # the handle of a failed RPC is its error
