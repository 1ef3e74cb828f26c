"""What a server sets for its process, in a process of its own."""

import ctypes
import subprocess
import sys

import pytest

CHECK = """
import ctypes, gc, sys
import numpy as np
from serving.process import freeze_what_stays, prepare_process

class Mallinfo(ctypes.Structure):
    names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in names.split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Mallinfo

def mapped(size):
    before = library.mallinfo2().hblks
    block = np.empty(size, np.uint8)
    return library.mallinfo2().hblks - before

if sys.argv[1] == "prepared":
    prepare_process()
    freeze_what_stays()
mapped(16 << 20)  # freed at once: glibc would serve blocks up to this size from its heaps from now on
print(mapped(8 << 20), mapped(1 << 20), sys.getswitchinterval(), gc.get_freeze_count() > 0)
"""


def checked(how: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", CHECK, how], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.split()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc 2.33 and later tell it")
def test_large_blocks_stay_the_kernels_own_and_small_ones_in_the_heaps() -> None:
    assert checked("prepared") == ["1", "0", "0.001", "True"]
    assert checked("as it is") == ["0", "0", "0.005", "False"]
