"""Stages run in order, once, and again only when what they read has changed."""

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from catalog.errors import TandemError
from pipelines.config import PipelineConfig, SourceConfig
from pipelines.workspace import Stage, Workspace, open_workspace, run_stages


@dataclass
class Recorder:
    """Two stages, the second of which reads the first; each writes one file."""

    calls: list[str] = field(default_factory=list)
    fail: bool = False
    error: Exception | None = None

    def first(self, workspace: Workspace) -> None:
        self.calls.append("first")
        (workspace / "first.txt").write_text("1")

    def second(self, workspace: Workspace) -> None:
        self.calls.append("second")
        if self.error is not None:
            raise self.error
        if self.fail:
            raise RuntimeError("killed half-way")
        (workspace / "second.txt").write_text("2")

    @property
    def stages(self) -> tuple[Stage, ...]:
        return (
            Stage("first", self.first, (), lambda c: c.source, lambda w: [w / "first.txt"]),
            Stage("second", self.second, ("first",), lambda c: c.release, lambda w: [w / "second.txt"]),
        )


def workspace_at(tmp_path: Path, **sections: object) -> Workspace:
    return open_workspace(PipelineConfig(name="shop", workspace=tmp_path / "run", **sections))


def test_a_finished_stage_is_not_run_again(tmp_path: Path) -> None:
    recorder = Recorder()
    workspace = workspace_at(tmp_path)
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]
    assert run_stages(workspace, recorder.stages, None, set()) == []
    assert recorder.calls == ["first", "second"]


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    recorder = Recorder(fail=True)
    workspace = workspace_at(tmp_path)
    with pytest.raises(RuntimeError):
        run_stages(workspace, recorder.stages, None, set())
    recorder.fail = False
    assert run_stages(workspace, recorder.stages, None, set()) == ["second"]


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("RESOURCE_EXHAUSTED: x; No space left on device")],
)
def test_a_full_disk_is_said_and_what_was_finished_stays(tmp_path: Path, error: Exception) -> None:
    recorder = Recorder(error=error)
    workspace = workspace_at(tmp_path)
    with pytest.raises(TandemError, match=r"second: the disk that holds .*run or saved_models is full .* run again"):
        run_stages(workspace, recorder.stages, None, set())
    recorder.error = None
    assert run_stages(workspace, recorder.stages, None, set()) == ["second"]


def test_a_missing_output_runs_its_stage_and_those_that_read_it(tmp_path: Path) -> None:
    recorder = Recorder()
    workspace = workspace_at(tmp_path)
    run_stages(workspace, recorder.stages, None, set())
    (workspace / "first.txt").unlink()
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]


def test_changed_settings_run_only_what_depends_on_them(tmp_path: Path) -> None:
    recorder = Recorder()
    run_stages(workspace_at(tmp_path), recorder.stages, None, set())
    changed = workspace_at(tmp_path, release={"results": 5})
    assert run_stages(changed, recorder.stages, None, set()) == ["second"]


def test_changed_files_of_the_shop_run_everything(tmp_path: Path) -> None:
    recorder = Recorder()
    shop = tmp_path / "shop"
    shop.mkdir()
    products = shop / "products.csv"
    products.write_text("product_id,title\n1,shirt\n")
    workspace = workspace_at(tmp_path, source=SourceConfig(kind="files", path=shop))
    run_stages(workspace, recorder.stages, None, set())
    assert run_stages(workspace, recorder.stages, None, set()) == []
    os.utime(products, ns=(1, 1))
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]


def test_until_stops_and_an_unknown_stage_is_named(tmp_path: Path) -> None:
    recorder = Recorder()
    workspace = workspace_at(tmp_path)
    assert run_stages(workspace, recorder.stages, "first", set()) == ["first"]
    with pytest.raises(TandemError, match=r"unknown stage 'frist'.*first, second"):
        run_stages(workspace, recorder.stages, "frist", set())


def test_a_stage_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    stage = Stage("idle", lambda _: None, (), lambda c: c.source, lambda w: [w / "never.txt"])
    with pytest.raises(TandemError, match=r"idle ended without writing .*never\.txt"):
        run_stages(workspace_at(tmp_path), (stage,), None, set())


def test_two_runs_on_one_workspace(tmp_path: Path) -> None:
    workspace = workspace_at(tmp_path)
    with workspace.locked(), pytest.raises(TandemError, match="in use by another run"), workspace.locked():
        pass
    with workspace.locked():
        assert (workspace / ".lock").exists()


def test_what_reads_a_forced_stage_runs_in_a_later_call(tmp_path: Path) -> None:
    recorder = Recorder()
    workspace = workspace_at(tmp_path)
    run_stages(workspace, recorder.stages, None, set())
    assert run_stages(workspace, recorder.stages, "first", {"first"}) == ["first"]
    assert run_stages(workspace, recorder.stages, None, set()) == ["second"]


def test_a_link_that_leads_nowhere_is_no_file_of_the_shop(tmp_path: Path) -> None:
    recorder = Recorder()
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / ".#products.csv").symlink_to(tmp_path / "gone")
    workspace = workspace_at(tmp_path, source=SourceConfig(kind="files", path=shop))
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]
