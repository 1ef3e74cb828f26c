"""What the serving benchmarks share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.served_release import ServerProcess, pinned, requests_of
from catalog.errors import ArtifactError
from serving.messages import PredictRequest
from serving.requests import Contract
from serving.tensors import to_array


def process(pid: int) -> ServerProcess:
    return ServerProcess("127.0.0.1:0", None, pid, lambda: None)


def test_resident_memory_is_the_processs_own() -> None:
    assert process(os.getpid()).resident > 10 << 20


def test_a_process_that_has_ended_has_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ArtifactError, match="has ended"):
        _ = process(child.pid).resident


def test_each_model_is_pinned_to_its_version() -> None:
    models = pinned({"search": Path("/models/search/3"), "rerank": Path("/models/rerank/5")}).model_config_list.config
    assert [(model.name, model.base_path) for model in models] == [
        ("search", "/models/search"),
        ("rerank", "/models/rerank"),
    ]
    assert [list(model.model_version_policy.specific.versions) for model in models] == [[3], [5]]


def test_requests_hold_as_many_samples_as_they_are_told_each_in_turn() -> None:
    samples = [
        {"query": query, "history_product_id": [""], "history_kind": [""], "history_timestamp": [0], "timestamp": 5}
        for query in ("red", "green", "blue")
    ]
    contract = Contract(history=2, user_columns=(), picture=None, candidates=None)
    asked = [PredictRequest.FromString(data) for data in requests_of("search", samples, contract, rows=2)]
    queries = [to_array(request.inputs["query"]).tolist() for request in asked]
    assert queries == [[b"red", b"green"], [b"blue", b"red"], [b"green", b"blue"]]
    assert to_array(asked[0].inputs["history_product_id"]).shape == (2, 2)


def test_requests_hold_the_shopper_s_profile() -> None:
    sample = {"query": "red", "history_product_id": [], "history_kind": [], "history_timestamp": [], "timestamp": 5}
    contract = Contract(history=2, user_columns=("country",), picture=None, candidates=None)
    (data,) = requests_of("search", [sample | {"user_country": "de"}], contract)
    assert to_array(PredictRequest.FromString(data).inputs["user_country"]).tolist() == [b"de"]
