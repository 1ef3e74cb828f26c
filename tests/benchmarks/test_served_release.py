"""What the serving benchmarks share."""

from pathlib import Path

import pytest

from benchmarks.served_release import pinned, resident_bytes
from catalog.errors import ArtifactError


def test_resident_memory_is_read_in_bytes() -> None:
    assert resident_bytes("Name:\tpython\nVmHWM:\t  99 kB\nVmRSS:\t    1024 kB\n") == 1 << 20


def test_a_process_that_has_ended_has_none() -> None:
    with pytest.raises(ArtifactError, match="has ended"):
        resident_bytes("Name:\tpython\nState:\tZ (zombie)\n")


def test_each_model_is_pinned_to_its_version() -> None:
    models = pinned({"search": Path("/models/search/3"), "rerank": Path("/models/rerank/5")}).model_config_list.config
    assert [(model.name, model.base_path) for model in models] == [
        ("search", "/models/search"),
        ("rerank", "/models/rerank"),
    ]
    assert [list(model.model_version_policy.specific.versions) for model in models] == [[3], [5]]
