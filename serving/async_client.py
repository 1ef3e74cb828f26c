"""The client of `serving.client` for asyncio: the same methods, awaited."""

import asyncio
import contextlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from serving.answers import Answer, Retrieval
from serving.calls import Handle, Pause, Plan, Reply, Rpc, Send, Start, Step, T, Wait, Work
from serving.channels import channel_credentials, check_process, open_channel, open_methods
from serving.client_config import ClientConfig, client_config
from serving.errors import ServingError
from serving.planner import CallOptions, Planner
from serving.requests import HistoryEvent, Request

__all__ = ["AsyncSearchClient"]


class AsyncSearchClient:
    """Searches and recommends over gRPC; arguments, answers and errors are those of `serving.client.SearchClient`.

    Tasks may share one client. It connects in the event loop of its first call and belongs to that loop. A call that
    is cancelled cancels its requests.

    Example:
        >>> async def shop():
        ...     async with AsyncSearchClient("127.0.0.1:8500") as client:
        ...         return await client.search("red summer dress")
    """

    def __init__(
        self,
        address: str | tuple[str, ...] | None = None,
        timeout: float | None = None,
        config: ClientConfig | None = None,
    ) -> None:
        self.config = client_config(address, timeout, config)
        self._planner = Planner(self.config)
        self._credentials = channel_credentials(self.config)
        self._channel: Any = None
        self._methods: Mapping[str, Any] = {}
        self._closed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._process = os.getpid()

    @property
    def address(self) -> str:
        """What it is connected to."""
        return self.config.target

    async def __aenter__(self) -> "AsyncSearchClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; calls under way end with a ServingError. Does nothing in another process."""
        if os.getpid() != self._process:
            return
        self._closed.set()
        if self._channel is not None:
            await self._channel.close()

    async def search(
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
        """The best products for a query, a picture, both, or (with neither) for what the shopper did."""
        request = Request(query, history, user, image, timestamp, exclude)
        return (await self.search_many([request], k, timeout, traceparent, metadata))[0]

    async def search_many(
        self,
        requests: Iterable[Request],
        k: int = 10,
        timeout: float | None = None,
        traceparent: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> list[Answer]:
        """An answer to each request, in their order, from one RPC."""
        return await self._run(self._planner.search(requests, k, CallOptions(timeout, traceparent, metadata)))

    async def retrieve(
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
        """The candidates that retrieval finds, all of them, best first."""
        request = Request(query, history, user, image, timestamp)
        return await self._run(self._planner.retrieve(request, CallOptions(timeout, traceparent, metadata)))

    async def rerank(
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
        """Order what `retrieve` found, by the `rerank` of the same version."""
        request = Request(query, history, user, None, timestamp, exclude)
        return await self._run(self._planner.rerank(request, retrieval, k, CallOptions(timeout, traceparent, metadata)))

    async def _run(self, plan: Plan[T]) -> T:
        """Carry out the steps of a plan."""
        try:
            step = next(plan)
            while True:
                step = plan.send(await self._perform(step))
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            plan.close()

    async def _perform(self, step: Step) -> Any:
        match step:
            case Send(rpc):
                return await self._reply(self._started(rpc))
            case Start(rpc):
                return self._started(rpc)
            case Wait(handles, seconds):
                return await self._first(handles, seconds)
            case Pause(seconds):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        await self._closed.wait()
                return None
            case Work():
                return await asyncio.to_thread(step.reply)

    def _started(self, rpc: Rpc) -> Handle:
        self._check_open()
        if self._channel is None:
            self._loop = asyncio.get_running_loop()
            self._channel = open_channel(grpc.aio, self.config, self._credentials)
            self._methods = open_methods(self._channel)
        handle: Handle = self._methods[rpc.method](rpc.request, timeout=rpc.timeout, metadata=rpc.metadata)
        return handle

    async def _first(self, handles: Sequence[Any], seconds: float | None) -> Reply | None:
        ended: asyncio.Queue[Any] = asyncio.Queue()
        for handle in handles:
            handle.add_done_callback(ended.put_nowait)
        try:
            async with asyncio.timeout(seconds):
                first = await ended.get()
        except TimeoutError:
            return None
        return await self._reply(first)

    async def _reply(self, handle: Any) -> Reply:
        task = asyncio.current_task()
        before = task.cancelling() if task is not None else 0  # cancellations that the task has swallowed
        try:
            return Reply(await handle, handle=handle)
        except grpc.RpcError as error:
            return Reply(error=error, handle=handle)
        except asyncio.CancelledError:
            if task is None or task.cancelling() == before:  # not the caller: a channel that is closed cancels its RPCs
                self._check_open()
            raise

    def _check_open(self) -> None:
        check_process(self._process, self.address)
        if self._loop not in (None, asyncio.get_running_loop()):
            raise ServingError(
                f"the client of {self.address} belongs to the event loop of its first call; open another in this one"
            )
        if self._closed.is_set():
            raise ServingError(f"the client of {self.address} is closed; open another")
