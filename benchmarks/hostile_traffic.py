"""What a server on an open port gets beside good requests, by kind; each is sent in turn and its outcome counted."""

import gzip
import random
import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException

import grpc

from benchmarks.load import PREDICT
from serving.messages import PredictRequest
from serving.protos import DataType, TensorProto

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_TIMEOUT = 10.0
_HALF_OPEN = 1000  # a port
_REOPEN_SECONDS = 2.0
_LONG = 10_000_000
_MANY = 100_000

Random = random.Random
Make = Callable[[Random], bytes]

REFUSED = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED", "OUT_OF_RANGE"})
SLOW = frozenset({"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
OVERLOADED = frozenset({"UNAVAILABLE"})
BAD_HTTP = frozenset({"400", "404", "413", "431", "501"})
SLOW_HTTP = frozenset({"200", "504"})
OVERLOADED_HTTP = frozenset({"503"})


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


def grpc_payloads(request: bytes) -> dict[str, tuple[Make, frozenset[str]]]:
    """Predict calls, serialised, by kind, and the statuses that a sound server gives."""
    rejected = REFUSED | OVERLOADED
    return {
        "wrong types": (lambda _: _changed(request, _wrong_type), rejected),
        "missing inputs": (lambda _: _changed(request, lambda message: message.inputs.pop("query")), rejected),
        "unknown model": (lambda _: _renamed(request, "no such model"), rejected),
        "unknown signature": (lambda _: _renamed(request, signature="no such signature"), rejected),
        "10 MB query": (lambda _: _changed(request, _long_query), rejected | SLOW),
        "100,000 candidates": (lambda _: _changed(request, _many_candidates), rejected),
        "100,000 rows": (lambda _: _changed(request, _many_rows), rejected),
        "uneven rows": (lambda _: _changed(request, _uneven_rows), rejected),
        "claimed shapes": (lambda random: claimed_shape(request, random), rejected),
        "malformed": (lambda random: malformed(request, random), rejected | SLOW | {"INTERNAL"}),
    }


def malformed(request: bytes, random: Random) -> bytes:
    """A request cut off, with bytes changed, or noise; gRPC itself answers INTERNAL where the parser gives up."""
    way = random.randrange(3)
    if way == 0:
        return request[: random.randrange(1, len(request))]
    if way == 1:
        data = bytearray(request)
        for _ in range(random.randrange(1, 9)):
            data[random.randrange(len(data))] = random.randrange(256)
        return bytes(data)
    return random.randbytes(random.randrange(1, 4096))


def claimed_shape(request: bytes, random: Random) -> bytes:
    """A tensor of few values, or none, that claims to be huge, negative or of unknown rank."""
    shapes: list[list[int]] = [[1 << 40], [1 << 31, 1 << 31], [-1], [1, 1 << 62, 4], [0, 1 << 40, 1 << 40], [1] * 300]
    message = PredictRequest.FromString(request)
    name = random.choice(sorted(message.inputs))
    tensor = TensorProto(dtype=message.inputs[name].dtype)
    for side in random.choice(shapes):
        tensor.tensor_shape.dim.add().size = side
    tensor.tensor_shape.unknown_rank = random.random() < 0.2
    if random.random() < 0.5:
        tensor.tensor_content = bytes(8)
    message.inputs[name].CopyFrom(tensor)
    data: bytes = message.SerializeToString()
    return data


def rest_bodies() -> dict[str, tuple[Make, frozenset[str]]]:
    """Bodies of REST Predict calls by kind, and the statuses that a sound server gives."""
    rejected, bomb = BAD_HTTP | OVERLOADED_HTTP, gzip.compress(bytes(200 << 20), 1)
    return {
        "REST bad JSON": (_bad_json, rejected),
        "REST deep nesting": (_deep, rejected),
        "REST wrong types": (lambda _: b'{"instances": [{"query": 7, "timestamp": "x"}]}', rejected),
        "REST 10 MB string": (lambda _: b'{"inputs": {"query": ["' + b"a" * _LONG + b'"]}}', rejected),
        "REST 100,000 rows": (lambda _: b'{"instances": [' + b'"x",' * (_MANY - 1) + b'"x"]}', rejected),
        "REST gzip bomb": (lambda _: bomb, rejected),
    }


def kinds(target: Target) -> dict[str, Kind]:
    """Every kind, ready to send."""
    model = PredictRequest.FromString(target.request).model_spec.name
    channel = grpc.insecure_channel(target.address, [("grpc.max_send_message_length", -1)])
    call = channel.unary_unary(PREDICT)
    found = {
        name: Kind(lambda random, make=make: _call(call, make(random)), expected)
        for name, (make, expected) in grpc_payloads(target.request).items()
    }
    for name, (make, expected) in rest_bodies().items():
        bomb = {"Content-Encoding": "gzip"} if "gzip" in name else {}
        found[name] = Kind(
            lambda random, make=make, headers=bomb: _post(target.rest_port, model, make(random), headers),
            expected | {"left"},
        )
    left = frozenset({"left", "OK"}) | OVERLOADED
    found["gives up"] = Kind(lambda random: _give_up(call, target.request, random), left)
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


def _bad_json(random: Random) -> bytes:
    texts = [b"", b"{", b'{"instances": [', b"\xff\xfe{}", b"[]", b'{"instances": 1e999999}', b'{"instances": [nul]}']
    return random.choice([*texts, random.randbytes(64), b'{"instances": [' + b"9" * 100_000 + b"]}"])


def _deep(random: Random) -> bytes:
    return random.choice([b"[" * _MANY, b'{"a":' * _MANY, b'{"instances": ' + b"[" * 500 + b"]" * 500 + b"}"])


def _changed(request: bytes, change: Callable[[PredictRequest], object]) -> bytes:
    message = PredictRequest.FromString(request)
    change(message)
    data: bytes = message.SerializeToString()
    return data


def _renamed(request: bytes, model: str = "", signature: str = "") -> bytes:
    message = PredictRequest.FromString(request)
    message.model_spec.name = model or message.model_spec.name
    message.model_spec.signature_name = signature
    data: bytes = message.SerializeToString()
    return data


def _wrong_type(message: PredictRequest) -> None:
    message.inputs["query"].CopyFrom(TensorProto(dtype=DataType.DT_INT64, int64_val=[1]))
    message.inputs["query"].tensor_shape.dim.add().size = 1


def _long_query(message: PredictRequest) -> None:
    message.inputs["query"].string_val[0] = b"red shoes " * (_LONG // 10)


def _many_candidates(message: PredictRequest) -> None:
    """As many as a history cannot hold and a reranker does not take."""
    events = message.inputs["history_product_id"]
    del events.string_val[:]
    events.string_val.extend(b"%d" % number for number in range(_MANY))
    events.tensor_shape.dim[1].size = _MANY
    candidates = message.inputs["candidate_product_id"]
    candidates.CopyFrom(events)
    message.model_spec.name = "rerank"


def _many_rows(message: PredictRequest) -> None:
    _repeat(message, lambda width: _MANY)


def _uneven_rows(message: PredictRequest) -> None:
    """Tensors of as many elements each, hence of different numbers of rows."""
    _repeat(message, lambda width: _MANY // width)


def _repeat(message: PredictRequest, rows: Callable[[int], int]) -> None:
    """Repeat the first row of each tensor; of text, the last value stands for all that are left out."""
    for tensor in message.inputs.values():
        count = rows(tensor.tensor_shape.dim[1].size if len(tensor.tensor_shape.dim) > 1 else 1)
        tensor.tensor_shape.dim[0].size = count
        tensor.tensor_content = tensor.tensor_content * count
