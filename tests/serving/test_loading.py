"""Another try at loading, and how a stopping server ends it."""

import math
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest

from catalog.errors import ArtifactError
from serving import background
from serving.call_record import Call, in_hand
from serving.errors import Rejection
from serving.loading import Loader
from serving.monitoring import Monitoring
from serving.servable import ALL, ALL_BUT_ONE
from serving.server_config import ServerConfig
from serving.tensors import Array
from tests.serving.asking import eventually

HOUR = 3_600_000_000  # in microseconds


def config_of(path: Path, **settings: object) -> ServerConfig:
    return ServerConfig(model_name="scale", model_base_path=path, **settings)


def test_a_version_that_appears_late_is_loaded_by_a_later_try(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    late = tmp_path / "1"
    monitoring = Monitoring(list)
    load = Loader(config_of(tmp_path, max_num_load_retries=1, load_retry_interval_micros=HOUR), monitoring)
    loaded = []
    thread = threading.Thread(target=lambda: loaded.append(load("scale", late)))
    waiting = load._given_up.wait

    def appear(timeout: float | None = None) -> bool:
        late.symlink_to(exported / "scale" / "1")
        assert timeout == 3600.0
        return waiting(0)

    load._given_up.wait = appear  # type: ignore[method-assign]
    thread.start()
    thread.join(timeout=60)
    assert [servable.path for servable in loaded] == [late]
    assert "1 more tries" in caplog.text
    page = monitoring.page()
    assert f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{late}",status="fail"}} 1' in page
    assert f':tensorflow:cc:saved_model:load_attempt_count{{model_path="{late}",status="success"}} 1' in page
    assert f':tensorflow:serving:model_warmup_latency_count{{model_path="{late}",status="OK"}} 1' in page
    assert f':tensorflow:serving:model_warmup_records_read{{model_path="{late}",status="OK"}} 1' in page
    loaded[0].close()


def test_a_loaded_version_checks_method_names_where_that_is_wanted(exported: Path, tmp_path: Path) -> None:
    for wanted in (False, True):
        load = Loader(config_of(tmp_path, enable_signature_method_name_check=wanted), Monitoring(list))
        servable = load("scale", exported / "scale" / "1")
        assert servable.checks_method_names is wanted
        servable.close()


def test_a_batch_in_company_leaves_a_thread(exported: Path, tmp_path: Path) -> None:
    """What is asked at a time goes to TensorFlow in two pools: all threads for one, all but one for several."""
    load = Loader(config_of(tmp_path, enable_batching=True), Monitoring(list))
    servable = load("scale", exported / "scale" / "1")
    pools = []
    run = servable._session.run

    def record(feeds: Any, fetches: Any, milliseconds: int, pool: int = ALL) -> list[Array]:
        pools.append(pool)
        return run(feeds, fetches, milliseconds, pool)

    servable._session.run = record  # type: ignore[method-assign]
    inputs = {"x": np.ones(1, np.float32), "text": np.array([b"a"], object)}
    servable.run("serving_default", inputs)
    assert load._batcher is not None
    with in_hand(Call()):
        servable.run("serving_default", inputs)
    servable.run("serving_default", inputs | {"text": np.array([b"a" * 100_000], object)})  # too long to be merged
    servable.run("slow", {"steps": np.array(1, np.int32)})  # cannot be merged
    assert pools == [ALL, ALL_BUT_ONE, ALL, ALL]
    servable.close()
    load.close()


def test_a_batch_that_nobody_waits_for_any_more_keeps_its_session(exported: Path, tmp_path: Path) -> None:
    load = Loader(config_of(tmp_path, enable_batching=True), Monitoring(list))
    servable = load("scale", exported / "scale" / "1")
    run, gate, begun = servable._session.run, threading.Event(), threading.Event()
    ran, told = [], threading.Event()

    def wait(*asked: Any) -> list[Array]:
        begun.set()
        assert gate.wait(30)
        ran.append(run(*asked))
        return ran[-1]

    servable._session.run = wait  # type: ignore[method-assign]
    servable.on_idle = told.set
    inputs = {"x": np.ones(1, np.float32), "text": np.array([b"a"], object)}
    with pytest.raises(Rejection, match="the deadline passed"):
        servable.run("serving_default", inputs, timeout=0.2)
    assert begun.is_set()
    assert servable.busy
    closing = threading.Thread(target=servable.close)
    closing.start()
    closing.join(0.2)
    assert closing.is_alive()
    gate.set()
    closing.join(30)
    assert ran
    assert told.is_set()
    assert not servable.busy
    with pytest.raises(Rejection, match="has been unloaded"):
        servable.run("serving_default", inputs)
    load.close()


def test_after_the_last_try_the_error_comes_out(tmp_path: Path) -> None:
    load = Loader(config_of(tmp_path, max_num_load_retries=2, load_retry_interval_micros=-1), Monitoring(list))
    with pytest.raises(ArtifactError, match="the SavedModel cannot be loaded"):
        load("scale", tmp_path / "1")


@pytest.mark.parametrize("micros", [HOUR, 2**63 - 1])
def test_a_stopping_server_waits_for_no_further_try(
    tmp_path: Path, micros: int, caplog: pytest.LogCaptureFixture
) -> None:
    load = Loader(config_of(tmp_path, max_num_load_retries=1, load_retry_interval_micros=micros), Monitoring(list))
    errors: list[Exception] = []

    def run() -> None:
        try:
            load("scale", tmp_path / "1")
        except Exception as error:  # noqa: BLE001 - looked at below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    eventually(lambda: "1 more tries" in caplog.text)
    thread.join(0.1)
    assert thread.is_alive()
    load.give_up()
    thread.join(timeout=60)
    assert not thread.is_alive()
    assert isinstance(errors[0], (ArtifactError, Rejection))
    with pytest.raises(Rejection, match="the server is stopping"):
        load("scale", tmp_path / "1")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has priorities of single threads")
def test_what_loads_gives_way_and_no_thread_that_it_leaves_behind_does(
    exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    during: list[tuple[int, int]] = []

    def note(*_: object) -> int:
        during.append(priority())
        return 0

    monkeypatch.setattr("serving.loading.warm_up", note)
    monkeypatch.setattr(background, "_processor_seconds", lambda thread: math.inf)  # never too little
    usual = priority()
    load = Loader(config_of(exported, enable_batching=True), Monitoring(list))
    load("scale", exported / "scale" / "1").close()
    load.give_way()
    servable = load("scale", exported / "scale" / "1")
    behind = (os.SCHED_IDLE, usual[1]) if background._may_come_forward() else (os.SCHED_OTHER, 10)
    assert during == [usual, behind]
    until = monotonic() + 30
    while (left := others(usual)) and monotonic() < until:
        sleep(0.01)  # the thread that loaded has ended for Python, and ends for the system when it gets its turn
    assert not left
    servable.close()


def priority(thread: int = 0) -> tuple[int, int]:
    """Policy and niceness of a thread, by default the one that asks."""
    return os.sched_getscheduler(thread), os.getpriority(os.PRIO_PROCESS, thread)


def others(usual: tuple[int, int]) -> list[int]:
    """The threads of this process that do not have the usual priority."""
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            if priority(int(task.name)) != usual:
                found.append(int(task.name))
    return found
