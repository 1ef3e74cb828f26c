"""Which list lengths a search may try, by the pages that it is measured on."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipelines.study as study
from catalog.config import parse_config
from catalog.errors import ConfigError
from catalog.progress import console
from pipelines.config import PipelineConfig
from pipelines.search_space import Part
from pipelines.study import searched_space, study_folder
from pipelines.workspace import Workspace

SPACE = "rerank: {list_length: [40, 60], dropout: [0.1, 0.2]}"


def features(logged: bool, longest: int) -> Any:
    """Two validation pages, and a longer one of another slice."""
    starts = np.cumsum([0, 3, longest, 99])
    return SimpleNamespace(pages_logged=logged, impression_start=starts, request_slice=np.array([2, 2, 1]))


@pytest.mark.parametrize(
    ("logged", "longest", "problem"),
    [
        (True, 40, ""),
        (True, 41, "lists of 40 would cut validation pages of 41 products"),
        (False, 2, "a whole list is what is measured, and a shorter one is easier"),
    ],
)
def test_list_lengths_that_do_not_compare_are_not_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logged: bool, longest: int, problem: str
) -> None:
    monkeypatch.setattr(study.FeatureStore, "load", lambda folder: features(logged, longest))
    workspace = Workspace(PipelineConfig(name="shop"), tmp_path)
    with console.capture() as capture:
        space = searched_space(workspace, "rerank", None)
    said = " ".join(capture.get().split())
    assert ("list_length" in space) == (not problem)
    assert problem in said
    assert bool(said) == bool(problem)
    file = tmp_path / "space.yaml"
    file.write_text(SPACE)
    if not problem:
        assert searched_space(workspace, "rerank", file).keys() == {"list_length", "dropout"}
        return
    with pytest.raises(ConfigError, match=f"list_length: .*{problem}"):
        searched_space(workspace, "rerank", file)


@pytest.mark.parametrize(("part", "studies"), [("towers", 2), ("rerank", 1)])
def test_another_preset_in_the_same_folder_is_another_study_of_the_towers(
    tmp_path: Path, part: Part, studies: int
) -> None:
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.parent.mkdir()
    values = {"name": "shop", "towers": {"text": {"preset": str(weights.parent)}}}
    workspace = Workspace(parse_config(PipelineConfig, values, "the test"), tmp_path / "run")
    folders = []
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        with console.capture() as capture:
            folders.append(study_folder(workspace, part, {}, {"towers": "as they are"}))
        assert ("is a study of other preset" in " ".join(capture.get().split())) == (
            part == "towers" and content == b"two"
        )
    assert folders[0] == folders[2]
    assert len(set(folders)) == studies
