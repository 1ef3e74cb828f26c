"""Versions while the server runs: every test has base paths of its own and a manager that polls ten times a second."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.call_record import Call
from serving.errors import Rejection
from serving.loading import warm_up
from serving.manager import Loader, ModelManager
from serving.messages import ModelServerConfig, ModelSpec
from serving.model_config import parse_model_config
from serving.servable import Servable
from serving.version_table import State
from serving.warmup import write_warmup
from tests.serving.asking import eventually

AddVersion = Callable[[Path, str, int, int], None]
Start = Callable[..., ModelManager]
ONE = {"x": np.ones(1, np.float32), "text": np.array(["a"], object)}


def load(name: str, path: Path) -> Servable:
    servable = Servable(path)
    warm_up(servable, path)
    return servable


def held_up(number: str) -> tuple[Loader, threading.Event, threading.Event]:
    """A loader that sets the first event when it comes to the version `number`, and waits there for the second."""
    loading, may_load = threading.Event(), threading.Event()

    def slow(name: str, path: Path) -> Servable:
        if path.name == number:
            loading.set()
            assert may_load.wait(30)
        return load(name, path)

    return slow, loading, may_load


def config_of(base: Path, extra: str = "", name: str = "scale") -> ModelServerConfig:
    text = f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {extra} }}'
    return parse_model_config(f"model_config_list {{ {text} }}", "test")


@pytest.fixture
def start() -> Iterator[Start]:
    managers = []

    def run(config: ModelServerConfig, **settings: int) -> ModelManager:
        manager = ModelManager(load, poll_seconds=0.1, **settings)
        managers.append(manager)
        manager.start(config)
        return manager

    yield run
    for manager in managers:
        manager.close()


def spec(version: int | None = None, label: str = "") -> ModelSpec:
    wanted = ModelSpec(name="scale")
    if version is not None:
        wanted.version.value = version
    if label:
        wanted.version_label = label
    return wanted


def factor(manager: ModelManager, wanted: ModelSpec | None = None) -> float:
    """What the served version multiplies by: 2 for the first export, 3 for the second."""
    with manager.lease(wanted or spec()) as version:
        assert version.servable is not None
        return float(version.servable.run("serving_default", ONE)["y"][0])


def states(manager: ModelManager) -> dict[int, State]:
    return {version.number: version.state for version in manager.states("scale")}


def test_a_new_version_takes_over_and_the_old_one_ends(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    assert factor(manager) == 2.0
    add_version(tmp_path, "scale", 2, 2)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})
    assert list(states(manager)) == [2, 1]  # newest first
    assert factor(manager) == 3.0


def test_requests_are_answered_at_every_moment_of_a_change(
    start: Start, add_version: AddVersion, tmp_path: Path
) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    seen: list[float] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            seen.append(factor(manager))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    add_version(tmp_path, "scale", 2, 2)
    eventually(lambda: states(manager).get(1) is State.END)
    done.set()
    for thread in threads:
        thread.join()
    assert set(seen) <= {2.0, 3.0}
    assert seen[-1] == 3.0


def test_a_version_is_unloaded_however_seldom_folders_are_polled(add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    add_version(tmp_path, "scale", 2, 2)
    manager = ModelManager(load, poll_seconds=1e10)  # a wait is of 292 years at most
    try:
        manager.start(config_of(tmp_path, "model_version_policy { all {} }"))
        with manager.lease(spec(1)):
            manager.reload(config_of(tmp_path))
            assert states(manager) == {2: State.AVAILABLE, 1: State.UNLOADING}
        eventually(lambda: states(manager)[1] is State.END)
    finally:
        manager.close()


def test_memory_is_given_back_once_a_change_of_version_and_once_a_load_that_ends_nothing(
    start: Start, add_version: AddVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    walks: list[dict[int, State]] = []
    monkeypatch.setattr("serving.manager.give_memory_back", lambda: walks.append(states(manager)))
    manager = ModelManager(load, poll_seconds=0.1)
    try:
        add_version(tmp_path, "scale", 1, 1)
        manager.start(config_of(tmp_path))
        assert walks == [{1: State.AVAILABLE}]
        add_version(tmp_path, "scale", 2, 2)
        eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})
        assert walks[1:] == [{2: State.AVAILABLE, 1: State.UNLOADING}]
        (tmp_path / "3").mkdir()
        (tmp_path / "3" / "saved_model.pb").write_bytes(b"broken")
        eventually(lambda: len(walks) == 3)
        assert walks[2] == {3: State.END, 2: State.AVAILABLE, 1: State.END}
    finally:
        manager.close()


def test_a_version_that_does_not_close_ends_all_the_same(
    start: Start, add_version: AddVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    with manager.lease(spec()) as version:
        assert version.servable is not None
        real = version.servable.close
        version.servable.close = lambda: real() or 1 / 0  # type: ignore[method-assign, assignment, func-returns-value]
    add_version(tmp_path, "scale", 2, 2)
    eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.END})
    assert "closing scale version 1 failed" in caplog.text
    add_version(tmp_path, "scale", 1, 3)
    eventually(lambda: states(manager) == {3: State.AVAILABLE, 2: State.END, 1: State.END})


def test_a_request_in_flight_finishes_on_its_version(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    with manager.lease(spec()) as version:
        add_version(tmp_path, "scale", 2, 2)
        eventually(lambda: states(manager) == {2: State.AVAILABLE, 1: State.UNLOADING})
        assert factor(manager) == 3.0
        assert version.servable is not None
        assert version.servable.run("serving_default", ONE)["y"].tolist() == [2.0]
        with pytest.raises(Rejection, match=r"Specific\(scale, 1\)"):
            factor(manager, spec(1))
    eventually(lambda: states(manager)[1] is State.END)


def test_the_first_version_of_every_model_is_waited_for(
    add_version: AddVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    there, missing = tmp_path / "there", tmp_path / "missing"
    add_version(there, "scale", 1, 1)
    config = config_of(there)
    config.model_config_list.config.add(name="later", base_path=str(missing), model_platform="tensorflow")
    manager = ModelManager(load, poll_seconds=0.1, wait_for_versions=True)
    starting = threading.Thread(target=manager.start, args=(config,))
    starting.start()
    try:
        eventually(lambda: "waiting for a version of later: Could not find base path" in caplog.text)
        assert factor(manager) == 2.0  # what is there is loaded meanwhile
        add_version(missing, "scale", 2, 1)
        starting.join(20)
        assert not starting.is_alive()
        assert factor(manager, ModelSpec(name="later")) == 3.0
        assert caplog.text.count("waiting for a version") == 1  # told once, however often it was looked
    finally:
        manager.give_up()
        starting.join()
        manager.close()


def test_waiting_for_a_version_can_be_given_up(tmp_path: Path) -> None:
    manager = ModelManager(load, poll_seconds=60, wait_for_versions=True)
    threading.Timer(0.2, manager.give_up).start()
    with pytest.raises(Rejection, match="the server is stopping") as refused:
        manager.start(config_of(tmp_path))
    assert refused.value.code is grpc.StatusCode.CANCELLED
    manager.close()


def break_model(version: Path) -> None:
    (version / "saved_model.pb").write_bytes((version / "saved_model.pb").read_bytes()[:100])


def break_variables(version: Path) -> None:
    (version / "variables" / "variables.data-00000-of-00001").write_bytes(b"")


def break_warmup(version: Path) -> None:
    write_warmup(version, "scale", [("fails", {"x": np.array([0], np.int32)})])


@pytest.mark.parametrize("damage", [break_model, break_variables, break_warmup], ids=["graph", "variables", "warm-up"])
def test_a_broken_new_version_leaves_the_old_one_and_shows_its_error(
    start: Start, add_version: AddVersion, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    base = tmp_path / "scale"
    add_version(base, "scale", 1, 1)
    manager = start(config_of(base))
    add_version(tmp_path / "staging", "scale", 2, 2)
    damage(tmp_path / "staging" / "2")
    (tmp_path / "staging" / "2").rename(base / "2")
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})
    error = manager.states("scale")[0].error
    assert error is not None
    assert error.message
    assert str(tmp_path) not in error.message
    assert factor(manager) == 2.0
    add_version(base, "scale", 2, 3)  # the next good one goes past it
    eventually(lambda: factor(manager) == 3.0)


def test_removing_the_newest_falls_back(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    add_version(tmp_path, "scale", 2, 2)
    manager = start(config_of(tmp_path))
    assert factor(manager) == 3.0
    assert states(manager) == {2: State.AVAILABLE}
    shutil.rmtree(tmp_path / "2")
    eventually(lambda: states(manager) == {2: State.END, 1: State.AVAILABLE})
    assert factor(manager) == 2.0
    add_version(tmp_path, "scale", 2, 2)  # a number that was gone may come back
    eventually(lambda: factor(manager) == 3.0)


def test_a_withdrawn_version_answers_no_longer_while_an_older_one_loads(
    add_version: AddVersion, tmp_path: Path
) -> None:
    slow, loading, may_load = held_up("1")
    for source, number in ((1, 1), (2, 2), (1, 3)):
        add_version(tmp_path, "scale", source, number)
    manager = ModelManager(slow, poll_seconds=0.1)
    try:
        manager.start(config_of(tmp_path, "model_version_policy { latest { num_versions: 2 } }"))
        assert factor(manager) == 2.0
        (tmp_path / "3").rename(tmp_path / ".withdrawn.3")
        assert loading.wait(20)
        assert factor(manager) == 3.0
        assert states(manager)[1] is State.LOADING
        may_load.set()
        eventually(lambda: states(manager) == {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.END})
    finally:
        may_load.set()
        manager.close()


def test_the_same_number_exported_again_is_ignored(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    shutil.copytree(tmp_path / "1", tmp_path / "aside")
    add_version(tmp_path / "other", "scale", 2, 1)
    (tmp_path / "other" / "1" / "saved_model.pb").replace(tmp_path / "1" / "saved_model.pb")
    time.sleep(0.4)
    assert factor(manager) == 2.0
    assert states(manager) == {1: State.AVAILABLE}


def test_a_base_path_that_vanishes_changes_nothing_and_is_logged_once(
    start: Start, add_version: AddVersion, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tmp_path / "scale"
    add_version(base, "scale", 1, 1)
    manager = start(config_of(base))

    def times_told() -> int:
        return caplog.text.count("waiting for a version of scale: Could not find base path")

    base.rename(tmp_path / "gone")
    time.sleep(0.4)
    assert factor(manager) == 2.0
    assert times_told() == 1
    (tmp_path / "gone").rename(base)
    time.sleep(0.4)
    base.rename(tmp_path / "gone")
    eventually(lambda: times_told() == 2)


def test_watching_goes_on_after_a_reload_to_what_is_no_path(
    start: Start, add_version: AddVersion, tmp_path: Path
) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    no_path = config_of(tmp_path)
    no_path.model_config_list.config[0].base_path += "\0"
    with pytest.raises(Rejection) as error:
        manager.reload(no_path)
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    add_version(tmp_path, "scale", 2, 2)
    eventually(lambda: factor(manager) == 3.0)


def test_watching_survives_what_nobody_thought_of(
    start: Start,
    add_version: AddVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    add_version(tmp_path, "scale", 1, 1)
    manager = start(config_of(tmp_path))
    with monkeypatch.context() as broken:
        broken.setattr("serving.manager.find_versions", lambda model: {}[model.name])
        eventually(lambda: "looking at the versions failed" in caplog.text)
    add_version(tmp_path, "scale", 2, 2)
    eventually(lambda: factor(manager) == 3.0)


def test_folders_that_are_no_numbers_are_none(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    for name in (".staging.9", "9.tmp", "-9", "nine", "٩"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").write_text("a file")
    assert states(start(config_of(tmp_path))) == {1: State.AVAILABLE}


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", {4}),
        ("model_version_policy { latest { num_versions: 2 } }", {4, 3}),
        ("model_version_policy { all {} }", {1, 3, 4}),
        ("model_version_policy { specific { versions: 1 versions: 3 versions: 8 } }", {1, 3}),
    ],
    ids=["default", "latest", "all", "specific"],
)
def test_policies(start: Start, add_version: AddVersion, tmp_path: Path, policy: str, served: set[int]) -> None:
    for number in (1, 3, 4):
        add_version(tmp_path, "scale", 1, number)
    assert set(states(start(config_of(tmp_path, policy)))) == served


def test_labels_name_versions_and_move_by_reload(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    add_version(tmp_path, "scale", 2, 2)
    both = "model_version_policy { all {} }"
    label = 'version_labels {{ key: "stable" value: {} }}'
    manager = start(config_of(tmp_path, both))
    with pytest.raises(Rejection, match="Unrecognized servable version label: stable"):
        factor(manager, spec(label="stable"))
    manager.reload(config_of(tmp_path, both + label.format(1)))
    assert factor(manager, spec(label="stable")) == 2.0
    manager.reload(config_of(tmp_path, both + label.format(2)))
    assert factor(manager, spec(label="stable")) == 3.0
    with pytest.raises(Rejection) as error:
        manager.reload(config_of(tmp_path, both + label.format(5)))
    assert error.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert error.value.message == (
        "Request to assign label to version 5 of model scale, which is not currently available for inference"
    )
    assert factor(manager, spec(label="stable")) == 3.0


def test_a_label_moves_while_another_version_loads(add_version: AddVersion, tmp_path: Path) -> None:
    slow, loading, may_load = held_up("3")

    def labelled(versions: str, stable: int) -> ModelServerConfig:
        policy = f"model_version_policy {{ {versions} }}"
        return config_of(tmp_path, f'{policy} version_labels {{ key: "stable" value: {stable} }}')

    add_version(tmp_path, "scale", 1, 1)
    add_version(tmp_path, "scale", 2, 2)
    manager = ModelManager(slow, poll_seconds=0)
    try:
        manager.start(config_of(tmp_path, "model_version_policy { all {} }"))
        add_version(tmp_path, "scale", 1, 3)
        reload = threading.Thread(target=manager.reload, args=[labelled("specific { versions: 2 versions: 3 }", 2)])
        reload.start()
        assert loading.wait(20)
        assert factor(manager, spec(label="stable")) == 3.0
        manager.reload(labelled("specific { versions: 1 versions: 3 }", 1))
        assert factor(manager, spec(label="stable")) == 2.0
        assert states(manager) == {1: State.AVAILABLE, 2: State.AVAILABLE, 3: State.LOADING}
        may_load.set()
        # What the second config wants besides is done when the load is, and nothing of what only the first wanted.
        while (now := states(manager)) != {1: State.AVAILABLE, 2: State.END, 3: State.AVAILABLE}:
            assert now[1] is State.AVAILABLE
            assert factor(manager, spec(label="stable")) == 2.0
        reload.join()
    finally:
        may_load.set()
        manager.close()


def outcome_of(reload: Callable[[], None]) -> tuple[threading.Thread, list[str]]:
    """A thread that reloads, and what comes of it, once it has come: OK or the error's status."""
    outcomes: list[str] = []

    def run() -> None:
        try:
            reload()
            outcomes.append("OK")
        except Rejection as error:
            outcomes.append(error.code.name)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, outcomes


def one_and_both(add_version: AddVersion, folder: Path, other: int) -> tuple[ModelServerConfig, ModelServerConfig]:
    """A config of version 1 of a model, and one of that and of the version `other` of another model."""
    one, both = config_of(folder / "scale"), config_of(folder / "scale")
    both.MergeFrom(config_of(folder / "other", name="other"))
    add_version(folder / "scale", "scale", 1, 1)
    add_version(folder / "other", "scale", other, other)
    return one, both


def test_configs_come_one_after_the_other_each_with_a_result_of_its_own(
    add_version: AddVersion, tmp_path: Path
) -> None:
    slow, loading, may_load = held_up("2")
    one, both = one_and_both(add_version, tmp_path, 2)
    manager = ModelManager(slow, poll_seconds=0)
    try:
        manager.start(one)
        first, added = outcome_of(lambda: manager.reload(both))
        assert loading.wait(20)
        second, removed = outcome_of(lambda: manager.reload(one))
        second.join(0.3)
        assert manager.config == both
        assert not removed
        may_load.set()
        first.join(20)
        second.join(20)
        assert (added, removed) == (["OK"], ["OK"])
        eventually(lambda: manager.states("other")[0].state is State.END)
        break_model(tmp_path / "other" / "2")
        with pytest.raises(Rejection, match=r"1 model\(s\) did not become available"):  # it is new again
            manager.reload(both)
        assert factor(manager) == 2.0
    finally:
        may_load.set()
        manager.close()
    with pytest.raises(Rejection, match="the server is stopping"):
        manager.reload(both)


def test_a_config_that_nobody_waits_for_any_more_holds_no_thread_and_is_done_later(
    add_version: AddVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, loading, may_load = held_up("2")
    one, both = one_and_both(add_version, tmp_path, 1)
    manager = ModelManager(slow, poll_seconds=0)
    try:
        manager.start(one)
        add_version(tmp_path / "scale", "scale", 2, 2)
        first, loaded = outcome_of(lambda: manager.reload(one))
        assert loading.wait(20)
        call = Call()
        monkeypatch.setattr("serving.manager.current_call", lambda: call)
        second, left = outcome_of(lambda: manager.reload(both))
        eventually(lambda: manager.config == both)
        third, never_came = outcome_of(lambda: manager.reload(one))
        call.departure.leave()
        second.join(20)
        third.join(20)
        assert (left, never_came, manager.config) == (["CANCELLED"], ["CANCELLED"], both)
        may_load.set()
        eventually(lambda: any(version.state is State.AVAILABLE for version in manager.states("other")))
        first.join(20)
        assert loaded == ["OK"]
    finally:
        may_load.set()
        manager.close()


@pytest.mark.parametrize("stays", [True, False])
def test_a_model_that_comes_back_is_loaded_when_what_is_left_of_it_has_gone(
    add_version: AddVersion, tmp_path: Path, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether or not the client stays to see it."""
    both, one = config_of(tmp_path), config_of(tmp_path, name="other")
    both.MergeFrom(one)
    add_version(tmp_path, "scale", 1, 1)
    manager = ModelManager(load, poll_seconds=0)
    try:
        manager.start(both)
        with manager.lease(spec()):
            manager.reload(one)
            assert states(manager) == {1: State.UNLOADING}
            call = Call()
            monkeypatch.setattr("serving.manager.current_call", lambda: call)
            reload, outcome = outcome_of(lambda: manager.reload(both))
            eventually(lambda: manager.states("scale")[0].wanted)
            if not stays:
                call.departure.leave()
                reload.join(20)
            assert outcome == ([] if stays else ["CANCELLED"])
            assert states(manager) == {1: State.UNLOADING}
        reload.join(20)
        assert outcome == (["OK"] if stays else ["CANCELLED"])
        if not stays:
            eventually(lambda: states(manager) == {1: State.AVAILABLE})
        assert factor(manager) == 2.0
    finally:
        manager.close()


def test_a_server_that_stops_waits_for_no_model_that_comes_back(add_version: AddVersion, tmp_path: Path) -> None:
    both, one = config_of(tmp_path), config_of(tmp_path, name="other")
    both.MergeFrom(one)
    add_version(tmp_path, "scale", 1, 1)
    manager = ModelManager(load, poll_seconds=0)
    manager.start(both)
    with manager.lease(spec()):
        manager.reload(one)
        reload, outcome = outcome_of(lambda: manager.reload(both))
        eventually(lambda: manager.states("scale")[0].wanted)
        assert not manager.close(patience=0.5)
        reload.join(20)
        assert outcome == ["CANCELLED"]
    assert manager.close()


def test_labels_at_start_need_their_flag(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path, "scale", 1, 1)
    labelled = config_of(tmp_path, 'version_labels { key: "stable" value: 1 }')
    with pytest.raises(Rejection, match="not currently available"):
        ModelManager(load).start(labelled)
    assert factor(start(labelled, labels_before_versions=True), spec(label="stable")) == 2.0


def test_reload_adds_and_removes_models(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    add_version(tmp_path / "scale", "scale", 1, 1)
    add_version(tmp_path / "other", "scale", 2, 1)
    manager = start(config_of(tmp_path / "scale"))
    manager.reload(config_of(tmp_path / "other", name="other"))
    with manager.lease(ModelSpec(name="other")) as version:
        assert version.model == "other"
    with pytest.raises(Rejection, match=r"Latest\(scale\)"):
        factor(manager)
    assert states(manager) == {1: State.END}
    with pytest.raises(Rejection, match="Could not find base path") as error:
        manager.reload(config_of(tmp_path / "absent", name="absent"))
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT


def test_a_model_that_a_reload_failed_on_stays_new_until_it_is_available(
    start: Start, add_version: AddVersion, tmp_path: Path
) -> None:
    add_version(tmp_path / "scale", "scale", 1, 1)
    manager = start(config_of(tmp_path / "scale"))
    both = config_of(tmp_path / "scale")
    both.MergeFrom(config_of(tmp_path / "late", name="late"))
    for _ in range(2):
        with pytest.raises(Rejection, match="Could not find base path"):
            manager.reload(both)
    add_version(tmp_path / "late", "scale", 1, 1)
    manager.reload(both)
    shutil.rmtree(tmp_path / "late")
    manager.reload(both)  # a base path that vanishes later is no failure of the reload


def test_a_model_without_a_version_that_loads_stops_the_start(
    start: Start, add_version: AddVersion, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Rejection) as error:
        ModelManager(load).start(config_of(tmp_path / "empty"))
    assert error.value.code is grpc.StatusCode.NOT_FOUND
    add_version(tmp_path / "broken", "scale", 1, 1)
    break_model(tmp_path / "broken" / "1")
    with pytest.raises(
        Rejection,
        match=r"1 servable\(s\) did not become available: \{\{\{name: scale version: 1\} "
        r"due to error: OUT_OF_RANGE: Read less bytes than requested",  # TensorFlow's own status
    ):
        ModelManager(load).start(config_of(tmp_path / "broken"))


def test_models_load_side_by_side(start: Start, add_version: AddVersion, tmp_path: Path) -> None:
    """Both loads wait for each other, which only works if neither waits for the other to end."""
    for name in ("a", "b"):
        add_version(tmp_path / name, "scale", 1, 1)
    both = threading.Barrier(2)

    def load_together(name: str, path: Path) -> Servable:
        both.wait(timeout=60)
        return load(name, path)

    config = config_of(tmp_path / "a", name="a")
    config.MergeFrom(config_of(tmp_path / "b", name="b"))
    manager = ModelManager(load_together, poll_seconds=0, load_threads=2)
    manager.start(config)
    assert [manager.states(name)[0].state for name in ("a", "b")] == [State.AVAILABLE] * 2
    manager.close()
