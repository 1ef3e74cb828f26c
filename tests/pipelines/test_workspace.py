"""Stages run in order, once, and again only when what they read has changed."""

import errno
import json
import os
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from catalog.errors import ArtifactError, ConfigError, TandemError
from pipelines.config import PipelineConfig, SourceConfig
from pipelines.workspace import Stage, Workspace, is_finished, open_workspace, run_stages, stage_revisions


@dataclass
class Recorder:
    """Two stages, the second of which reads the first; each writes one file.

    Attributes:
        steady: the first stage writes the same bytes every time.
    """

    calls: list[str] = field(default_factory=list)
    fail: bool = False
    error: Exception | None = None
    steady: bool = False

    def first(self, workspace: Workspace) -> None:
        self.calls.append("first")
        (workspace / "first.txt").write_text("1" if self.steady else str(len(self.calls)))

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


def shop_of_one_table(tmp_path: Path, **sections: object) -> tuple[Path, Workspace]:
    """A shop's folder, and a workspace that reads it."""
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "products.csv").write_text("product_id,title\n1,shirt\n")
    return shop, workspace_at(tmp_path, source=SourceConfig(kind="files", path=shop), **sections)


@pytest.mark.parametrize("steady", [False, True])
def test_what_reads_a_stage_runs_again_only_when_its_bytes_change(tmp_path: Path, steady: bool) -> None:
    recorder = Recorder(steady=steady)
    shop, workspace = shop_of_one_table(tmp_path)
    run_stages(workspace, recorder.stages, None, set())
    os.utime(shop / "products.csv", ns=(1, 1))
    again = ["first"] if steady else ["first", "second"]
    assert run_stages(workspace, recorder.stages, None, set()) == again
    assert run_stages(workspace, recorder.stages, None, {"first"}) == again
    assert run_stages(workspace, recorder.stages, "first", {"first"}) == ["first"]
    assert run_stages(workspace, recorder.stages, None, set()) == again[1:]


def test_bytes_that_changed_while_a_killed_run_wrote_them_are_not_taken_for_the_old_ones(tmp_path: Path) -> None:
    recorder = Recorder(steady=True)
    workspace = workspace_at(tmp_path)
    first, second = recorder.stages
    run_stages(workspace, recorder.stages, None, set())

    def die(workspace: Workspace) -> None:
        (workspace / "first.txt").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_stages(workspace, (replace(first, run=die), second), None, {"first"})
    assert (workspace / "stages" / "second.json").exists()
    assert run_stages(workspace, recorder.stages, None, set()) == ["first"]
    with pytest.raises(KeyboardInterrupt):
        run_stages(workspace, (replace(first, run=die), second), None, {"first"})
    recorder.steady = False
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]


def test_a_stage_that_writes_nothing_of_the_workspace_runs_what_reads_it(tmp_path: Path) -> None:
    recorder = Recorder()
    shop, workspace = shop_of_one_table(tmp_path)
    first, second = recorder.stages
    stages = (replace(first, outputs=lambda w: [w.raw]), second)
    assert run_stages(workspace, stages, None, set()) == ["first", "second"]
    assert run_stages(workspace, stages, "first", {"first"}) == ["first"]
    assert run_stages(workspace, stages, None, set()) == ["second"]
    (shop / "products.csv").write_text("product_id,title\n1,skirt\n")
    assert run_stages(workspace, stages, None, set()) == ["first", "second"]


def test_a_record_without_digests_counts_by_its_fingerprint(tmp_path: Path) -> None:
    recorder = Recorder(steady=True)
    workspace = workspace_at(tmp_path)
    stages = recorder.stages
    run_stages(workspace, stages[:1], None, set())
    record = workspace / "stages" / "first.json"
    fingerprint = json.loads(record.read_text())["fingerprint"]
    record.write_text(json.dumps({"fingerprint": fingerprint, "seconds": 1.0, "finished_at": 0}))
    assert run_stages(workspace, stages, None, set()) == ["second"]
    assert run_stages(workspace, stages, None, set()) == []
    assert stage_revisions(workspace)["first"] == ""
    assert run_stages(workspace, stages, None, {"first"}) == ["first", "second"]  # nothing tells that it is the same


def test_a_stage_is_finished_when_what_it_reads_is(tmp_path: Path) -> None:
    recorder = Recorder()
    shop, workspace = shop_of_one_table(tmp_path)
    stages = recorder.stages
    assert not is_finished(workspace, stages, "first")
    run_stages(workspace, stages, "first", set())
    assert (is_finished(workspace, stages, "first"), is_finished(workspace, stages, "second")) == (True, False)
    run_stages(workspace, stages, None, set())
    assert is_finished(workspace, stages, "second")
    assert not is_finished(workspace, (stages[0], replace(stages[1], settings=lambda c: "other")), "second")
    (shop / "products.csv").write_text("product_id,title\n1,skirt\n")
    assert not is_finished(workspace, stages, "second")


def test_a_lost_file_of_a_folder_runs_the_stage_that_wrote_it(tmp_path: Path) -> None:
    def work(workspace: Workspace) -> None:
        (workspace / "tables").mkdir(exist_ok=True)
        for name in ("a", "b"):
            (workspace / "tables" / name).write_text(name)

    stages = (Stage("first", work, (), lambda c: c.source, lambda w: [w / "tables"]),)
    workspace = workspace_at(tmp_path)
    run_stages(workspace, stages, None, set())
    (workspace / "tables" / "b").unlink()
    assert run_stages(workspace, stages, None, set()) == ["first"]


def test_a_broken_file_of_a_finished_stage_leads_to_force(tmp_path: Path) -> None:
    recorder = Recorder(error=ArtifactError("first.txt: not readable; run the stage that writes it again"))
    with pytest.raises(ArtifactError, match=r"again\. `tandem run --force STAGE` .*; second reads first"):
        run_stages(workspace_at(tmp_path), recorder.stages, None, set())


def test_a_changed_file_behind_a_linked_folder_runs_everything(tmp_path: Path) -> None:
    recorder = Recorder()
    shop, workspace = shop_of_one_table(tmp_path)
    (tmp_path / "lake").mkdir()
    part = tmp_path / "lake" / "part-1.csv"
    part.write_text("user_id\n1\n")
    (shop / "events").symlink_to(tmp_path / "lake")
    run_stages(workspace, recorder.stages, None, set())
    assert run_stages(workspace, recorder.stages, None, set()) == []
    part.write_text("user_id\n1\n2\n")
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]


def test_links_that_lead_round_end(tmp_path: Path) -> None:
    recorder = Recorder()
    shop, workspace = shop_of_one_table(tmp_path)
    (shop / "events").mkdir()
    (shop / "events" / "all").symlink_to(shop)
    (shop / "users").symlink_to(shop / "events")
    assert run_stages(workspace, recorder.stages, None, set()) == ["first", "second"]
    assert run_stages(workspace, recorder.stages, None, set()) == []


@pytest.mark.parametrize("linked", [False, True])
def test_the_runs_own_files_inside_the_shops_folder_are_none_of_the_shop(tmp_path: Path, linked: bool) -> None:
    recorder = Recorder()
    shop = tmp_path / "shop"
    shop.mkdir()
    products = shop / "products.csv"
    products.write_text("product_id,title\n1,shirt\n")
    named = shop
    if linked:
        named = tmp_path / "link"
        named.symlink_to(shop)
    source = SourceConfig(kind="files", path=named)
    config = PipelineConfig(name="shop", workspace=shop / "run", models_dir=shop / "models", source=source)
    run_stages(open_workspace(config), recorder.stages, None, set())
    (shop / "models").mkdir()
    (shop / "models" / "saved_model.pb").touch()
    assert run_stages(open_workspace(config), recorder.stages, None, set()) == []
    os.utime(products, ns=(1, 1))
    assert run_stages(open_workspace(config), recorder.stages, None, set()) == ["first", "second"]


def test_a_workspace_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    with pytest.raises(ConfigError, match=r"workspace: .*run cannot be written to: .*Not a directory"):
        workspace_at(tmp_path)


def test_a_workspace_that_became_read_only_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = workspace_at(tmp_path)

    def refuse(dir: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ConfigError, match="Read-only file system"), workspace.locked():
        pass


def test_what_would_stop_a_later_stage_is_said_before_the_first_one_runs(tmp_path: Path) -> None:
    recorder = Recorder()
    workspace = workspace_at(tmp_path)

    def check(_: Workspace) -> None:
        raise ConfigError("no folder for models")

    first, second = recorder.stages
    stages = (first, replace(second, check=check))
    with pytest.raises(ConfigError, match="no folder for models"):
        run_stages(workspace, stages, None, set())
    assert recorder.calls == []
    assert run_stages(workspace, stages, "first", set()) == ["first"]  # which never gets there


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOTDIR, errno.EEXIST])
def test_a_file_that_a_stage_may_not_write_is_named(tmp_path: Path, code: int) -> None:
    recorder = Recorder(error=OSError(code, os.strerror(code), "/mnt/index"))
    with pytest.raises(TandemError, match=rf"second: /mnt/index: {os.strerror(code)}\. .*and run again"):
        run_stages(workspace_at(tmp_path), recorder.stages, None, set())
