"""What the memory benchmark serves, asks and tells, without a server of models."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import memory
from catalog.errors import ArtifactError
from serving.messages import PredictRequest
from serving.model_config import parse_model_config
from serving.tensors import make_proto, to_array
from serving.version_table import State
from serving.versions import find_versions, wanted_versions
from serving.warmup import write_warmup
from tests.benchmarks.made_up_server import Echo, answering


def test_two_versions_of_each_model_are_kept(tmp_path: Path) -> None:
    bases = {model: tmp_path / model for model in ("search", "rerank")}
    for base in bases.values():
        for number in (1, 2, 3):
            (base / str(number)).mkdir(parents=True)
    models = parse_model_config(str(memory.keeping_two(bases)), "test").model_config_list.config
    assert {model.name: set(wanted_versions(model, find_versions(model))) for model in models} == {
        "search": {2, 3},
        "rerank": {2, 3},
    }


def test_a_request_keeps_what_it_has_and_is_given_what_it_lacks() -> None:
    request = PredictRequest()
    request.model_spec.name = "rerank"
    request.inputs["query"].CopyFrom(make_proto(np.array([b"red"], object)))
    warm = {"query": np.array([b"warm"], object), "candidate_score": np.array([[0.5, 0.25]], np.float32)}
    asked = PredictRequest.FromString(memory.completed(request.SerializeToString(), warm))
    assert asked.model_spec.name == "rerank"
    assert {name: to_array(values).tolist() for name, values in asked.inputs.items()} == {
        "query": [b"red"],
        "candidate_score": [[0.5, 0.25]],
    }


def test_requests_are_completed_by_the_warm_up_request_of_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = PredictRequest()
    request.inputs["query"].CopyFrom(make_proto(np.array([b"red"], object)))
    data = request.SerializeToString()
    monkeypatch.setattr(memory, "sample_requests", lambda folder: [data, data])
    assert memory._requests(tmp_path) == [data, data]  # it ships none
    warm = [
        ("explain", {"query": ["warm"], "candidate_score": np.array([[1.0]], np.float32)}),
        ("serving_default", {"query": ["warm", "warm"], "candidate_score": np.array([[2.0], [2.0]], np.float32)}),
        ("serving_default", {"query": ["warm"], "candidate_score": np.array([[3.0]], np.float32)}),
    ]
    write_warmup(tmp_path, "rerank", [(name, {k: np.asarray(v) for k, v in inputs.items()}) for name, inputs in warm])
    asked = [PredictRequest.FromString(data) for data in memory._requests(tmp_path)]
    assert [to_array(one.inputs["query"]).tolist() for one in asked] == [[b"red"]] * 2
    assert [to_array(one.inputs["candidate_score"]).tolist() for one in asked] == [[[3.0]]] * 2


def test_memory_is_told_in_mebibytes() -> None:
    assert memory.row([(600 << 20) + 700_000, 731 << 20]) == {"one": 601, "two": 731, "second_adds": 130}
    assert memory.row([410 << 20]) == {"one": 410}


class Given:
    """Takes the place of a release and of its server, which holds 100 MiB and 7 for each version of each model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str, folder: Path) -> None:
        self.address = address
        self.bases: list[Path] = []
        self.waited: list[tuple[str, Mapping[int, State]]] = []
        self.stopped = 0
        for model in ("search", "search_exact", "rerank", "retrieval_exact", "query_tower"):
            (folder / model / "3").mkdir(parents=True)
        for name, value in (
            ("start_models", self.start),
            ("wait_for", lambda stub, model, wanted: self.waited.append((model, wanted))),
            ("_requests", lambda folder: [f"{folder.parent.name} {number}".encode() for number in (1, 2)]),
        ):
            monkeypatch.setattr(memory, name, value)
        given = ["--models-dir", str(folder), "--requests", "3", "--out", str(folder / "out.json")]
        monkeypatch.setattr("sys.argv", ["memory", *given])

    def start(self, models: Any, *given: Any, **settings: Any) -> "Given":
        self.bases = [Path(model.base_path) for model in models.model_config_list.config]
        return self

    @property
    def resident(self) -> int:
        return sum((7 << 20 for base in self.bases for _ in base.iterdir()), 100 << 20)

    def stop(self) -> None:
        self.stopped += 1


def test_each_row_is_read_with_one_version_and_with_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    echo = Echo()
    with answering(echo) as address:
        given = Given(monkeypatch, address, tmp_path)
        memory.main()
    report = json.loads((tmp_path / "out.json").read_text())
    alone = {"one": 107, "two": 114, "second_adds": 7}
    assert report["resident_mib"] == {
        "no model": {"one": 100},
        "search": alone,
        "search_exact": alone,
        "rerank": alone,
        "retrieval_exact + rerank + query_tower": {"one": 121, "two": 142, "second_adds": 21},
    }
    assert report["version"] == 3
    both = {1: State.AVAILABLE, 2: State.AVAILABLE}
    assert given.waited[:2] == [("search", {1: State.AVAILABLE}), ("search", both)]
    assert echo.asked[:6] == [b"search 1", b"search 2", b"search 1"] * 2  # with either version
    assert len(echo.asked) == 2 * 3 * 6
    assert given.stopped == 5


def test_without_a_release_the_way_to_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["memory", "--models-dir", str(tmp_path)])
    with pytest.raises(ArtifactError, match="no release under"):
        memory.main()
