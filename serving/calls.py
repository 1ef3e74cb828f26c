"""What a client does on the wire, as steps that somebody else carries out: send, hedge, pause, retry. No I/O here.

A `Plan` is a generator. It yields steps, is sent what came of each, and returns its result. `SearchClient` carries the
steps out by blocking, `AsyncSearchClient` by awaiting; everything else is theirs in common.
"""

import random
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import grpc

from serving.client_config import ClientConfig
from serving.errors import BadRequestError, DeadlineError, ModelNotFoundError, ServerUnavailableError, ServingError

T = TypeVar("T")

_RETRYABLE = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
_TOO_LARGE = ("larger than max", "metadata size exceeds hard limit")
"""In gRPC's texts for a message and for metadata over a size limit, RESOURCE_EXHAUSTED too; both stay too large."""

_TOO_MUCH_METADATA = "metadata size exceeds"
"""In gRPC's text for metadata over its hard limit, and over the soft one, where chance decides what is refused."""

_OVERLOADED = ("batch scheduling queue", "more requests waiting")
"""In what TF Serving's batching and the embedded server say with UNAVAILABLE when they have too much to do."""

_UNKNOWN_LABEL = "Unrecognized servable version label"
"""In TF Serving's text for a label that the model, if there is one, does not have."""


@dataclass(frozen=True)
class Rpc:
    """One request to a server; all of them only read, so that sending one twice is safe.

    Attributes:
        method: a key of `serving.channels.METHODS`.
        deadline: in seconds of `time.monotonic`.
        metadata: pairs of key and value.
    """

    method: str
    request: Any
    deadline: float
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def timeout(self) -> float:
        """Seconds left."""
        return max(self.deadline - time.monotonic(), 0.0)


class Handle(Protocol):
    """An RPC on its way."""

    def cancel(self) -> Any:
        """Give it up; does nothing once it has ended."""


@dataclass(frozen=True)
class Reply:
    """How an RPC ended: with a response, or with an error. The handle is that of `Start`."""

    response: Any = None
    error: Any = None
    handle: Any = None


@dataclass(frozen=True)
class Send:
    """Send and wait for the `Reply`."""

    rpc: Rpc


@dataclass(frozen=True)
class Start:
    """Send; what comes back is the `Handle`."""

    rpc: Rpc


@dataclass(frozen=True)
class Wait:
    """The `Reply` of the handle that ends first, or None after `seconds`; None waits for as long as it takes."""

    handles: tuple[Handle, ...]
    seconds: float | None


@dataclass(frozen=True)
class Pause:
    """Do nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Work:
    """Call `function`, which may take milliseconds; what comes back is its `Reply`."""

    function: Callable[[], Any]

    def reply(self) -> Reply:
        """What it returns, or its ServingError."""
        try:
            return Reply(self.function())
        except ServingError as error:
            return Reply(error=error)


Step = Send | Start | Wait | Pause | Work
Plan = Generator[Step, Any, T]


def too_large(error: Any) -> bool:
    """Whether the request or the answer is over a size limit."""
    details = error.details() or ""
    return error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and any(text in details for text in _TOO_LARGE)


def retryable(error: Any) -> bool:
    """Whether the same request may be answered later: nobody answers, or the server has too much to do."""
    return error.code() in _RETRYABLE and not too_large(error)


def explain(error: Any, model: str, address: str) -> ServingError:
    """The status that an RPC ended with, as an error that says what to do."""
    code, details = error.code(), error.details()
    overloaded = any(text in (details or "") for text in _OVERLOADED)
    if code is grpc.StatusCode.UNAVAILABLE and not overloaded:
        return ServerUnavailableError(
            f"no server answers at {address} ({details}); start one with `tandem serve`, or check the address"
        )
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_MUCH_METADATA in (details or ""):
        return BadRequestError(f"{model} at {address}: {details}; send less metadata, a shorter token for one")
    if too_large(error):
        return BadRequestError(
            f"{model} at {address}: {details}; ask for fewer requests at once, or raise max_message_bytes"
        )
    if code in _RETRYABLE:
        return ServerUnavailableError(f"{address} has too much to do ({details}); ask less often, or add servers")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineError(
            f"{address} did not answer in time; allow more than the timeout given, or look at its load"
        )
    if code is grpc.StatusCode.NOT_FOUND or _UNKNOWN_LABEL in (details or ""):
        return ModelNotFoundError(f"{address} serves no such model or version: {details}")
    if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
        return BadRequestError(f"{model} at {address} cannot answer the request: {details}")
    if code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
        return ServingError(f"{address} does not let this client in ({details}); check its token and certificates")
    return ServingError(f"{model} at {address} failed with {code.name}: {details}")


def backoff(failures: int, first: float, most: float, chance: random.Random) -> float:
    """Seconds to pause after the n-th failure: uniform from 0 to `first` * 2^(n-1), at most `most` (full jitter).

    Many clients that fail together come back spread out.
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    return chance.uniform(0.0, min(most, first * 2.0 ** (failures - 1)))


class RetryBudget:
    """Tokens that bound what is sent on top of what was asked, as gRPC's retryThrottling bounds retries.

    A failure takes a token, an answer gives `ratio` of one back; at half the tokens or fewer nothing more is spent. So
    an outage is met with the calls alone, and in the long run at most `ratio` of the answered calls are sent twice.
    https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs
    """

    def __init__(self, tokens: float, ratio: float) -> None:
        self._most = tokens
        self._ratio = ratio
        self._tokens = tokens
        self._lock = threading.Lock()

    @property
    def allows(self) -> bool:
        """Whether a request may be sent again."""
        return self._tokens > self._most / 2

    def take(self) -> None:
        """For a failure, and for a hedge."""
        with self._lock:
            self._tokens = max(self._tokens - 1.0, 0.0)

    def give(self) -> None:
        """For an answer."""
        with self._lock:
            self._tokens = min(self._tokens + self._ratio, self._most)


class Caller:
    """Sends RPCs, again where that is safe and may help. One budget for all calls of a client."""

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._budget = RetryBudget(config.retry_tokens, config.retry_token_ratio)
        self._chance = random.Random()

    def call(self, rpc: Rpc) -> Plan[Any]:
        """Returns the response; raises the grpc.RpcError of the last attempt."""
        failures = 0
        while True:
            reply = yield from self._attempt(rpc)
            if reply.error is None:
                self._budget.give()
                return reply.response
            if not retryable(reply.error):
                raise reply.error
            failures += 1
            self._budget.take()
            pause = backoff(failures, self._config.initial_backoff, self._config.max_backoff, self._chance)
            if failures == self._config.attempts or not self._budget.allows or pause >= rpc.timeout:
                raise reply.error
            yield Pause(pause)

    def _attempt(self, rpc: Rpc) -> Plan[Reply]:
        if self._config.hedge_after is None:
            reply: Reply = yield Send(rpc)
            return reply
        return (yield from self._hedged(rpc, self._config.hedge_after))

    def _hedged(self, rpc: Rpc, seconds: float) -> Plan[Reply]:
        """The first answer of one request, or of two when the first takes longer than `seconds`."""
        running: list[Handle] = [(yield Start(rpc))]
        try:
            reply: Reply | None = yield Wait(tuple(running), seconds)
            if reply is not None:
                return reply
            if self._budget.allows:
                self._budget.take()
                running.append((yield Start(rpc)))
            while True:
                reply = yield Wait(tuple(running), None)  # an RPC ends at its deadline
                running.remove(reply.handle)
                if not running or reply.error is None or not retryable(reply.error):
                    return reply
                self._budget.take()
        finally:
            for handle in running:
                handle.cancel()
