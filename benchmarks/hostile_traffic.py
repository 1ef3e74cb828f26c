"""Hostile traffic: each kind is sent in turn and its outcome counted, and connections are held half open."""

import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException

import grpc

from benchmarks.hostile_payloads import OVERLOADED, Make, Random, grpc_payloads, rest_bodies
from benchmarks.load import PREDICT
from serving.messages import PredictRequest

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TIMEOUT = 10.0
_OTHER_METHODS = (
    "/tensorflow.serving.ModelService/GetModelStatus",
    "/grpc.health.v1.Health/Check",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)
_HALF_OPEN = 1000  # a port
_REOPEN_SECONDS = 2.0
_SILENT_SECONDS = 5.0


@dataclass(frozen=True)
class Target:
    """A server, a model that it holds, and a good request to it."""

    address: str
    rest_port: int
    request: bytes


@dataclass(frozen=True)
class Kind:
    """One kind of traffic.

    Attributes:
        send: sends one and gives its outcome: a gRPC status, an HTTP status, or "left" for one that was not waited for.
        expected: outcomes that a sound server gives. What tells of the server's insides (INTERNAL, 500) is none.
    """

    send: Callable[[Random], str]
    expected: frozenset[str]


@dataclass
class Traffic:
    """Outcomes by kind, and half-open connections at the end."""

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    half_open: int = 0

    def unexpected(self, kinds: dict[str, frozenset[str]]) -> dict[str, dict[str, int]]:
        """What a sound server does not answer, by kind; a connection that the server ended early is fine."""
        found = {
            name: {outcome: count for outcome, count in counts.items() if outcome not in kinds[name]}
            for name, counts in self.outcomes.items()
        }
        return {name: counts for name, counts in found.items() if counts}


def kinds(target: Target) -> dict[str, Kind]:
    """Every kind, ready to send."""
    model = PredictRequest.FromString(target.request).model_spec.name
    channel = grpc.insecure_channel(target.address, [("grpc.max_send_message_length", -1)])
    call = channel.unary_unary(PREDICT)
    found = {
        name: Kind(partial(_made_and_called, call, make), expected)
        for name, (make, expected) in grpc_payloads(target.request).items()
    }
    for name, (make, expected) in rest_bodies().items():
        bomb = {"Content-Encoding": "gzip"} if "gzip" in name else {}
        found[name] = Kind(
            partial(_made_and_posted, target.rest_port, model, make, bomb),
            expected | {"left"},
        )
    left = frozenset({"left", "OK"}) | OVERLOADED
    found["gives up"] = Kind(lambda random: _give_up(call, target.request, random), left)
    silent = [channel.stream_unary(method) for method in (PREDICT, *_OTHER_METHODS)]
    found["says nothing"] = Kind(lambda random: _say_nothing(random.choice(silent)), left)
    found["REST gives up"] = Kind(lambda random: _leave(target.rest_port, model, random), left)
    return found


def attack(target: Target, seconds: float, threads: int, seed: int = 0) -> Traffic:
    """Send every kind in turn from `threads` threads and hold half-open connections, for so long."""
    until = time.perf_counter() + seconds
    chosen = kinds(target)
    traffic = Traffic({name: Counter() for name in chosen})
    lock = threading.Lock()

    def send(number: int) -> None:
        random, names = Random(seed + number), list(chosen)
        turn = number * len(names) // threads
        while time.perf_counter() < until:
            name = names[turn % len(names)]
            outcome = chosen[name].send(random)
            with lock:
                traffic.outcomes[name][outcome] += 1
            turn += 1

    def hold() -> None:
        traffic.half_open = _hold_half_open(target, until)

    workers = [threading.Thread(target=send, args=(number,)) for number in range(threads)]
    workers.append(threading.Thread(target=hold))
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return traffic


def _made_and_called(call: grpc.UnaryUnaryMultiCallable, make: Make, random: Random) -> str:
    return _call(call, make(random))


def _call(call: grpc.UnaryUnaryMultiCallable, payload: bytes) -> str:
    try:
        call(payload, timeout=_TIMEOUT)
    except grpc.RpcError as error:
        return str(error.code().name)
    return "OK"


def _give_up(call: grpc.UnaryUnaryMultiCallable, payload: bytes, random: Random) -> str:
    """Cancel, or set a deadline, at any moment of the call's life."""
    moment = random.expovariate(50)
    if random.random() < 0.5:
        outcome = call.future(payload, timeout=max(moment, 1e-4))
        outcome.exception()
    else:
        outcome = call.future(payload, timeout=_TIMEOUT)
        time.sleep(moment)
        outcome.cancel()
    code = outcome.code().name
    return "left" if code in ("CANCELLED", "DEADLINE_EXCEEDED") else str(code)


def _say_nothing(call: grpc.StreamUnaryMultiCallable) -> str:
    """A call whose request does not come, for seconds; nobody waits for its end."""
    ended = threading.Event()

    def messages() -> Iterator[bytes]:
        ended.wait(_TIMEOUT)
        yield from ()

    call.future(messages(), timeout=_SILENT_SECONDS).add_done_callback(lambda _: ended.set())
    return "left"


def _made_and_posted(port: int, model: str, make: Make, headers: dict[str, str], random: Random) -> str:
    return _post(port, model, make(random), headers)


def _post(port: int, model: str, body: bytes, headers: dict[str, str]) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("POST", f"/v1/models/{model}:predict", body, headers)
        return str(connection.getresponse().status)
    except (OSError, HTTPException):
        return "left"
    finally:
        connection.close()


def _leave(port: int, model: str, random: Random) -> str:
    """Half a body, or a whole one whose answer nobody waits for."""
    body = b'{"instances": [{"query": "shoes"}]}'
    head = f"POST /v1/models/{model}:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    data = head + body
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), _TIMEOUT) as connection:
        connection.sendall(data[: random.randrange(1, len(data) + 1)])
    return "left"


def _hold_half_open(target: Target, until: float) -> int:
    """Keep connections open that say nothing, or half of a greeting, opening those anew that the server ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8 * _HALF_OPEN), most))
    ports = {
        int(target.address.rpartition(":")[2]): [b"", _PREFACE[:9], _PREFACE],
        target.rest_port: [b"", b"POST /v1"],
    }
    held: dict[int, list[socket.socket]] = {port: [] for port in ports}
    while time.perf_counter() < until:
        for port, greetings in ports.items():
            held[port] = [connection for connection in held[port] if _open(connection)]
            with suppress(OSError):
                while len(held[port]) < _HALF_OPEN:
                    connection = socket.create_connection(("127.0.0.1", port), 1.0)
                    held[port].append(connection)
                    connection.sendall(greetings[len(held[port]) % len(greetings)])
                    connection.setblocking(False)
        time.sleep(min(_REOPEN_SECONDS, max(until - time.perf_counter(), 0)))
    count = sum(_open(connection) for connections in held.values() for connection in connections)
    for connections in held.values():
        for connection in connections:
            connection.close()
    return count


def _open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(4096))  # a server's greeting; nothing means that it closed
    except BlockingIOError:
        return True
    except OSError:
        return False
