"""What the serving benchmarks share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.served_release import ServerProcess, pinned
from catalog.errors import ArtifactError


def process(pid: int) -> ServerProcess:
    return ServerProcess("127.0.0.1:0", None, pid, lambda: None)


def test_resident_memory_is_the_processs_own() -> None:
    assert process(os.getpid()).resident > 10 << 20


def test_a_process_that_has_ended_has_none() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    with pytest.raises(ArtifactError, match="has ended"):
        _ = process(child.pid).resident


def test_each_model_is_pinned_to_its_version() -> None:
    models = pinned({"search": Path("/models/search/3"), "rerank": Path("/models/rerank/5")}).model_config_list.config
    assert [(model.name, model.base_path) for model in models] == [
        ("search", "/models/search"),
        ("rerank", "/models/rerank"),
    ]
    assert [list(model.model_version_policy.specific.versions) for model in models] == [[3], [5]]
