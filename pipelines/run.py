"""The stages in their order, and the commands that run them.

tandem run --config pipelines/configs/demo.yaml
"""

import shutil
from pathlib import Path
from typing import Any

from catalog.errors import ArtifactError, ConfigError
from catalog.files import clear_leftovers, write_json
from catalog.progress import console, output_console
from pipelines import (
    s01_source,
    s02_ingest,
    s03_features,
    s04_images,
    s05_towers,
    s06_index,
    s07_candidates,
    s08_rerank,
    s09_release,
)
from pipelines.config import PipelineConfig
from pipelines.folders import check_writable
from pipelines.publish import latest_release
from pipelines.report_summary import print_report
from pipelines.workspace import Stage, Workspace, finished_inputs, open_workspace, run_stages
from serving.path_patterns import NAMED, is_pattern

_TOWERS_AND_BEFORE = ("ingest", "features", "images", "towers")


def _evaluate(workspace: Workspace) -> None:
    from pipelines import s10_evaluate  # with TensorFlow and every baseline; the other stages load theirs in run

    s10_evaluate.run(workspace)


def _source_outputs(workspace: Workspace) -> list[Path]:
    return [workspace.raw, *([workspace / "truth"] if workspace.config.simulate is not None else [])]


def _tables(workspace: Workspace) -> list[Path]:
    optional = [workspace / "tables" / f"{name}.parquet" for name in ("users", "judgments")]
    names = ("products.parquet", "events.parquet", "images.npy")
    return [*(workspace / "tables" / name for name in names), *(path for path in optional if path.exists())]


def towers_settings(config: PipelineConfig) -> Any:
    """The part of the configuration that towers depend on, with the content of the preset where it is a folder."""
    preset = config.towers.text.preset_fingerprint()
    return [config.towers, preset] if preset else config.towers  # alone, as runs that are finished know it


def _towers(workspace: Workspace) -> list[Path]:
    names = ("config.json", "vocabulary.json", "tokenizer.model", "towers.weights.h5", "metrics.json")
    pictures = ["pictures"] if workspace.config.towers.training.finetune_images else []
    return [workspace / "towers" / name for name in (*names, *pictures)]


def _check_models_dir(workspace: Workspace) -> None:
    """Refuse a folder that no release can be written to; warn of one where servers would take it for another shop's.

    Raises:
        ConfigError: if it cannot be written to, or TensorFlow would not find there what it has written.
    """
    config = workspace.config
    if is_pattern(config.models_dir):
        raise ConfigError(
            f"models_dir: {config.models_dir} has {NAMED} in it, which TensorFlow takes for a pattern "
            "of names: it could not find the models that it wrote; give a `models_dir` without"
        )
    check_writable(config.models_dir, "models_dir")
    try:
        other = latest_release(config.models_dir).manifest()["name"]
    except ArtifactError:  # there is none
        return
    if other != config.name:
        console.print(
            f"[yellow]models_dir: the newest release in {config.models_dir} is of {other!r}, and a server of that "
            f"folder takes the newest, whoever it is of. Give {config.name!r} a `models_dir` of its own[/yellow]"
        )


STAGES: tuple[Stage, ...] = (
    Stage(
        "source",
        s01_source.run,
        (),
        lambda c: [c.source, c.simulate],
        _source_outputs,
        module=s01_source.__name__,
    ),
    Stage("ingest", s02_ingest.run, ("source",), lambda c: c.ingest, _tables, module=s02_ingest.__name__),
    Stage(
        "features",
        s03_features.run,
        ("ingest",),
        lambda c: [c.features, c.splits],
        lambda w: [w / "features"],
        module=s03_features.__name__,
    ),
    Stage(
        "images",
        s04_images.run,
        ("ingest",),
        s04_images.settings,
        lambda w: [w / "images" / name for name in ("backbone.keras", "embeddings.npy")],
        module=s04_images.__name__,
        forget=s04_images.forget,
    ),
    Stage(
        "towers",
        s05_towers.run,
        ("ingest", "features", "images"),
        towers_settings,
        _towers,
        module=s05_towers.__name__,
    ),
    Stage(
        "index",
        s06_index.run,
        _TOWERS_AND_BEFORE,
        lambda c: [c.index, c.release.snapshot],
        lambda w: [w / "index/tuning.json"],
        module=s06_index.__name__,
    ),
    Stage(
        "candidates",
        s07_candidates.run,
        _TOWERS_AND_BEFORE,
        s07_candidates.settings,
        lambda w: [w / "candidates" / name for name in ("rerank", "validation")],
        module=s07_candidates.__name__,
    ),
    Stage(
        "rerank",
        s08_rerank.run,
        (*_TOWERS_AND_BEFORE, "candidates"),
        lambda c: c.rerank,
        lambda w: [w / "rerank", w / "rerank/metrics.json"],
        module=s08_rerank.__name__,
    ),
    Stage(
        "release",
        s09_release.run,
        (*_TOWERS_AND_BEFORE, "index", "rerank"),
        s09_release.settings,
        s09_release.outputs,
        _check_models_dir,
        s09_release.__name__,
    ),
    Stage(
        "evaluate",
        _evaluate,
        ("source", *_TOWERS_AND_BEFORE, "index", "rerank", "release"),
        lambda c: c.evaluate,
        lambda w: [w / "report.json", w / "report.html", w / "projector"],
        module="pipelines.s10_evaluate",
    ),
)


def run_pipeline(config: PipelineConfig, until: str | None = None, force: set[str] | None = None) -> Workspace:
    """Run what is not done yet, one run a workspace at a time.

    Returns:
        The workspace, with every stage up to `until` done.
    """
    workspace = open_workspace(config)
    if until is None and config.release.snapshot != "test":
        until = "release"
        console.print("release.snapshot is 'latest': its counters have seen the test days, so no report judges it")
    with workspace.locked():
        write_json(workspace / "config.json", config.model_dump(mode="json"))
        _clear_leftovers(workspace)
        ran = run_stages(workspace, STAGES, until, force or set())
        console.print(f"{workspace.root}: {len(ran)} stage(s) ran" + (f": {', '.join(ran)}" if ran else ""))
        if until in (None, "evaluate"):
            print_report(workspace, output_console())
    return workspace


def _clear_leftovers(workspace: Workspace) -> None:
    """Remove what a killed run left in the folders that only stages write; ingest clears its own."""
    folders = ("features", "images", "towers", "index", "candidates", "rerank", "stages")
    for name in (*folders, "candidates/rerank", "candidates/validation"):
        clear_leftovers(workspace / name)
    # What is hidden in there now is the unfinished part of a file.
    for hidden in [item for name in folders for item in (workspace / name).rglob(".*")]:
        if hidden.is_dir():
            shutil.rmtree(hidden, ignore_errors=True)
        else:
            hidden.unlink(missing_ok=True)


def retrain(config: PipelineConfig) -> Workspace:
    """Run the pipeline on what the source holds now, and always end in a new version."""
    return run_pipeline(config, force={"release"})


def evaluate(config: PipelineConfig) -> Workspace:
    """Judge the release of this config again; trains and releases nothing.

    Raises:
        TandemError: naming the stages before it that are not done for this config.
    """
    workspace = open_workspace(config)
    with workspace.locked():
        finished_inputs(workspace, STAGES, "evaluate")
    return run_pipeline(config, until="evaluate", force={"evaluate"})


def config_path(name: str) -> Path:
    """A config that ships with Tandem."""
    return Path(__file__).parent / "configs" / f"{name}.yaml"
