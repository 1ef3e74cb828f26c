"""The smallest simulated shop that a whole run gets through, and the settings that make the run short."""

import os
import shutil
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from catalog.config import parse_config
from catalog.simulate import SimulateConfig, simulate
from pipelines.config import PipelineConfig
from pipelines.run import run_pipeline
from pipelines.workspace import Workspace, open_workspace
from tests.eager import eagerly

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "ingest": {"image_size": 32},
    "splits": {"rerank_days": 4, "validation_days": 3, "test_days": 3},
    "images": {"size": 32},
    "towers": {
        "dim": 16,
        "text": {"vocab_size": 600, "product_tokens": 24, "query_tokens": 8},
        "history": {"length": 8, "search_length": 8, "blocks": 1},
        "training": {
            "epochs": 2,
            "steps_per_epoch": 4,
            "search_examples": 32,
            "next_items": 32,
            "catalogue_queries": 32,
            "mixed_negatives": 32,
        },
    },
    "index": {"k": 20, "latency_calls": 5, "queries": 50},
    "rerank": {"history_length": 8, "epochs": 2, "deep_units": [16], "list_length": 24},
    "release": {"candidates": 20, "results": 10},
}


def bare_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A shop that brings the least, run up to the candidates: two CSV files of products and of what searches led to.

    It is run once for all test processes; each caller has a copy of its own.
    """
    own = tmp_path_factory.mktemp("bare")
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "bare_shop"
    values = CONFIG | {
        "name": "bare",
        "release": CONFIG["release"] | {"collapse_duplicates": True},
        "evaluate": {"requests": 60},
        "source": {"kind": "files", "path": str(shared / "files")},
        "models_dir": str(own / "models"),
    }
    with FileLock(shared.with_suffix(".lock")):
        if not (shared / "finished").exists():
            shutil.rmtree(shared, ignore_errors=True)
            _write_bare_files(shared)
            with eagerly():
                run_pipeline(_config(values, shared / "run"), until="candidates")
            (shared / "finished").touch()
    shutil.copytree(shared / "run", own / "run")
    return open_workspace(_config(values, own / "run"))


def _config(values: dict[str, Any], workspace: Path) -> PipelineConfig:
    return parse_config(PipelineConfig, values | {"workspace": str(workspace)}, "the test")


def _write_bare_files(folder: Path) -> None:
    """products.csv and events.csv under files/."""
    config = SimulateConfig(products=160, shoppers=220, days=21, judged_queries=5, picture_pixels=48)
    simulate(config, folder / "raw", folder / "truth")
    products = pq.read_table(folder / "raw" / "products.parquet")
    events = pq.read_table(folder / "raw" / "events.parquet")
    files = folder / "files"
    files.mkdir()
    csv.write_csv(products.select(["product_id", "title", "category"]), files / "products.csv")
    searched = events.filter(pc.not_equal(pc.fill_null(events["query"], ""), ""))
    searched = searched.filter(pc.not_equal(searched["kind"], "impression"))
    names = ["user_id", "session_id", "timestamp", "kind", "product_id", "query"]
    csv.write_csv(searched.select(names), files / "events.csv")
