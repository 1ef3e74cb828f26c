"""What a server sets for its whole process: how memory is given back, and how threads take turns."""

import ctypes
import gc
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h of glibc

_LARGE_BYTES = 4 << 20
"""Blocks from this size on are the kernel's own and go back to it when they are freed.

glibc raises the limit to the size of what is freed, up to 32 MiB: one request of ten megabytes, and from then on such
blocks come from heaps, which other blocks keep from shrinking. What a batch of 32 needs is smaller, and stays in heaps:
a block from the kernel costs a page fault for every 4 KiB.
"""

_TRIM_BYTES = 32 << 20
"""Free bytes at the top of a heap that are kept. Setting it keeps it from growing with the limit above."""

_ARENAS = 4
"""Heaps at most; eight a core otherwise, each of which keeps what a peak left in it."""

_SWITCH_SECONDS = 0.001
"""How long a thread may keep Python's lock from another that waits for it; 5 ms unless set.

The one thread that accepts calls needs the lock for each of them, and under load there is always one who has it.
"""


def prepare_process() -> None:
    """Set this process up for serving. Where the C library is not glibc, memory stays as it is."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None:
        for option, value in (
            (_M_MMAP_THRESHOLD, _LARGE_BYTES),
            (_M_TRIM_THRESHOLD, _TRIM_BYTES),
            (_M_ARENA_MAX, _ARENAS),
        ):
            set_option(option, value)


def freeze_what_stays() -> None:
    """Keep the objects that exist now out of garbage collections.

    Unloading a version collects its graph at once. Without this, that walks all of TensorFlow's own objects too and
    holds every request for 0.2 s.
    """
    gc.collect()
    gc.freeze()
