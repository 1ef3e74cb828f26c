"""What the serving benchmarks share."""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.served_release import ServerProcess, answer_seconds, log_answers, pinned, requests_of
from catalog.errors import ArtifactError
from serving.call_record import Call
from serving.logs import log_call
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


@pytest.fixture
def request_log() -> Iterator[None]:
    logger = logging.getLogger("serving.requests")
    level, propagate, handlers = logger.level, logger.propagate, logger.handlers
    yield
    logger.setLevel(level)
    logger.propagate, logger.handlers = propagate, handlers


@pytest.mark.usefixtures("request_log")
def test_how_long_the_server_had_each_call_that_it_answered(tmp_path: Path) -> None:
    log_answers(tmp_path / "answered")
    answered = Call(queued=1.0, finished=1.5, entrypoint="GRPC", api="Predict", model="search")
    for call in (
        answered,
        Call(queued=1.0, finished=9.0, entrypoint="REST", api="Predict", model="search"),
        Call(queued=1.0, finished=9.0, entrypoint="GRPC", api="Predict", model="search", status="UNAVAILABLE"),
        Call(queued=1.0, finished=9.0, entrypoint="GRPC", api="GetModelMetadata", model="search"),
        replace(answered, finished=1.25),
    ):
        log_call(call)
    assert answer_seconds(tmp_path / "answered").tolist() == [0.5, 0.25]


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
