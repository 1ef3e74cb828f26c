"""Requests that a server on an open port gets beside good ones, by kind, and what a sound server answers."""

import gzip
import random
from collections.abc import Callable

from serving.messages import PredictRequest
from serving.protos import DataType, TensorProto

_LONG = 10_000_000
_MANY = 100_000

Random = random.Random
Make = Callable[[Random], bytes]

REFUSED = frozenset({"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED", "OUT_OF_RANGE"})
SLOW = frozenset({"OK", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED"})
OVERLOADED = frozenset({"UNAVAILABLE"})
TOO_SLOW = frozenset({"CANCELLED"})  # for one whose megabytes take seconds to come while others wait for its thread
BAD_HTTP = frozenset({"400", "404", "413", "431", "501"})
SLOW_HTTP = frozenset({"200", "504"})
OVERLOADED_HTTP = frozenset({"503"})


def grpc_payloads(request: bytes) -> dict[str, tuple[Make, frozenset[str]]]:
    """Predict calls, serialised, by kind, and the statuses that a sound server gives."""
    rejected = REFUSED | OVERLOADED
    return {
        "wrong types": (lambda _: _changed(request, _wrong_type), rejected),
        "missing inputs": (lambda _: _changed(request, lambda message: message.inputs.pop("query")), rejected),
        "unknown model": (lambda _: _renamed(request, "no such model"), rejected),
        "unknown signature": (lambda _: _renamed(request, signature="no such signature"), rejected),
        "10 MB query": (lambda _: _changed(request, _long_query), rejected | SLOW | TOO_SLOW),
        "100,000 candidates": (lambda _: _changed(request, _many_candidates), rejected | TOO_SLOW),
        "100,000 rows": (lambda _: _changed(request, _many_rows), rejected | TOO_SLOW),
        "uneven rows": (lambda _: _changed(request, _uneven_rows), rejected | TOO_SLOW),
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
    lists = gzip.compress(b'{"instances": [' + b"[]," * (_LONG // 2) + b"[]]}", 1)
    return {
        "REST bad JSON": (_bad_json, rejected),
        "REST deep nesting": (_deep, rejected),
        "REST wrong types": (lambda _: b'{"instances": [{"query": 7, "timestamp": "x"}]}', rejected),
        "REST 10 MB string": (lambda _: b'{"inputs": {"query": ["' + b"a" * _LONG + b'"]}}', rejected),
        "REST 100,000 rows": (lambda _: b'{"instances": [' + b'"x",' * (_MANY - 1) + b'"x"]}', rejected),
        "REST gzip bomb": (lambda _: bomb, rejected),
        "REST gzip many lists": (lambda _: lists, rejected),
    }


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
