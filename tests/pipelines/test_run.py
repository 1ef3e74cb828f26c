"""The real stages with other work in them: which setting runs which again, and what each command runs."""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.config import parse_config
from catalog.errors import ConfigError, TandemError
from pipelines import cli, run
from pipelines.config import PipelineConfig
from pipelines.run import STAGES, run_pipeline, towers_settings
from pipelines.workspace import Stage, Workspace, run_stages

NAMES = [stage.name for stage in STAGES]
TOWERS_ON = ["towers", "index", "candidates", "rerank", "release", "evaluate"]
INGEST_ON = ["ingest", "features", "images", *TOWERS_ON]
RELEASE_ON = ["release", "evaluate"]


@dataclass
class Work:
    """Each stage writes its outputs, with other bytes every time unless it is `steady`."""

    ran: list[str] = field(default_factory=list)
    steady: bool = False
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def stages(self) -> tuple[Stage, ...]:
        return tuple(replace(stage, run=self._run(stage)) for stage in STAGES)

    def _run(self, stage: Stage) -> Callable[[Workspace], None]:
        def write(workspace: Workspace) -> None:
            self.ran.append(stage.name)
            empty: dict[str, Any] = {"headline": [], "blocks": {}, "claims": []}
            number = 0 if self.steady else next(self.numbers)
            for _ in range(2):  # where a release lies is known once its number is written
                for path in stage.outputs(workspace):
                    if path == workspace.config.source.path:
                        continue
                    file = path if path.suffix else path / "part"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(json.dumps({"version": number, "name": workspace.config.name, **empty}))

        return write


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    found = Work()
    monkeypatch.setattr(run, "STAGES", found.stages)
    return found


@pytest.fixture
def values(tmp_path: Path) -> dict[str, Any]:
    """The config of a simulated shop."""
    return {
        "name": "shop",
        "workspace": str(tmp_path / "run"),
        "models_dir": str(tmp_path / "models"),
        "source": {"kind": "made_up"},
        "simulate": {"products": 100},
    }


def config(values: dict[str, Any], **changes: Any) -> PipelineConfig:
    """The config with some settings changed, each named `section__name`."""
    changed = json.loads(json.dumps(values))
    for name, value in changes.items():
        at = changed
        *sections, key = name.split("__")
        for section in sections:
            at = at.setdefault(section, {})
        at[key] = value
    return parse_config(PipelineConfig, changed, "the test")


@pytest.mark.parametrize(
    ("changes", "again"),
    [
        ({"ingest__workers": 7}, []),
        ({"simulate__workers": 7}, []),
        ({"features__memory_gb": 0.5}, []),
        ({"images__checkpoint_seconds": 5.0}, []),
        ({"towers__device__memory_growth": False}, []),
        ({"rerank__feature_memory_gb": 0.5}, []),
        ({"simulate__seed": 3}, NAMES),
        ({"source__seed": 3}, NAMES),
        ({"ingest__max_reject_share": 0.5}, INGEST_ON),
        ({"ingest__user_columns": ["city"]}, INGEST_ON),
        ({"features__counter_windows_days": [7]}, ["features", *TOWERS_ON]),
        ({"splits__test_days": 5}, ["features", *TOWERS_ON]),
        ({"images__seed": 3}, ["images", *TOWERS_ON]),
        ({"towers__training__epochs": 3}, TOWERS_ON),
        ({"towers__device__precision": "mixed_float16"}, TOWERS_ON),
        ({"index__recall_target": 0.9}, ["index", *RELEASE_ON]),
        ({"release__candidates": 60, "index__k": 60}, ["index", "candidates", "rerank", *RELEASE_ON]),
        ({"rerank__max_requests": 500}, ["candidates", "rerank", *RELEASE_ON]),
        ({"rerank__max_validation_requests": 500}, ["candidates", "rerank", *RELEASE_ON]),
        ({"rerank__seed": 3}, ["candidates", "rerank", *RELEASE_ON]),
        ({"rerank__epochs": 3}, ["rerank", *RELEASE_ON]),
        ({"release__results": 5}, RELEASE_ON),
        ({"release__collapse_duplicates": True}, RELEASE_ON),
        ({"release__snapshot": "latest"}, ["index", "release"]),
        ({"evaluate__requests": 5}, ["evaluate"]),
    ],
)
def test_a_setting_runs_again_what_depends_on_it(
    work: Work, values: dict[str, Any], changes: dict[str, Any], again: list[str]
) -> None:
    run_pipeline(config(values))
    assert work.ran == NAMES
    work.ran.clear()
    run_pipeline(config(values, **changes))
    assert work.ran == again


@pytest.mark.parametrize(
    ("lost", "again"),
    [
        ("truth", "source"),
        ("tables/events.parquet", "ingest"),
        ("tables/judgments.parquet", "ingest"),
        ("tables/images.npy", "ingest"),
        ("features", "features"),
        ("images/backbone.keras", "images"),
        ("towers/tokenizer.model", "towers"),
        ("candidates/rerank", "candidates"),
        ("rerank/weights.npz", "rerank"),
        ("report.json", "evaluate"),
        ("projector", "evaluate"),
    ],
)
def test_a_lost_file_that_is_read_later_is_made_again(
    work: Work, values: dict[str, Any], tmp_path: Path, lost: str, again: str
) -> None:
    run_pipeline(config(values), until="source")
    (tmp_path / "run" / "tables").mkdir()
    (tmp_path / "run" / "rerank").mkdir()
    for optional in ("tables/judgments.parquet", "rerank/weights.npz"):  # a shop may come without
        (tmp_path / "run" / optional).touch()
    run_pipeline(config(values))
    work.ran.clear()
    place = tmp_path / "run" / lost
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink()
    run_pipeline(config(values), until=again)
    assert work.ran == [again]


@pytest.mark.parametrize("steady", [False, True])
def test_a_touched_file_trains_only_where_the_tables_come_out_otherwise(
    work: Work, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steady: bool
) -> None:
    work.steady = steady
    products = tmp_path / "shop" / "products.csv"
    products.parent.mkdir()
    products.write_text("product_id\n")
    monkeypatch.chdir(tmp_path)
    del values["simulate"]
    run_pipeline(config(values, source={"kind": "files", "path": str(tmp_path / "shop")}))
    work.ran.clear()
    run_pipeline(config(values, source={"kind": "files", "path": "shop"}))  # another name of the same files
    assert work.ran == []
    os.utime(products, ns=(1, 1))
    run_pipeline(config(values, source={"kind": "files", "path": "shop"}))
    assert work.ran == (["source", "ingest", "evaluate"] if steady else NAMES)


def test_records_name_the_code_that_ran(
    work: Work, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = {stage.module: "a" for stage in STAGES}
    monkeypatch.setattr("pipelines.workspace.code_digest", codes.__getitem__)
    monkeypatch.setattr("pipelines.workspace.revision", lambda: "old")
    run_pipeline(config(values))
    work.ran.clear()
    codes["pipelines.s08_rerank"] = "b"
    monkeypatch.setattr("pipelines.workspace.revision", lambda: "new")
    run_pipeline(config(values))
    assert work.ran == ["rerank", "release", "evaluate"]
    records = {name: json.loads((tmp_path / "run" / "stages" / f"{name}.json").read_text()) for name in NAMES}
    assert [name for name in NAMES if records[name]["revision"] == "new"] == work.ran


def test_another_preset_in_the_same_folder_trains_the_towers_again(
    work: Work, values: dict[str, Any], tmp_path: Path
) -> None:
    weights = tmp_path / "preset" / "model.weights.h5"
    weights.parent.mkdir()
    weights.write_text("one")
    shop = config(values, towers__text__preset=str(weights.parent))
    run_pipeline(shop)
    work.ran.clear()
    run_pipeline(shop)
    assert work.ran == []
    weights.write_text("two")
    run_pipeline(shop)
    assert work.ran == TOWERS_ON


def test_towers_without_a_folder_of_a_preset_are_known_by_their_settings_alone(values: dict[str, Any]) -> None:
    for shop in (config(values), config(values, towers__text__preset="xlm_roberta_base_multi")):
        assert towers_settings(shop) is shop.towers


def tandem(monkeypatch: pytest.MonkeyPatch, config: Path, command: str, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["tandem", command, "--config", str(config), *options])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (0, None)


@pytest.mark.parametrize(
    ("arguments", "ran"),
    [
        (("run",), []),
        (("run", "--until", "features", "--force", "features"), ["features"]),
        (("retrain",), RELEASE_ON),
        (("tune-index",), ["index"]),
        (("evaluate",), ["evaluate"]),
    ],
)
def test_commands_run_their_stages(
    work: Work,
    values: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    ran: list[str],
) -> None:
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(values))
    tandem(monkeypatch, tmp_path / "shop.yaml", "run")
    assert work.ran == NAMES
    work.ran.clear()
    tandem(monkeypatch, tmp_path / "shop.yaml", *arguments)
    assert work.ran == ran


def test_a_deployment_releases_the_latest_and_is_not_judged(
    work: Work, values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    latest = config(values, release__snapshot="latest")
    run.retrain(latest)
    assert work.ran == NAMES[:-1]
    run.retrain(latest)
    assert work.ran == [*NAMES[:-1], "release"]
    assert "so no report judges it" in " ".join(capsys.readouterr().err.split())


def test_a_judged_run_ends_with_where_its_report_is(
    work: Work, values: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = run_pipeline(config(values), until="release")
    assert "report:" not in capsys.readouterr().out
    run_pipeline(config(values))
    run_pipeline(config(values))  # nothing is left to do, and the report is still there
    assert capsys.readouterr().out.count(f"report: {workspace / 'report.html'}\n") == 2


def test_judging_trains_and_releases_nothing(work: Work, values: dict[str, Any]) -> None:
    run_pipeline(config(values), until="candidates")  # and so the index
    work.ran.clear()
    with pytest.raises(TandemError, match=r"run: rerank, release not done .*--until release"):
        run.evaluate(config(values))
    with pytest.raises(TandemError, match=r"run: towers, index, candidates, rerank, release not done"):
        run.evaluate(config(values, towers__training__epochs=3))
    assert work.ran == []


def test_a_folder_with_another_shops_release_is_warned_of(
    work: Work, values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def warned() -> bool:
        return "the newest release in" in " ".join(capsys.readouterr().err.split())

    run_pipeline(config(values))
    run_pipeline(config(values, evaluate__seed=2))
    assert not warned()
    other = config(values, name="other", workspace=str(tmp_path / "run-2"))
    run_stages(Workspace(other, tmp_path / "run-2"), work.stages, "rerank", set())
    assert not warned()  # which releases nothing
    run_stages(Workspace(other, tmp_path / "run-2"), work.stages, None, set())
    assert warned()


@pytest.mark.parametrize("name", ["models [new]", "models\\new"])
def test_a_folder_that_tensorflow_takes_for_a_pattern_is_refused_before_the_first_stage(
    work: Work, values: dict[str, Any], tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError, match=r"models_dir: .* TensorFlow takes for a pattern .* give a `models_dir`"):
        run_pipeline(config(values, models_dir=str(tmp_path / name)))
    assert work.ran == []


def test_a_run_that_was_killed_in_its_first_stage_goes_on(work: Work, values: dict[str, Any], tmp_path: Path) -> None:
    run_pipeline(config(values), until="source")
    shutil.rmtree(tmp_path / "run" / "stages")
    run_pipeline(config(values), until="source")
    assert work.ran == ["source", "source"]


def test_the_run_of_another_shop_is_not_replaced(
    work: Work, values: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del values["simulate"]
    for shop in ("a", "b"):
        (tmp_path / shop / "raw").mkdir(parents=True)
    first, second = (
        config(
            values,
            source={"kind": "files", "path": str(tmp_path / shop / "raw")},
            models_dir=str(tmp_path / shop / "models"),
        )
        for shop in ("a", "b")
    )
    run_pipeline(first, until="ingest")
    with pytest.raises(ConfigError, match=r"workspace: .*run holds a run of .*a/raw .* another `workspace`; .* delete"):
        run_pipeline(second, until="ingest")
    run_pipeline(first, until="ingest")
    assert work.ran == ["source", "ingest"]
    other_files = second.model_copy(update={"models_dir": first.models_dir})
    assert "take the place" not in capsys.readouterr().err
    run_pipeline(other_files, until="ingest")  # of the same shop, as those of another day
    assert "take the place of the former's" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = {"source": {"kind": "files", "path": str(tmp_path / "moved/raw")}, "models_dir": str(tmp_path / "moved/m")}
    (tmp_path / "b").rename(tmp_path / "gone")
    run_pipeline(config(values, **moved), until="ingest")


def test_a_source_that_was_named_wrong_is_no_other_shop(
    work: Work, values: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raw").mkdir()
    monkeypatch.setattr(run, "STAGES", STAGES)
    del values["simulate"]
    with pytest.raises(ConfigError, match="a `simulate:` section"):
        run_pipeline(config(values, source={"kind": "fashion", "path": str(tmp_path)}), until="source")
    named = {"source": {"kind": "files", "path": str(tmp_path / "raw")}, "models_dir": str(tmp_path / "other")}
    run_pipeline(config(values, **named), until="source")
