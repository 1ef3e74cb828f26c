"""A run's folder is refused where files that are not the run's would be replaced, or others written among them."""

from pathlib import Path

import pytest

from catalog.errors import ConfigError
from pipelines.config import PipelineConfig, SourceConfig
from pipelines.ownership import _REPLACED
from pipelines.run import STAGES
from pipelines.workspace import Workspace, open_workspace


def test_every_folder_that_a_stage_writes_is_the_runs_own(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    written = {path for stage in STAGES for path in stage.outputs(workspace) if path.is_relative_to(workspace.root)}
    folders = {path.relative_to(workspace.root).parts[0] for path in written}
    assert {name for name in folders if not Path(name).suffix} - {workspace.raw.name} <= set(_REPLACED)


def workspace_at(tmp_path: Path, **sections: object) -> Workspace:
    return open_workspace(PipelineConfig(name="shop", workspace=tmp_path / "run", **sections))


@pytest.mark.parametrize("setting", ["workspace", "models_dir"])
def test_a_run_does_not_write_among_the_shops_files(tmp_path: Path, setting: str) -> None:
    source = SourceConfig(kind="files", path=tmp_path)
    folders = {"workspace": tmp_path / "run", "models_dir": tmp_path / "models", setting: tmp_path}
    with pytest.raises(ConfigError, match=rf"{setting}: .* is the folder of source\.path.* give another `{setting}`"):
        open_workspace(PipelineConfig(name="shop", source=source, **folders))


@pytest.mark.parametrize("linked", [False, True])
def test_a_source_inside_a_stages_folder_is_refused(tmp_path: Path, linked: bool) -> None:
    source = tmp_path / ("shop" if linked else "run/features")
    source.mkdir(parents=True)
    if linked:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "features").symlink_to(source)
    (source / "products.csv").touch()
    (tmp_path / "run" / "stages").mkdir()
    (tmp_path / "run" / "stages" / "source.json").touch()
    with pytest.raises(ConfigError, match=r"source\.path: .* lies in .*run/features, .* give another `workspace`"):
        workspace_at(tmp_path, source=SourceConfig(kind="files", path=source))
    assert (source / "products.csv").exists()


@pytest.mark.parametrize(
    ("file", "named"),
    [("features/mine.py", "features"), ("config.json", "config.json"), ("stages/mine.txt", "stages")],
)
def test_a_folder_with_other_files_than_a_runs_is_no_workspace(tmp_path: Path, file: str, named: str) -> None:
    place = tmp_path / "run" / file
    place.parent.mkdir(parents=True)
    place.write_text('{"name": "an app"}')
    with pytest.raises(ConfigError, match=f"workspace: .*run holds {named} and no run; expected a new folder"):
        workspace_at(tmp_path)
    assert place.read_text() == '{"name": "an app"}'


def test_a_folder_with_nothing_but_hidden_files_is_a_workspace(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    assert workspace_at(tmp_path).root == tmp_path / "run"
