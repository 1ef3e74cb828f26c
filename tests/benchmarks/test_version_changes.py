"""How a release is published again, and waited for."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import version_changes
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


class Status:
    """Answers GetModelStatus with one mapping of version to state after the other, and with the last one for good."""

    def __init__(self, *answers: dict[int, State]) -> None:
        self.answers = list(answers)

    def GetModelStatus(self, request: object) -> SimpleNamespace:
        states = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
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
    with pytest.raises(ArtifactError, match=r"after 0\.1 s the versions of search are"):
        wait_for(Status({1: State.LOADING}), "search", {1: State.AVAILABLE})
