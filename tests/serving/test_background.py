import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

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
@pytest.mark.parametrize("patience", [0.0, 60.0])
def test_work_that_waited_long_enough_goes_on_at_a_low_priority_and_so_it_does_at_the_end(patience: float) -> None:
    behind = Background(patience)
    behind.give_way()
    begun = threading.Event()
    seen: list[tuple[int, int]] = []

    def work() -> None:
        seen.append(priority())
        begun.set()
        while os.sched_getscheduler(0) == os.SCHED_IDLE or priority()[1] == 0:
            pass
        seen.append(priority())

    if patience:
        threading.Thread(target=lambda: (begun.wait(60), behind.hurry())).start()
    behind.run(work)
    assert seen[-1] == (os.SCHED_OTHER, 10)


def test_what_work_returns_and_raises_reaches_who_asked(tmp_path: Path) -> None:
    behind = Background()
    behind.give_way()
    assert behind.run(lambda: threading.current_thread()) is not threading.current_thread()
    with pytest.raises(FileNotFoundError, match="none"):
        behind.run((tmp_path / "none").read_text)
