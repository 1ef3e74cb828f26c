"""The stages in their order, and the commands that run them.

tandem run --config pipelines/configs/demo.yaml
"""

import shutil
from pathlib import Path

from catalog.files import clear_leftovers, write_json
from catalog.progress import console
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
from pipelines.workspace import Stage, Workspace, open_workspace, run_stages


def _evaluate(workspace: Workspace) -> None:
    from pipelines import s10_evaluate  # with TensorFlow and every baseline; the other stages load theirs in run

    s10_evaluate.run(workspace)


STAGES: tuple[Stage, ...] = (
    Stage("source", s01_source.run, (), lambda c: [c.source, c.simulate], lambda w: [w.raw]),
    Stage("ingest", s02_ingest.run, ("source",), lambda c: c.ingest, lambda w: [w / "tables/products.parquet"]),
    Stage("features", s03_features.run, ("ingest",), lambda c: [c.features, c.splits], lambda w: [w / "features"]),
    Stage("images", s04_images.run, ("ingest",), s04_images.settings, lambda w: [w / "images/embeddings.npy"]),
    Stage(
        "towers",
        s05_towers.run,
        ("ingest", "features", "images"),
        lambda c: c.towers,
        lambda w: [w / "towers/metrics.json"],
    ),
    Stage(
        "index",
        s06_index.run,
        ("towers",),
        lambda c: [c.index, c.release.snapshot],
        lambda w: [w / "index/tuning.json"],
    ),
    Stage(
        "candidates", s07_candidates.run, ("towers",), s07_candidates.settings, lambda w: [w / "candidates/validation"]
    ),
    Stage("rerank", s08_rerank.run, ("candidates",), lambda c: c.rerank, lambda w: [w / "rerank/metrics.json"]),
    Stage(
        "release",
        s09_release.run,
        ("towers", "index", "rerank"),
        s09_release.settings,
        s09_release.outputs,
        lambda w: check_writable(w.config.models_dir, "models_dir"),
    ),
    Stage(
        "evaluate",
        _evaluate,
        ("release",),
        lambda c: c.evaluate,
        lambda w: [w / "report.json", w / "report.html", w / "projector"],
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


def config_path(name: str) -> Path:
    """A config that ships with Tandem."""
    return Path(__file__).parent / "configs" / f"{name}.yaml"
