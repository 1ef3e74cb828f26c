"""What a server sets for its process, in a process of its own."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from serving.process import MemoryKeeper, resident_bytes, trim_heaps

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


HEAPS = """
import ctypes, os, sys, threading
import numpy as np
from serving.process import prepare_process

prepare_process()
library = ctypes.CDLL(None)
library.fopen.restype = ctypes.c_void_p
together = threading.Barrier(25)

def hold():
    block = np.empty(4096, np.uint8)
    together.wait()  # all have theirs
    together.wait()

threads = [threading.Thread(target=hold) for _ in range(24)]
for thread in threads:
    thread.start()
together.wait()
file = ctypes.c_void_p(library.fopen(os.fsencode(sys.argv[1]), b"w"))
library.malloc_info(0, file)
library.fclose(file)
together.wait()
print(open(sys.argv[1]).read().count("<heap nr="))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="only glibc tells of its heaps")
def test_every_thread_has_a_heap_of_its_own(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HEAPS, str(tmp_path / "heaps.xml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) >= 24


ENVIRONMENT = """
import os, sys
from serving.process import prepare_environment

prepare_environment()
print(os.environ["TF_ENABLE_ONEDNN_OPTS"], "tensorflow" in sys.modules)
"""


@pytest.mark.parametrize(("given", "kept"), [({}, "0"), ({"TF_ENABLE_ONEDNN_OPTS": "1"}, "1")])
def test_the_environment_is_set_before_tensorflow_is_there_and_goes_before(given: dict[str, str], kept: str) -> None:
    others = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    command = [sys.executable, "-c", ENVIRONMENT]
    done = subprocess.run(command, env=others | given, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [kept, "False"]


def test_heaps_are_trimmed_when_memory_has_grown_and_not_again_for_the_same_growth() -> None:
    """In megabytes: 100 at first; 170 is 70 more, of which a trim leaves 160; 220 is only 60 more than that."""
    resident, trims = [100], []

    def trim() -> None:
        trims.append(resident[0])
        resident[0] -= 10

    keeper = MemoryKeeper(lambda: resident[0] << 20, trim)
    for megabytes in (150, 170, 220, 90, 150, 155):
        resident[0] = megabytes
        keeper.check()
    assert trims == [170, 155]


def test_a_keeper_starts_and_stops() -> None:
    keeper = MemoryKeeper()
    keeper.stop()
    keeper = MemoryKeeper()
    keeper.start()
    keeper.stop()
    keeper.stop()


VERSIONS = """
import sys
from pathlib import Path
import numpy as np
from serving.process import prepare_process, resident_bytes

prepare_process()
from serving.servable import Servable, give_memory_back

def version():
    servable = Servable(Path(sys.argv[1]))
    servable.run("serving_default", {"row": np.int32(1)})
    return servable

version().close()
give_memory_back()
serving = version()
before = resident_bytes()
for _ in range(3):
    following = version()
    serving.close()
    serving = following
    give_memory_back()
print((resident_bytes() - before) >> 20)
"""


@pytest.mark.skipif(not resident_bytes(), reason="only Linux tells it")
def test_the_tables_of_a_version_that_has_left_are_given_back(tmp_path: Path) -> None:
    """32 tables of 4 MB: TensorFlow's own pool keeps as many again, in its regions, after the first change."""
    model = tf.Module()
    model.tables = [tf.Variable(tf.ones([1024, 1024]), trainable=False) for _ in range(32)]
    read = tf.function(lambda row: {"sum": tf.add_n([tf.reduce_sum(tf.gather(part, row)) for part in model.tables])})
    signature = read.get_concrete_function(tf.TensorSpec([], tf.int32, "row"))
    tf.saved_model.save(model, str(tmp_path), {"serving_default": signature})
    command = [sys.executable, "-c", VERSIONS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 40


@pytest.mark.skipif(not resident_bytes(), reason="only Linux tells it")
def test_trimming_gives_back_what_lies_between_blocks_in_use() -> None:
    blocks = [np.ones(100_000, np.uint8) for _ in range(1000)]
    kept = blocks[::10]  # the others, 90 MB, lie between these
    full = resident_bytes()
    del blocks
    trim_heaps()
    assert resident_bytes() < full - 60_000_000
    assert len(kept) == 100
