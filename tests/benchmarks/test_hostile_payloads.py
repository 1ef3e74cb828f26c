"""The hostile requests are what they claim to be."""

import gzip
import json
from random import Random

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from benchmarks.hostile_payloads import claimed_shape, grpc_payloads, malformed, rest_bodies
from serving.messages import PredictRequest
from serving.tensors import TensorError, make_proto, to_array


@pytest.fixture(scope="module")
def good() -> bytes:
    request = PredictRequest()
    request.model_spec.name = "search"
    request.inputs["query"].CopyFrom(make_proto(["shoes"]))
    request.inputs["history_product_id"].CopyFrom(make_proto([["", "1"]]))
    request.inputs["history_timestamp"].CopyFrom(make_proto(np.zeros((1, 2), np.int64)))
    data: bytes = request.SerializeToString()
    return data


def sent(good: bytes, kind: str) -> PredictRequest:
    return PredictRequest.FromString(grpc_payloads(good)[kind][0](Random(0)))


def test_each_kind_is_what_it_is_called(good: bytes) -> None:
    assert to_array(sent(good, "wrong types").inputs["query"]).dtype == np.int64
    assert "query" not in sent(good, "missing inputs").inputs
    assert sent(good, "unknown model").model_spec.name == "no such model"
    assert sent(good, "unknown signature").model_spec.signature_name == "no such signature"
    assert len(sent(good, "10 MB query").inputs["query"].string_val[0]) == 10_000_000
    candidates = to_array(sent(good, "100,000 candidates").inputs["candidate_product_id"])
    assert candidates.shape == (1, 100_000)
    assert candidates[0, -1] == b"99999"


def test_rows_are_many_and_agree_or_do_not(good: bytes) -> None:
    even = {name: to_array(tensor) for name, tensor in sent(good, "100,000 rows").inputs.items()}
    assert {values.shape[0] for values in even.values()} == {100_000}
    uneven = {name: to_array(tensor) for name, tensor in sent(good, "uneven rows").inputs.items()}
    assert {name: values.shape[0] for name, values in uneven.items()} == {
        "query": 100_000,
        "history_product_id": 50_000,
        "history_timestamp": 50_000,
    }


def test_a_claimed_shape_is_no_tensor(good: bytes) -> None:
    for seed in range(50):
        request = PredictRequest.FromString(claimed_shape(good, Random(seed)))
        refused = 0
        for tensor in request.inputs.values():
            try:
                to_array(tensor)
            except TensorError:
                refused += 1
        assert refused == 1


def test_malformed_requests_mostly_do_not_parse(good: bytes) -> None:
    broken = 0
    for seed in range(60):
        try:
            PredictRequest.FromString(malformed(good, Random(seed)))
        except DecodeError:
            broken += 1
    assert broken > 30


def test_a_bomb_is_small_to_send_and_large_to_hold() -> None:
    bomb = rest_bodies()["REST gzip bomb"][0](Random(0))
    assert len(bomb) < 2 << 20
    assert len(gzip.decompress(bomb)) == 200 << 20


def test_lists_are_small_to_send_many_and_json() -> None:
    """Five million and one empty lists: what follows the first 15 bytes is three for each and the end."""
    sent = rest_bodies()["REST gzip many lists"][0](Random(0))
    assert len(sent) < 1 << 20
    body = gzip.decompress(sent)
    assert len(body) == 15 + 3 * 5_000_001 + 1
    assert json.loads(body[:18] + b"[]]}") == {"instances": [[], []]}
    assert body.count(b"[]") == 5_000_001
