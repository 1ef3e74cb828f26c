"""Compose towers, index and reranker into SavedModels, prove each in a fresh process, and publish them as one release.

    tandem run --config pipelines/configs/demo.yaml --until release

Writes saved_models/<model>/<version>/ for seven models with one version number, and the manifest. Trains nothing.
"""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import fingerprint, read_json, write_json
from catalog.progress import console
from catalog.schema import ShopData
from pipelines.config import PipelineConfig
from pipelines.fingerprints import revision
from pipelines.publish import Release, next_release, proving, publish
from pipelines.snapshot import eligible_rows, snapshot_day, snapshot_time
from pipelines.workspace import Workspace, stage_revisions


def run(workspace: Workspace) -> None:
    """towers/, index/, rerank/ -> saved_models/<model>/<version>/."""
    from pipelines.export import Exporter

    shop = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    day = snapshot_day(features, workspace.config.release.snapshot)
    rows = eligible_rows(shop, features, day)
    if not len(rows):
        raise DataError(f"no product was launched before day {day} and is in stock; there is nothing to release")
    with next_release(workspace.config.models_dir) as (release, staging), proving() as prover:
        samples = Exporter(workspace, shop, features, day, rows, staging, prover.add).export()
        manifest = _manifest(workspace, release, features, day, len(rows), prover.result())
        publish(release, staging, manifest, samples)
    write_json(workspace / "release.json", {"version": release.version, "models_dir": str(release.models_dir)})
    console.print(f"released {workspace.config.name} as version {release.version} under {release.models_dir}")


def settings(config: PipelineConfig) -> list[Any]:
    """The part of the configuration that a release depends on."""
    release = config.release.model_dump(mode="json")
    # Left out while it is off: a release is then the same as one made before there was a choice.
    if not release["collapse_duplicates"]:
        del release["collapse_duplicates"]
    return [release, str(config.models_dir)]


def workspace_release(workspace: Workspace) -> Release:
    """The last release of this workspace; ArtifactError when it has none."""
    return Release(workspace.config.models_dir, read_json(workspace / "release.json")["version"])


def outputs(workspace: Workspace) -> list[Path]:
    """The release's files, so that a deleted release is made again, and one that was withdrawn is not."""
    record = workspace / "release.json"
    if not record.exists():
        return [record]
    release = workspace_release(workspace)
    return [record, release.folder / "manifest.json", release.kept("search") / "saved_model.pb"]


def _manifest(
    workspace: Workspace, release: Release, features: FeatureStore, day: int, indexed: int, proof: dict[str, Any]
) -> dict[str, Any]:
    config = workspace.config
    tables = workspace / "tables"
    seconds = snapshot_time(features, day)
    return {
        "name": config.name,
        "version": release.version,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "snapshot": {"day": day, "timestamp": seconds, "date": datetime.fromtimestamp(seconds, UTC).date().isoformat()},
        "products": features.n_products,
        "indexed": indexed,
        "history": config.towers.history.length,
        "candidates": config.release.candidates,
        "results": config.release.results,
        "image_size": config.images.size,
        "user_columns": list(config.towers.profile_columns),
        "data_fingerprint": "-".join(fingerprint(tables / f"{name}.parquet")[:16] for name in ("products", "events")),
        "config": config.model_dump(mode="json"),
        "metrics": {
            "towers": read_json(workspace / "towers" / "metrics.json"),
            "rerank": read_json(workspace / "rerank" / "metrics.json"),
            "index": read_json(workspace / "index" / "tuning.json"),
        },
        "code": {"tandem": version("tandem-search"), "revision": revision(), "stages": _revisions(workspace)},
        "proof": proof,
    }


def _revisions(workspace: Workspace) -> dict[str, str]:
    """The commit that ran each stage before this one."""
    return {name: commit for name, commit in stage_revisions(workspace).items() if name not in ("release", "evaluate")}
