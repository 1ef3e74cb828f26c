"""Settings every test process needs before TensorFlow is first imported."""

import gc
import os
from collections.abc import Iterator

import pytest

from tests.eager import eagerly

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
for _threads in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_threads, "1")  # TensorFlow's own, beside several workers, get in each other's way

# Tracing makes millions of objects that live as long as their graph: the default, a collection every 700 of them, costs
# the tests of trainings an eighth of their time.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture(name="eagerly")
def run_eagerly() -> Iterator[None]:
    """As `tests.eager.eagerly`, for a whole test."""
    with eagerly():
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that two processes end at about the same time."""
    longest = {"test_end_to_end.py": 0, "test_train.py": 1, "test_bare_shop.py": 2}
    items.sort(key=lambda item: longest.get(item.path.name, len(longest)))
