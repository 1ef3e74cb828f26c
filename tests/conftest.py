"""Settings every test process needs before TensorFlow is first imported."""

import os

import pytest

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The end-to-end tests take longest: first, so that two processes end at about the same time."""
    items.sort(key=lambda item: item.path.name != "test_end_to_end.py")
