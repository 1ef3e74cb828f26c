"""Trials that really train: both parts on a tiny shop, stopped, killed, and gone on with."""

import multiprocessing
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from catalog.files import read_json
from pipelines.search_space import with_values
from pipelines.trial import PARTS, run_trial
from pipelines.tuning import tune
from pipelines.workspace import Workspace
from tests.tiny_shop import bare_workspace

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return bare_workspace(tmp_path_factory)


def test_the_first_trial_of_the_towers_is_what_the_run_trained(workspace: Workspace) -> None:
    result = tune(workspace.config, "towers", 1)
    assert result.ending == "finished"
    (folder,) = (workspace / "tune").glob("towers-*")
    (trial,) = read_json(folder / "trials.json")["trials"]
    run = read_json(workspace / "towers" / "metrics.json")
    assert trial["epochs"] == pytest.approx([epoch["recall/mean"] for epoch in run["epochs"]], abs=0.02)
    assert trial["others"].keys() == run["recall"].keys()
    assert trial["value"] == max(trial["epochs"])
    assert (folder / "trial-0000" / "towers.weights.h5").exists()


def test_the_reranker_is_tuned_on_the_runs_candidates(workspace: Workspace) -> None:
    result = tune(workspace.config, "rerank", 1)
    assert result.report.counts == {"finished": 1}
    (folder,) = (workspace / "tune").glob("rerank-*")
    (trial,) = read_json(folder / "trials.json")["trials"]
    assert len(trial["epochs"]) == 2
    kept = read_json(folder / "trial-0000" / "metrics.json")["best_epoch"]
    assert kept == trial["best_epoch"] == 2  # of two epochs the second half
    assert 0 < trial["value"] == trial["epochs"][kept - 1]
    assert trial["others"].keys() == {"page ndcg@10, clicks as logged"}  # without impressions no head is judged
    assert (folder / "trial-0000" / "weights.npz").exists()


def test_log_losses_are_among_the_further_metrics() -> None:
    validation = {"page": {"ndcg@10_after": 0.5}, "heads": {"click": {"log_loss": 0.3}, "cart": {"log_loss": 0.1}}}
    values, others = PARTS["rerank"].read({"epochs": [{"ndcg@10": 0.4}, {"ndcg@10": 0.6}], "validation": validation})
    assert values == [0.4, 0.6]
    assert others == {"page ndcg@10, clicks as logged": 0.5, "click log-loss": 0.3, "cart log-loss": 0.1}


def test_a_killed_training_fails_and_one_that_is_stopped_goes_on(workspace: Workspace, tmp_path: Path) -> None:
    def kill(values: list[float]) -> bool:
        (child,) = multiprocessing.active_children()
        child.kill()
        child.join()
        return True

    killed = run_trial(workspace, "towers", tmp_path, kill, None)
    assert killed.kind == "failed"
    assert "ended by SIGKILL; when nobody sent it, memory ran out" in killed.error
    assert len(killed.values) == 1
    stopped = run_trial(workspace, "towers", tmp_path, lambda values: False, None)
    assert stopped.kind == "pruned"
    assert len(stopped.values) == 2
    assert stopped.values[:1] == killed.values
    assert not multiprocessing.active_children()


def test_a_loss_that_is_no_number_fails_the_trial(workspace: Workspace, tmp_path: Path) -> None:
    wrong = {"training.learning_rate": 1e30, "training.warmup_steps": 0}
    config = with_values(workspace.config, "towers", wrong, "the test")
    outcome = run_trial(Workspace(config, workspace.root), "towers", tmp_path, lambda values: True, None)
    assert outcome.kind == "failed"
    assert "not a number" in outcome.error


def test_no_time_no_training(workspace: Workspace, tmp_path: Path) -> None:
    assert run_trial(workspace, "towers", tmp_path, lambda values: True, time.monotonic()).kind == "out_of_time"
    assert not multiprocessing.active_children()
    assert not list(tmp_path.iterdir())


def start_search(workspace: Workspace, folder: Path) -> "subprocess.Popen[str]":
    """`tandem tune` in a process of its own."""
    (folder / "shop.yaml").write_text(yaml.safe_dump(workspace.config.model_dump(mode="json")))
    (folder / "space.yaml").write_text("towers: {training: {learning_rate: [0.001, 0.003]}}")
    command = [sys.executable, "-m", "pipelines.cli", "tune", "--config", "shop.yaml", "--space", "space.yaml"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests run in a shell's background Ctrl-C is ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def read_until(process: "subprocess.Popen[str]", text: str) -> str:
    assert process.stderr is not None
    lines = ""
    for line in process.stderr:
        lines += line
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was never printed: {lines}")


def test_ctrl_c_says_how_to_go_on(workspace: Workspace, tmp_path: Path) -> None:
    with start_search(workspace, tmp_path) as process:
        read_until(process, "tune: trial 0")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT
    assert "trials: 1 interrupted no trial has finished yet" in " ".join(said.split())
    assert "tune: stopped (SIGINT) before 20 trials; the same command goes on" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_killed_search_takes_its_training_along(workspace: Workspace, tmp_path: Path) -> None:
    with start_search(workspace, tmp_path) as process:
        read_until(process, "steps an epoch")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (training,) = [pid for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]
        descriptor = os.pidfd_open(int(training))
        process.kill()
        ended = select.poll()
        ended.register(descriptor, select.POLLIN)
        assert ended.poll(60_000)
        os.close(descriptor)
