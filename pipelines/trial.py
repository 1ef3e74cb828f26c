"""One trial of `tandem tune`: a training in a process of its own, which reports each epoch and can be stopped there.

A process of its own, since a training that runs out of memory takes its process along, and the next one starts clean,
as `tandem run` does. Writes only into the trial's folder; a training stopped half-way goes on after its last epoch.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from catalog.errors import TandemError
from catalog.files import read_json
from pipelines import s05_towers, s08_rerank
from pipelines.config import PipelineConfig
from pipelines.search_space import Part
from pipelines.workspace import Workspace

AfterEpoch = Callable[[list[float]], None]
GoesOn = Callable[[list[float]], bool]


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        kind: finished; pruned, when it was told to stop; out_of_time; failed; impossible, when its settings do not go
            together.
        values: the validation metric after each epoch.
        best_epoch: from 1, the epoch whose weights a finished training kept; it need not have the largest value.
        others: further metrics of the best epoch, for the reader.
        error: why it failed.
    """

    kind: Literal["finished", "pruned", "out_of_time", "failed", "impossible"]
    values: list[float]
    best_epoch: int = 0
    others: dict[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def value(self) -> float:
        """The validation metric of what a finished training kept."""
        return self.values[self.best_epoch - 1]


@dataclass(frozen=True)
class TunedPart:
    """What can be tuned.

    Attributes:
        metric: what its training chooses the epoch by, on the validation days; larger is better.
        train: trains into a folder, and writes metrics.json with the number of the best epoch.
        read: metrics.json to that metric after each epoch, and further metrics.
        spared: first epochs after which no training is stopped for what it has reached, by the config: they say little.
    """

    metric: str
    train: Callable[[Workspace, Path, AfterEpoch | None], None]
    read: Callable[[dict[str, Any]], tuple[list[float], dict[str, float]]]
    spared: Callable[[PipelineConfig], int]


def _read_towers(metrics: dict[str, Any]) -> tuple[list[float], dict[str, float]]:
    return [epoch["recall/mean"] for epoch in metrics["epochs"]], dict(metrics["recall"])


def _read_rerank(metrics: dict[str, Any]) -> tuple[list[float], dict[str, float]]:
    others = {"page ndcg@10, clicks as logged": metrics["validation"]["page"]["ndcg@10_after"]}
    heads = metrics["validation"]["heads"]
    others |= {f"{name} log-loss": heads[name]["log_loss"] for name in heads}
    return [epoch["ndcg@10"] for epoch in metrics["epochs"]], others


PARTS: dict[Part, TunedPart] = {
    # In its first epoch a warm-up is slower at a lower learning rate; the reranker keeps no epoch of its first half.
    "towers": TunedPart("recall/mean", s05_towers.train_into, _read_towers, lambda config: 1),
    "rerank": TunedPart("ndcg@10", s08_rerank.train_into, _read_rerank, lambda config: config.rerank.epochs // 2),
}


def run_trial(workspace: Workspace, part: Part, folder: Path, goes_on: GoesOn, deadline: float | None) -> Outcome:
    """Train one part in a new process.

    Args:
        workspace: whose config is the trial's, and whose earlier stages are read.
        folder: where the training writes.
        goes_on: asked after each epoch with the metric of each epoch so far; False stops the training.
        deadline: on the clock of `time.monotonic`; the training is stopped then.
    """
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_train, args=(there, workspace, part, folder), daemon=True)
    process.start()
    there.close()
    values: list[float] = []
    try:
        while here.poll(None if deadline is None else max(deadline - time.monotonic(), 0.0)):
            kind, content = here.recv()
            if kind != "epoch":
                return Outcome(kind, **content) if kind == "finished" else Outcome(kind, values, error=content)
            values = content
            if not goes_on(values):
                return Outcome("pruned", values)
            here.send("go on")
        return Outcome("out_of_time", values)
    except (EOFError, ConnectionError):
        process.join()
        return Outcome("failed", values, error=_sudden_end(process.exitcode))
    finally:
        process.kill()
        process.join()
        here.close()


def _sudden_end(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        name = signal.Signals(-exitcode).name
        return f"the training's process was ended by {name}; when nobody sent it, memory ran out"
    return f"the training's process ended with exit code {exitcode}"


def _train(connection: Connection, workspace: Workspace, part: Part, folder: Path) -> None:
    """The process of one trial."""
    for number in (signal.SIGINT, signal.SIGTERM):  # they may reach every process of a group; the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    def after_epoch(values: list[float]) -> None:
        connection.send(("epoch", values))
        connection.recv()

    try:
        PARTS[part].train(workspace, folder, after_epoch)
        metrics = read_json(folder / "metrics.json")
        values, others = PARTS[part].read(metrics)
        best_epoch = metrics["best_epoch"]
    except TandemError as error:
        connection.send(("failed", str(error)))
    except Exception as error:
        connection.send(("failed", f"{type(error).__name__}: {error}"))
        raise
    else:
        connection.send(("finished", {"values": values, "best_epoch": best_epoch, "others": others}))


def _end_with_parent() -> None:
    """A killed search must not leave a training behind that writes into its folder."""
    parent = parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
