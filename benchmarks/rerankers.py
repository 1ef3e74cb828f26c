"""The reranker beside LambdaMART, logistic regression and the retrieval order; its losses, heads and position bias.

    python -m benchmarks.rerankers --config pipelines/configs/fashion-small.yaml --source FASHION.zip --out FILE

All are trained on the same pages and order the same candidates of test-day requests by the same dense features; they
are judged against the simulator's truth and by clicks. Differences are our reranker's less the other's (among variants:
that which learns from clicks alone, less the other), with 95 % intervals of a bootstrap over users or, where that is
wider, over queries. Runs first what `tandem run --until candidates` has not finished. Finished parts stay beside
`--out` (in FILE.kept), and a killed run goes on from there. It does not measure retrieval or speed.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import finish
from catalog.errors import TandemError
from evaluation.boards import compare
from evaluation.calibration import CalibrationRow, calibration_rows, parts_by_prediction
from evaluation.slices import product_slices, request_slices
from pipelines.config import load_config
from pipelines.run import run_pipeline

if TYPE_CHECKING:
    from benchmarks.rerank_setting import Judged, Setting
    from benchmarks.rerank_variants import Finished

Floats = npt.NDArray[np.float32]
Rows = list[dict[str, Any]]

GRADE_WEIGHTS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 4.0)
RETRIEVAL = "retrieval order"


def graded(judged: "Judged", score: Floats, weight: float) -> Floats:
    """`score` and `weight` times the grade that is expected from judgments, [lists, C]."""
    assert judged.whole.stored is not None
    return score + np.float32(weight) * judged.whole.stored.grade.numpy()


def best_weight(setting: "Setting", score: Floats) -> float:
    """What a grade adds to a rival's score: the best for the mean of all truth metrics on the validation days."""
    tried = {str(weight): graded(setting.validation, score, weight) for weight in GRADE_WEIGHTS}
    scores = setting.scores(setting.validation, tried)
    means = {
        weight: scores["search"].mean(weight, "ndcg@10")
        + sum(part.mean(weight, "appeal_ndcg@10") for part in scores.values())
        for weight in tried
    }
    return float(max(means, key=lambda weight: means[weight]))


def compared(setting: "Setting", systems: dict[str, Floats], ours: str) -> dict[str, Rows]:
    """Per task a row a system: means, and how far ours is ahead, with intervals."""
    from benchmarks.rerank_setting import METRICS, TASKS

    scores = setting.scores(setting.test, systems)
    tables: dict[str, Rows] = {}
    for task in TASKS:
        clusters = setting.test.requests[task].clusters
        tables[task] = []
        for name in systems:
            row: dict[str, Any] = {"system": name}
            for metric in METRICS[task]:
                row[metric] = scores[task].mean(name, metric)
                if name != ours:
                    row[f"ahead_{metric}"] = asdict(compare(scores[task], metric, ours, name, clusters).difference)
            tables[task].append(row)
    return tables


def calibration(setting: "Setting", run: "Finished") -> tuple[CalibrationRow, ...]:
    """Clicks on what the test pages showed: predicted over observed in all, by prediction, and by slice."""
    judged = setting.test
    lists = judged.lists
    examined = run.examination[np.clip(lists.position - 1, 0, len(run.examination) - 1)]
    whole = run.probabilities[0] * np.where(lists.position > 0, examined, 1.0)
    shown = lists.shown
    parts = {"all": np.ones(int(shown.sum()), bool)} | parts_by_prediction(whole[shown])
    for task, requests in judged.requests.items():
        of_task = np.zeros(shown.shape, bool)
        of_task[judged.place[task]] = True
        parts[task] = of_task[shown]
        for name, mask in request_slices(requests).items():
            if mask.all():  # the whole task a second time
                continue
            chosen = np.zeros(shown.shape, bool)
            chosen[judged.place[task][mask]] = True
            parts[f"{task}, {name}"] = chosen[shown]
    for name, products in product_slices(setting.features, setting.products).items():
        of_slice = products[lists.row[shown]]
        if not of_slice.all():
            parts[name] = of_slice
    for first, last in ((1, 1), (2, 3), (4, 8), (9, 100)):
        parts[f"positions {first} to {last}"] = ((lists.position >= first) & (lists.position <= last))[shown]
    return calibration_rows(lists.click[shown], whole[shown], parts)


def examination_rows(learned: Floats, truth: Floats) -> Rows:
    """Position, learned and true P(examined), and their ratio."""
    pairs = zip(learned.tolist(), truth.tolist(), strict=False)
    return [
        {"position": place, "learned": ours, "true": true, "ratio": ours / true}
        for place, (ours, true) in enumerate(pairs, 1)
    ]


def measure(setting: "Setting", folder: Path, names: Sequence[str]) -> dict[str, Any]:
    """Train what is not kept, and make every table.

    Args:
        names: variants of ours that are compared with the one that learns from clicks alone.
    """
    from benchmarks.rerank_variants import OURS, RIVALS, UNTAUGHT, finished

    none = np.zeros(0, np.float32)
    ours = finished(OURS, setting, none, folder)
    weight = setting.prepared.config.relevance.weight
    systems = {f"{OURS} and grade": graded(setting.test, ours.test, weight), OURS: ours.test}
    notes: dict[str, Any] = {OURS: ours.notes}
    for name in RIVALS:
        plain, fed = (finished(name, setting, ours.examination, folder, with_grade=flag) for flag in (False, True))
        added = best_weight(setting, plain.validation)
        both = best_weight(setting, fed.validation)
        systems |= {
            f"{name} and grade": graded(setting.test, plain.test, added),
            f"{name}, grade as feature": fed.test,
            f"{name}, grade as feature, and grade": graded(setting.test, fed.test, both),
            name: plain.test,
        }
        notes |= {name: plain.notes | {"grade_weight": added}, f"{name}, grade as feature": fed.notes}
        notes[f"{name}, grade as feature"]["grade_weight"] = both
    systems[RETRIEVAL] = setting.test.lists.score
    trained = [OURS, UNTAUGHT, *(name for name in names if name not in (OURS, UNTAUGHT))]
    variants = {name: finished(name, setting, none, folder) for name in trained}
    notes |= {name: run.notes for name, run in variants.items()}
    rows = calibration(setting, ours)
    return {
        "rivals": compared(setting, systems, f"{OURS} and grade"),
        "clicks_alone": compared(setting, {name: systems[name] for name in (OURS, *RIVALS)}, OURS),
        "variants": compared(setting, {name: run.test for name, run in variants.items()}, UNTAUGHT),
        "examination": examination_rows(ours.examination, setting.truth.examination),
        "calibration": [asdict(row) for row in rows],
        "notes": notes,
    }


def _table(title: str, rows: Rows) -> Table:
    table = Table(title=title, title_justify="left")
    columns = max(map(list, rows), key=len)
    for name in columns:
        table.add_column(name.replace("_", " "), justify="left" if name in ("system", "part") else "right")
    for row in rows:
        table.add_row(*(_cell(row.get(name, "")) for name in columns))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['estimate']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Train, compare, print the tables and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    parser.add_argument("--out", type=Path, help="where the JSON goes too; finished parts are kept beside it")
    parser.add_argument("--variants", nargs="*", help="which of ours to compare; default: all", default=None)
    arguments = parser.parse_args()
    started = time.perf_counter()
    try:
        from benchmarks.rerank_setting import build_setting, keep_folder
        from benchmarks.rerank_variants import VARIANTS

        names = VARIANTS if arguments.variants is None else arguments.variants
        if unknown := sorted(set(names) - set(VARIANTS)):
            parser.error(f"--variants: unknown {unknown}; expected of {list(VARIANTS)}")
        config = load_config(arguments.config, arguments.source)
        setting = build_setting(run_pipeline(config, until="candidates"))
        with tempfile.TemporaryDirectory() as temporary:
            folder = keep_folder(arguments.out) if arguments.out else Path(temporary)
            result = measure(setting, folder, list(names))
    except TandemError as error:
        sys.exit(f"error: {error}")
    console = Console(stderr=True, width=200)
    for name in ("rivals", "clicks_alone", "variants"):
        for task, rows in result[name].items():
            console.print(
                _table(f"{name.replace('_', ' ')}, {task}: {len(setting.test.requests[task]):,} requests", rows)
            )
    console.print(_table("P(examined) by position", result["examination"]))
    console.print(_table("Clicks on what the test pages showed", result["calibration"]))
    answer = {
        "config": config.name,
        "lists": setting.training.data.size,
        **result,
        "seconds": round(time.perf_counter() - started, 1),
    }
    finish("rerankers", answer, arguments.out)


if __name__ == "__main__":
    main()
