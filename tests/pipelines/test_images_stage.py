"""Which picture network the images stage keeps: that of a killed or an earlier run of the same code, unless forced."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from catalog.files import write_json
from catalog.schema import ShopData
from pipelines.config import PipelineConfig
from pipelines.run import STAGES
from pipelines.workspace import Stage, Workspace, open_workspace, run_stages

KEPT = ("state.json", "pretraining.npz", "cache/1.npz")


class Pictures:
    """Stands in for `prepare_images`.

    Attributes:
        met: for each call, whether the files of an earlier one were there.
        killed: whether the next call ends half-way.
    """

    def __init__(self) -> None:
        self.met: list[bool] = []
        self.killed = False

    def __call__(self, shop: ShopData, config: Any, folder: Path) -> None:
        (found,) = {(folder / name).exists() for name in KEPT}
        self.met.append(found)
        for name in (*KEPT, "backbone.keras"):
            write_json(folder / name, {})
        if self.killed:
            raise KeyboardInterrupt
        write_json(folder / "embeddings.npy", {})


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> Pictures:
    found = Pictures()
    shop = ShopData(pa.table([], pa.schema([])), Path(), None, None, np.zeros((0, 32, 32, 3), np.uint8))
    monkeypatch.setattr(ShopData, "load", lambda folder: shop)
    monkeypatch.setattr("towers.image.prepare_images", found)
    return found


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(PipelineConfig(name="shop", workspace=tmp_path / "run"))


def stages() -> tuple[Stage, ...]:
    """The images stage alone."""
    return tuple(replace(stage, after=()) for stage in STAGES if stage.name == "images")


def use_code(monkeypatch: pytest.MonkeyPatch, digest: str) -> None:
    for module in ("pipelines.workspace", "pipelines.s04_images"):
        monkeypatch.setattr(f"{module}.code_digest", lambda name: digest)


def test_the_network_of_other_code_is_not_kept(
    pictures: Pictures, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for digest in ("old", "old", "new"):
        use_code(monkeypatch, digest)
        run_stages(workspace, stages(), None, set())
    assert pictures.met == [False, False]
    (workspace / "images" / "embeddings.npy").unlink()
    run_stages(workspace, stages(), None, set())
    assert pictures.met == [False, False, True]


def test_a_killed_run_goes_on_with_the_same_code_alone(
    pictures: Pictures, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures.killed = True
    for digest in ("old", "old", "new", "new"):
        use_code(monkeypatch, digest)
        with pytest.raises(KeyboardInterrupt):
            run_stages(workspace, stages(), None, set())
    assert pictures.met == [False, True, False, True]


def test_a_forced_run_starts_anew_and_goes_on_if_it_is_killed(pictures: Pictures, workspace: Workspace) -> None:
    run_stages(workspace, stages(), None, set())
    pictures.killed = True
    for force in ({"images"}, set(), {"images"}):
        with pytest.raises(KeyboardInterrupt):
            run_stages(workspace, stages(), None, force)
    assert pictures.met == [False, False, True, True]
    assert (workspace / "images" / "backbone.keras").exists()  # which the config may name as its weights
