"""What a server sets for its whole process: how memory is given back, and how threads take turns."""

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc

_LARGE_BYTES = 4 << 20
"""Blocks from this size on are the kernel's own and go back to it when they are freed.

glibc raises the limit to the size of what is freed, up to 32 MiB: one request of ten megabytes, and from then on such
blocks come from heaps, which other blocks keep from shrinking. What a batch of 32 needs is smaller, and stays in heaps:
a block from the kernel costs a page fault for every 4 KiB.
"""

_TRIM_BYTES = 8 << 20
"""Free bytes at the top of a heap that are kept; a trim takes those of the main one alone. Less, and batches touch ever
new pages. Setting it keeps it from growing with the limit above."""

_ARENAS_A_CORE = 64
"""Heaps at most, for each core: so many that threads seldom share one.

With few, what answers shares heaps with what loads: it waits for the lock of a heap while a thread of the lowest
priority holds it, and blocks that a version leaves between those of requests make the heap's last part come and go with
each batch, with a page fault for every 4 KiB.
"""

_SWITCH_SECONDS = 0.001
"""How long a thread may keep Python's lock from another that waits for it; 5 ms unless set.

The one thread that accepts calls needs the lock for each of them, and under load there is always one who has it.
"""


_CHECK_SECONDS = 5.0
_GROWTH_BYTES = 64 << 20
"""How often resident memory is looked at, and how much more of it is worth a walk through all heaps: more than what
batches come to between two looks, for a walk holds up who allocates, and what it gave back is touched anew."""


_ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""oneDNN generates code for each shape that it meets and keeps it. The graphs of a release have small matrices of ever
other shapes: without it a server answers as many requests in some 200 MB less."""

_SYSTEM_ALLOCATOR = "TF_ONEDNN_USE_SYSTEM_ALLOCATOR"
"""TensorFlow's pool on CPUs with oneDNN keeps for good what its fullest moment took: a server whose version has changed
once would hold the tables of two versions ever after. Heaps give memory back."""


def prepare_environment() -> None:
    """Set what TensorFlow reads of the environment as it is loaded, unless the environment says otherwise."""
    os.environ.setdefault(_ONEDNN, "0")


def prepare_process() -> None:
    """Set this process up for serving, before TensorFlow's first tensor.

    Where the C library is not glibc, its heaps stay as they are. What the environment says of TensorFlow's allocator
    goes before.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    os.environ.setdefault(_SYSTEM_ALLOCATOR, "1")
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in (
            (_M_MMAP_THRESHOLD, _LARGE_BYTES),
            (_M_TRIM_THRESHOLD, _TRIM_BYTES),
            (_M_ARENA_MAX, _ARENAS_A_CORE * (os.cpu_count() or 1)),
        ):
            set_option(option, value)


def freeze_what_stays() -> None:
    """Keep the objects that exist now out of garbage collections.

    Unloading a version collects what it leaves at once. Without this, that walks all other objects too and holds every
    request for 0.03 s, or 0.2 s in a process that has imported TensorFlow.
    """
    gc.collect()
    gc.freeze()


def resident_bytes(pid: int | None = None) -> int:
    """Memory of a process, by default this one, that is resident; 0 for one that has ended.

    0 too where the system does not say it as Linux does.
    """
    try:
        pages = Path(f"/proc/{pid or 'self'}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGESIZE")


def trim_heaps() -> None:
    """Give the kernel back what lies free in the heaps, also between blocks that are in use."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class MemoryKeeper:
    """Trims the heaps whenever resident memory has grown by 64 MiB and more.

    A message of megabytes comes in thousands of small blocks, and what is freed of them stays with the process.

    Args:
        resident: tells the resident memory, in bytes.
        trim: gives memory back.
    """

    def __init__(self, resident: Callable[[], int] = resident_bytes, trim: Callable[[], None] = trim_heaps) -> None:
        self._resident = resident
        self._trim = trim
        self._least = resident()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)

    def start(self) -> None:
        """Look every few seconds from now on."""
        self._least = self._resident()
        self._thread.start()

    def stop(self) -> None:
        """Look no more. Safe to call twice, and before `start`."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Look once."""
        resident = self._resident()
        if resident > self._least + _GROWTH_BYTES:
            self._trim()
            self._least = self._resident()  # what is in use did not come back, and is not worth another walk
        else:
            self._least = min(self._least, resident)

    def _watch(self) -> None:
        while not self._stop.wait(_CHECK_SECONDS):
            self.check()
