import math
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from time import sleep, thread_time

import pytest

from serving import background
from serving.background import Background

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has priorities of single threads")


def priority() -> tuple[int, int]:
    """The policy and the niceness of the thread that asks."""
    return os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.fixture
def may(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Says whether a thread gets out of SCHED_IDLE again."""

    def set_to(allowed: bool) -> None:
        monkeypatch.setattr(background, "_may_come_forward", lambda: allowed)

    return set_to


def test_work_runs_at_the_usual_priority_until_there_are_requests_and_after_the_last() -> None:
    behind = Background()
    assert behind.run(priority) == priority()
    behind.give_way()
    assert behind.run(priority) != priority()
    behind.hurry()
    assert behind.run(priority) == priority()


def test_work_beside_requests_takes_idle_processors_where_that_can_be_ended(may: Callable[[bool], None]) -> None:
    behind = Background()
    behind.give_way()
    may(True)
    assert behind.run(priority)[0] == os.SCHED_IDLE
    may(False)
    assert behind.run(priority) == (os.SCHED_OTHER, 10)


@pytest.mark.skipif(not background._may_come_forward(), reason="this process may not leave SCHED_IDLE")
def test_threads_that_stay_behind_get_the_usual_priority() -> None:
    """A library may start threads as a model loads and answer requests in them afterwards, as ScaNN does."""
    behind = Background()
    behind.give_way()
    ended, seen = threading.Event(), []

    def stay() -> None:
        seen.append(priority())
        started.set()
        ended.wait(30)
        seen.append(priority())

    started, left = threading.Event(), threading.Thread(target=stay)

    def work() -> None:
        left.start()
        assert started.wait(30)

    behind.run(work)
    ended.set()
    left.join()
    assert [policy for policy, _ in seen] == [os.SCHED_IDLE, os.SCHED_OTHER]
    assert seen[1] == priority()


def test_a_process_that_is_nicer_already_stays_so(may: Callable[[bool], None]) -> None:
    behind = Background()
    behind.give_way()
    may(False)
    seen: list[tuple[int, int]] = []

    def as_a_nice_process() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)  # threads that it starts inherit this
        seen.append(behind.run(priority))

    thread = threading.Thread(target=as_a_nice_process)
    thread.start()
    thread.join()
    assert seen == [(os.SCHED_OTHER, 15)]


@pytest.mark.skipif(not background._may_come_forward(), reason="this process may not leave SCHED_IDLE")
@pytest.mark.parametrize("why", ["starved", "hurried"])
def test_work_that_gets_next_to_nothing_goes_on_at_a_low_priority_and_so_it_does_at_the_end(
    why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    got = {"starved": 0.0, "hurried": 1e9}
    monkeypatch.setattr(background, "_processor_seconds", lambda thread: got[why])
    behind = Background(look=0.01 if why == "starved" else 60.0)
    behind.give_way()
    begun = threading.Event()

    def work() -> tuple[int, int]:
        assert os.sched_getscheduler(0) == os.SCHED_IDLE
        begun.set()
        while priority() != (os.SCHED_OTHER, 10):
            sleep(0.001)
        return priority()

    if why == "hurried":
        threading.Thread(target=lambda: (begun.wait(60), behind.hurry())).start()
    assert behind.run(work) == (os.SCHED_OTHER, 10)


@pytest.mark.skipif(not background._may_come_forward(), reason="this process may not leave SCHED_IDLE")
def test_work_that_gets_its_tenth_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    enough = threading.Event()

    def processor_seconds(thread: int) -> float:
        looks.append(thread)
        if len(looks) == 3:
            enough.set()
        return 60.0  # of the few seconds at most that this takes

    monkeypatch.setattr(background, "_processor_seconds", processor_seconds)
    behind = Background(look=0.01)
    behind.give_way()

    def work() -> int:
        enough.wait(60)
        return os.sched_getscheduler(0)

    assert behind.run(work) == os.SCHED_IDLE
    assert len(looks) >= 3
    assert len(set(looks)) == 1


def test_what_a_thread_had_of_the_processors_grows_until_it_has_ended() -> None:
    had = background._processor_seconds(threading.get_native_id())
    until = thread_time() + 0.05
    while thread_time() < until:
        pass
    assert background._processor_seconds(threading.get_native_id()) > had
    assert background._processor_seconds(2**22) == math.inf  # the kernel numbers no thread so


def test_what_work_returns_and_raises_reaches_who_asked(tmp_path: Path) -> None:
    behind = Background()
    behind.give_way()
    assert behind.run(lambda: threading.current_thread()) is not threading.current_thread()
    with pytest.raises(FileNotFoundError, match="none"):
        behind.run((tmp_path / "none").read_text)
