"""How a release is published again, and waited for."""

import argparse
import os
from pathlib import Path
from types import SimpleNamespace

import grpc
import numpy as np
import pytest

from benchmarks import version_changes
from benchmarks.load import Load
from benchmarks.served_release import ServerProcess
from benchmarks.version_changes import publish, wait_for
from catalog.errors import ArtifactError
from serving.version_table import State


def test_a_version_appears_whole_and_shares_its_files(tmp_path: Path) -> None:
    source, base = tmp_path / "search" / "3", tmp_path / "base"
    (source / "variables").mkdir(parents=True)
    (source / "variables" / "data").write_bytes(b"weights")
    base.mkdir()
    publish(source, base, 7)
    assert [item.name for item in base.iterdir()] == ["7"]
    assert (base / "7" / "variables" / "data").samefile(source / "variables" / "data")


class Refusal(grpc.RpcError):
    """A call that ended in `code`."""

    def __init__(self, code: grpc.StatusCode, details: str = "") -> None:
        self.code = lambda: code
        self.details = lambda: details


FULL = Refusal(grpc.StatusCode.UNAVAILABLE, "the queue is full")


class Status:
    """Answers GetModelStatus with one mapping of version to state after the other, and with the last one for good."""

    def __init__(self, *answers: dict[int, State] | Refusal) -> None:
        self.answers = list(answers)

    def GetModelStatus(self, request: object, timeout: float) -> SimpleNamespace:
        assert timeout == version_changes._STATUS_SECONDS
        states = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(states, Refusal):
            raise states
        versions = [SimpleNamespace(version=version, state=state) for version, state in states.items()]
        return SimpleNamespace(model_version_status=versions)


def test_a_version_that_replaces_another_is_waited_for_until_that_is_unloaded() -> None:
    ready, gone = {2: State.AVAILABLE}, {2: State.AVAILABLE, 1: State.END}
    stub = Status({1: State.AVAILABLE}, ready | {1: State.UNLOADING}, gone, {})
    wait_for(stub, "search", gone)
    assert stub.answers == [{}]


def test_a_version_beside_another_is_waited_for_until_both_answer() -> None:
    both = {1: State.AVAILABLE, 2: State.AVAILABLE}
    stub = Status({1: State.AVAILABLE}, {1: State.AVAILABLE, 2: State.LOADING}, both, {})
    wait_for(stub, "search", both)
    assert stub.answers == [{}]


def test_a_version_that_does_not_load_is_told() -> None:
    stub = Status({1: State.AVAILABLE, 2: State.LOADING}, {1: State.AVAILABLE, 2: State.END})
    with pytest.raises(ArtifactError, match="version 2 of search does not load"):
        wait_for(stub, "search", {1: State.AVAILABLE, 2: State.AVAILABLE})


def test_a_version_is_not_waited_for_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_changes, "_CHANGE_SECONDS", 0.1)
    with pytest.raises(ArtifactError, match=r"after 0\.1 s the versions of search are .* was wanted$"):
        wait_for(Status(FULL, {1: State.LOADING}), "search", {1: State.AVAILABLE})


def test_a_busy_server_is_asked_again() -> None:
    late, ready = Refusal(grpc.StatusCode.DEADLINE_EXCEEDED), {1: State.AVAILABLE}
    stub = Status(FULL, late, ready, {})
    wait_for(stub, "search", ready)
    assert stub.answers == [{}]


def test_a_server_that_answers_no_more_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(version_changes, "_CHANGE_SECONDS", 0.1)
    gone = Refusal(grpc.StatusCode.UNAVAILABLE, "failed to connect")
    with pytest.raises(ArtifactError, match="the last call ended in UNAVAILABLE: failed to connect"):
        wait_for(Status({1: State.LOADING}, gone), "search", {1: State.AVAILABLE})


def test_another_refusal_comes_out() -> None:
    refused = Refusal(grpc.StatusCode.NOT_FOUND)
    with pytest.raises(Refusal) as error:
        wait_for(Status(FULL, refused), "search", {1: State.AVAILABLE})
    assert error.value is refused


def test_each_phase_tells_the_rate_that_was_answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At 100 requests a second for 2 s: 200 answered without changes, 150 meanwhile, 180 afterwards."""
    loads = [Load(np.full(answers, 0.01), elapsed=2.0, failed=200 - answers) for answers in (200, 150, 180)]
    monkeypatch.setattr(version_changes, "open_loop", lambda *given, **settings: loads.pop(0))
    monkeypatch.setattr(version_changes, "closed_loop", lambda *given: Load(np.full(400, 0.01), elapsed=2.0))
    monkeypatch.setattr(version_changes, "_change", lambda *given: (1.0, [1 << 20]))
    server = ServerProcess("nowhere", None, os.getpid(), lambda: None)
    arguments = argparse.Namespace(seconds=2.0, rate=None, changes=1, model="search")
    report = version_changes._measure(server, [b""], tmp_path, tmp_path, arguments)
    assert report["rate"] == 100.0
    assert report["answered_rate"] == {"steady": 100.0, "changing": 75.0, "after": 90.0}
    assert report["failed"] == 70
