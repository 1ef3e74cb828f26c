"""States, leases and labels of versions that no model stands behind."""

from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from serving.errors import Rejection
from serving.messages import ModelServerConfig, ModelSpec
from serving.model_config import parse_model_config
from serving.servable import Servable
from serving.version_table import State, Version, VersionTable


class NeverRun:
    busy = False
    on_idle = staticmethod(lambda: None)


SERVABLE = cast(Servable, NeverRun())


def spec(version: int | None = None, label: str = "", name: str = "m") -> ModelSpec:
    wanted = ModelSpec(name=name)
    if version is not None:
        wanted.version.value = version
    if label:
        wanted.version_label = label
    return wanted


def config(label: str, number: int) -> ModelServerConfig:
    text = f'name: "m" base_path: "/m" model_platform: "tensorflow" version_labels {{ key: "{label}" value: {number} }}'
    return parse_model_config(f"model_config_list {{ config {{ {text} }} }}", "test")


def paths(*numbers: int) -> dict[int, Path]:
    return {number: Path(f"/m/{number}") for number in numbers}


def add_available(table: VersionTable, *numbers: int) -> list[Version]:
    added = table.add_wanted("m", paths(*numbers))
    for version in added:
        table.set_available(version, SERVABLE)
    return added


def states(table: VersionTable) -> dict[int, State]:
    return {version.number: version.state for version in table.states("m")}


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def table(told: list[str]) -> VersionTable:
    return VersionTable(on_drained=lambda: told.append("drained"))


def test_the_newest_available_version_is_leased_unless_the_request_names_one(table: VersionTable) -> None:
    add_available(table, 1, 2)
    table.add_wanted("m", paths(1, 2, 3))  # not loaded yet
    with table.lease(spec()) as newest, table.lease(spec(1)) as named:
        assert (newest.number, named.number) == (2, 1)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (spec(name=""), grpc.StatusCode.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (spec(label="stable"), grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: stable"),
        (spec(), grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)"),
        (spec(3), grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(m, 3)"),
    ],
)
def test_what_is_not_there_is_refused(table: VersionTable, asked: ModelSpec, code: grpc.StatusCode, words: str) -> None:
    table.add_wanted("m", paths(3))
    with pytest.raises(Rejection) as error, table.lease(asked):
        pass
    assert (error.value.code, error.value.message) == (code, words)


def test_a_version_is_wanted_newest_first_and_once(table: VersionTable) -> None:
    assert [version.number for version in table.add_wanted("m", paths(1, 10, 9))] == [10, 9, 1]
    assert table.add_wanted("m", paths(1, 10, 9)) == []


def test_a_version_that_failed_is_tried_again_only_after_it_was_gone(table: VersionTable) -> None:
    (version,) = table.add_wanted("m", paths(1))
    table.set_loading(version)
    assert states(table) == {1: State.LOADING}
    table.set_failed(version, Rejection(grpc.StatusCode.INTERNAL, "no"))
    assert states(table) == {1: State.END}
    assert table.add_wanted("m", paths(1)) == []
    assert table.add_wanted("m", {}) == []
    assert [version.number for version in table.add_wanted("m", paths(1))] == [1]


def test_what_is_newer_than_all_that_is_wanted_can_be_retired_alone(table: VersionTable) -> None:
    add_available(table, 1, 2, 4)
    table.retire("m", paths(2, 3), above=3)
    assert states(table) == {4: State.UNLOADING, 2: State.AVAILABLE, 1: State.AVAILABLE}


def test_nothing_is_retired_before_what_is_wanted_is_available(table: VersionTable) -> None:
    add_available(table, 1)
    table.add_wanted("m", paths(2))
    table.retire("m", paths(2))
    assert states(table) == {2: State.START, 1: State.AVAILABLE}


def test_a_retired_version_is_drained_when_its_last_request_has_finished(table: VersionTable, told: list[str]) -> None:
    (old,) = add_available(table, 1)
    with table.lease(spec()), table.lease(spec()):
        add_available(table, 2)
        table.retire("m", paths(2))
        assert states(table) == {2: State.AVAILABLE, 1: State.UNLOADING}
        assert table.unloading("m")
        assert not table.unloading("another")
        assert table.drained() == []
        with table.lease(spec()) as newest:
            assert newest.number == 2
        assert told == []
    assert told == ["drained"]
    assert table.drained() == [old]
    table.set_ended(old)
    assert table.drained() == []
    assert not table.unloading("m")


def test_a_version_whose_batch_outlives_its_requests_is_drained_after_it(table: VersionTable, told: list[str]) -> None:
    (old,) = table.add_wanted("m", paths(1))
    servable = NeverRun()
    table.set_available(old, cast(Servable, servable))
    servable.busy = True
    add_available(table, 2)
    table.retire("m", paths(2))
    assert table.drained() == []
    assert table.in_use()
    servable.on_idle()
    assert told == []
    servable.busy = False
    servable.on_idle()
    assert told == ["drained"]
    assert table.drained() == [old]
    assert not table.in_use()


class Closing(Version):
    """Closed right after its servable has been looked at."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if name == "servable":
            self.servable = None
        return value


def test_a_version_may_be_closed_while_its_use_is_looked_at(table: VersionTable, told: list[str]) -> None:
    servable = NeverRun()
    version = Closing("m", 1, Path("/m/1"))
    table.set_available(version, cast(Servable, servable))
    version.state = State.UNLOADING
    servable.on_idle()
    assert told == ["drained"]


def test_a_model_that_nobody_wants_is_retired_whole(table: VersionTable) -> None:
    add_available(table, 1, 2)
    table.retire("m", {})
    assert states(table) == {2: State.UNLOADING, 1: State.UNLOADING}


def test_a_label_stands_on_an_available_version_and_goes_with_its_replacement(table: VersionTable) -> None:
    add_available(table, 1, 2)
    table.set_labels(table.checked_labels(config("stable", 1), before_versions=False))
    with table.lease(spec(label="stable")) as version:
        assert version.number == 1
    table.set_labels(table.checked_labels(config("canary", 2), before_versions=False))
    with pytest.raises(Rejection, match="label: stable"), table.lease(spec(label="stable")):
        pass


@pytest.mark.parametrize(("before_versions", "accepted"), [(False, False), (True, True)])
def test_a_new_label_on_an_unavailable_version(table: VersionTable, before_versions: bool, accepted: bool) -> None:
    if accepted:
        assert table.checked_labels(config("stable", 3), before_versions) == {"m": {"stable": 3}}
    else:
        with pytest.raises(Rejection) as error:
            table.checked_labels(config("stable", 3), before_versions)
        assert error.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert "version 3 of model m" in error.value.message


def test_a_label_never_moves_to_an_unavailable_version(table: VersionTable) -> None:
    add_available(table, 1)
    table.set_labels(table.checked_labels(config("stable", 1), before_versions=True))
    with pytest.raises(Rejection, match="version 2 of model m"):
        table.checked_labels(config("stable", 2), before_versions=True)


def test_states_are_copies(table: VersionTable) -> None:
    add_available(table, 1)
    table.states("m")[0].state = State.END
    assert states(table) == {1: State.AVAILABLE}


def test_a_version_that_is_wanted_again_is_taken_up_once_it_is_unloaded(table: VersionTable) -> None:
    (version,) = add_available(table, 1)
    table.retire("m", ())
    assert not table.returning("m")
    assert table.add_wanted("m", paths(1)) == []
    assert table.returning("m")
    table.set_ended(version)
    assert table.returning("m")
    (again,) = table.add_wanted("m", paths(1))
    assert not table.returning("m")
    table.set_failed(again, Rejection(grpc.StatusCode.UNKNOWN, "broken"))
    assert table.add_wanted("m", paths(1)) == []
    assert not table.returning("m")
