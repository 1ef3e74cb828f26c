"""Work beside requests: threads that get what answering leaves of the processors."""

import math
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

_NICE, _SHARE = 10, 0.1
"""At this niceness a thread gets about a tenth of a core that others want too: what gets less than that has it."""

_LOOK_SECONDS = 1.0
"""How often it is looked at what work got: loading a graph, and optimising it in its first run, takes seconds."""


class Background:
    """Runs work in threads of its own, at the usual priority until there are requests to answer.

    From then on Linux runs them on processors that are idle (SCHED_IDLE, sched(7)): a request that comes takes the
    processor from them at once. On a machine that is never idle nothing would load so: what gets less than a tenth of
    a core goes on at nice 10. A process that may not leave SCHED_IDLE again, for want of root, CAP_SYS_NICE or an
    RLIMIT_NICE of 20, has nice 10 from the start. Other systems have no priorities of single threads.

    Threads that the work starts have its priority, too. Those that are left when it ends, as ScaNN's, which answer
    requests from then on, get the usual one, where the process may give it.

    Args:
        look: seconds after which it is looked at what work got, again and again.
    """

    def __init__(self, look: float = _LOOK_SECONDS) -> None:
        self._look = look
        self._answering = threading.Event()
        self._waits: set[threading.Event] = set()

    def give_way(self) -> None:
        """From now on there are requests to answer, which go first."""
        self._answering.set()

    def hurry(self) -> None:
        """There are no more requests: what runs waits for nobody any longer, and what comes does not either."""
        self._answering.clear()
        for enough in list(self._waits):
            enough.set()

    def run(self, work: Callable[[], T]) -> T:
        """Wait for `work` in a thread of its own: what it returns or raises."""
        future: Future[T] = Future()
        enough, others = threading.Event(), _threads()
        self._waits.add(enough)
        behind = self._answering.is_set() and sys.platform == "linux"

        def run() -> None:
            _behind.add(threading.get_native_id())
            try:
                if behind:
                    _step_back()
                future.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised below, in the thread that asked
                future.set_exception(error)
            finally:
                enough.set()
                if behind and _may_come_forward():
                    _raise_all(_threads() - others - _behind)
                _behind.discard(threading.get_native_id())

        thread = threading.Thread(target=run, name="load")
        thread.start()
        if behind and thread.native_id is not None and _may_come_forward():
            self._watch(thread.native_id, enough)
            if not future.done():
                _come_forward(thread.native_id)
        thread.join()
        self._waits.discard(enough)
        return future.result()

    def _watch(self, thread: int, enough: threading.Event) -> None:
        """Return once it is enough, or the thread has had less than its share since it began."""
        began = monotonic()
        while not enough.wait(self._look):
            if _processor_seconds(thread) < _SHARE * (monotonic() - began):
                return


_behind: set[int] = set()
"""Threads of this process that work in the background; changed and read in single steps of the interpreter."""


def _threads() -> set[int]:
    """The native ids of this process's threads; none where there is no /proc."""
    try:
        return {int(task.name) for task in Path("/proc/self/task").iterdir()}
    except OSError:
        return set()


def _raise_all(threads: set[int]) -> None:
    """Give threads the usual priority."""
    usual = os.getpriority(os.PRIO_PROCESS, os.getpid())
    for thread in threads:
        with suppress(ProcessLookupError):  # it has ended
            os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, thread, usual)


def _step_back() -> None:
    if _may_come_forward():
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    else:
        _be_nice(threading.get_native_id())


def _come_forward(thread: int) -> None:
    try:
        os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))
        _be_nice(thread)
    except ProcessLookupError:
        return  # it is done


def _be_nice(thread: int) -> None:
    """Where the whole process is nicer already, less would be refused."""
    os.setpriority(os.PRIO_PROCESS, thread, max(_NICE, os.getpriority(os.PRIO_PROCESS, thread)))


def _processor_seconds(thread: int) -> float:
    """What a thread of this process has had of the processors (proc_pid_schedstat); infinite for one that has ended."""
    try:
        return int(Path(f"/proc/self/task/{thread}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
    except OSError:
        return math.inf


@cache
def _may_come_forward() -> bool:
    """Whether a thread of this process gets out of SCHED_IDLE again; tried out by one that ends afterwards."""
    allowed = []

    def try_it() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
        except OSError:
            return
        allowed.append(True)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join()
    return bool(allowed)
