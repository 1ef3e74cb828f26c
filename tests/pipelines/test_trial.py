"""Trials that really train: both parts on a tiny shop, stopped, killed, and gone on with."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from catalog.config import parse_config
from catalog.files import read_json
from catalog.simulate import SimulateConfig, simulate
from pipelines.config import PipelineConfig
from pipelines.run import run_pipeline
from pipelines.search_space import with_values
from pipelines.trial import run_trial
from pipelines.tuning import tune
from pipelines.workspace import Workspace

CONFIG = {
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


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("tiny")
    simulate(
        SimulateConfig(products=160, shoppers=220, days=21, judged_queries=5, picture_pixels=48),
        folder / "raw",
        folder / "truth",
    )
    values = CONFIG | {"source": {"kind": "files", "path": str(folder / "raw")}, "workspace": str(folder / "run")}
    return run_pipeline(parse_config(PipelineConfig, values, "the test"), until="candidates")


def changed(workspace: Workspace, **values: float) -> Workspace:
    config = with_values(workspace.config, "towers", {f"training.{name}": value for name, value in values.items()}, "")
    return Workspace(config, workspace.root)


def test_the_first_trial_of_the_towers_is_what_the_run_trained(workspace: Workspace, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("towers: {training: {learning_rate: [0.001, 0.004]}}")
    result = tune(workspace.config, "towers", 2, space_file=space)
    assert result.ending == "finished"
    (folder,) = (workspace / "tune").glob("towers-*")
    first, second = read_json(folder / "trials.json")["trials"]
    run = read_json(workspace / "towers" / "metrics.json")
    assert first["epochs"] == pytest.approx([epoch["recall/mean"] for epoch in run["epochs"]], abs=0.02)
    assert first["others"].keys() == run["recall"].keys()
    assert first["value"] == max(first["epochs"])
    assert second["params"]["training.learning_rate"] in (0.001, 0.004)


def test_the_reranker_is_tuned_on_the_runs_candidates(workspace: Workspace) -> None:
    result = tune(workspace.config, "rerank", 1)
    assert result.report.counts == {"finished": 1}
    (folder,) = (workspace / "tune").glob("rerank-*")
    (trial,) = read_json(folder / "trials.json")["trials"]
    assert len(trial["epochs"]) == 2
    assert 0 < trial["value"] == max(trial["epochs"])
    assert trial["others"]["click log-loss"] > 0
    assert (folder / "trial-0000" / "weights.npz").exists()


def test_a_trial_is_stopped_after_an_epoch_and_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    stopped = run_trial(workspace, "towers", tmp_path, lambda values: False, None)
    assert stopped.kind == "pruned"
    assert len(stopped.values) == 1
    assert (tmp_path / "checkpoints" / "epoch-0001").exists()
    seen: list[list[float]] = []
    ended = run_trial(workspace, "towers", tmp_path, lambda values: not seen.append(values), None)  # type: ignore[func-returns-value]
    assert ended.kind == "finished"
    assert seen == [ended.values]
    assert ended.values[:1] == stopped.values


def test_a_loss_that_is_no_number_fails_the_trial(workspace: Workspace, tmp_path: Path) -> None:
    wrong = changed(workspace, learning_rate=1e30, warmup_steps=0)
    outcome = run_trial(wrong, "towers", tmp_path, lambda values: True, None)
    assert outcome.kind == "failed"
    assert "not a number" in outcome.error


def test_no_time_no_training(workspace: Workspace, tmp_path: Path) -> None:
    assert run_trial(workspace, "towers", tmp_path, lambda values: True, time.monotonic()).kind == "out_of_time"
    assert not multiprocessing.active_children()


def test_a_training_whose_process_is_killed_fails(workspace: Workspace, tmp_path: Path) -> None:
    def kill(values: list[float]) -> bool:
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        return True

    outcome = run_trial(workspace, "towers", tmp_path, kill, None)
    assert outcome.kind == "failed"
    assert "ended by SIGKILL; when nobody sent it, memory ran out" in outcome.error
