"""Next-item recommendation on a public file of sequences, beside the published figures.

    python -m benchmarks.sequences --data Beauty.txt --attributes Beauty_item2attributes.json --out result.json

Trains Tandem's history encoder with its item embeddings and attributes by the protocol that S3-Rec (CIKM 2020) and
most papers since have used: the last item of each user is the test target, the one before it the validation target,
the rest is training; targets are ranked against all items, with the user's own earlier items removed. Epochs are
chosen by the validation target, and the test target is looked at once, after training. The same settings serve every
file; `--config` takes others. A seed takes at most `--minutes`: where the file is large for them, the softmax is over
the batch's products, a part of the users validates the epochs, and training ends in time for the scores of them all.
Results of finished seeds stay beside `--out`, and a killed run goes on from there. It does not measure search, cold
start or serving.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import hashlib
import math
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import finish
from benchmarks.sequence_data import Attributes, Sequences, read_attributes, read_sequences
from benchmarks.sequence_scores import DEPTHS, Row, published
from catalog.config import parse_config, read_yaml
from catalog.errors import ArtifactError, TandemError
from catalog.files import read_json, write_json
from catalog.progress import console
from evaluation.provenance import package_versions
from pipelines.fingerprints import code_digest
from towers.config import TowersConfig

DEFAULT_CONFIG = Path(__file__).with_name("sequences.yaml")
_CODE = code_digest("benchmarks.sequences")  # as the process starts: files may be edited while it trains
_METRICS = tuple(f"{name}@{depth}" for name in ("recall", "ndcg") for depth in DEPTHS)

Result = dict[str, Any]


def run_seed(
    sequences: Sequences, attributes: Attributes | None, config: TowersConfig, seed: int, minutes: float
) -> Result:
    """Train once; validation metrics of the best epoch, then the test metrics, seconds and peak memory."""
    from benchmarks.sequence_training import SequenceTraining

    started, cpu = time.perf_counter(), time.process_time()
    training = SequenceTraining(sequences, attributes, config, seed, minutes)
    best = training.run()
    validation, test = training.measure(training.validation), training.measure(sequences.test())
    return {
        "seed": seed,
        "epoch": best.number,
        "epochs": len(training.epochs),
        "updates": sum(epoch.updates for epoch in training.epochs),
        "loss": training.loss,
        "history_length": training.length,
        "out_of_time": training.out_of_time,
        "validation": validation,
        "test": test,
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def run_seeds(
    sequences: Sequences,
    attributes: Attributes | None,
    config: TowersConfig,
    seeds: int,
    minutes: float,
    out: Path | None,
) -> list[Result]:
    """The results of seeds 0, 1, ...: those that the same key kept beside `out`, the others trained."""
    key = fingerprint(sequences, attributes, config, minutes)
    results = []
    for seed in range(seeds):
        kept = out.with_name(f"{out.stem}.seed{seed}.json") if out else None
        if kept and (found := kept_result(kept, key)):
            console.print(f"seed {seed}: kept in {kept}", soft_wrap=True)
            results.append(found)
            continue
        console.print(f"seed {seed}, {len(results) + 1} of {seeds}", soft_wrap=True)
        results.append(run_seed(sequences, attributes, config, seed, minutes))
        if kept:
            keep_result(kept, {"key": key, "result": results[-1]})
    return results


def kept_result(path: Path, key: str) -> Result | None:
    """What an earlier run kept by the same key; None if there is no such thing."""
    try:
        content = read_json(path)
    except ArtifactError:
        return None
    return content["result"] if isinstance(content, dict) and content.get("key") == key else None


def keep_result(path: Path, content: Result) -> None:
    try:
        write_json(path, content)
    except OSError as error:
        console.print(f"{path}: {error}; this result is not kept and the run goes on", soft_wrap=True)


def summary(results: list[Result], part: str) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation over the seeds of each metric of "validation" or "test"."""
    values = {name: [result[part][name] for result in results] for name in _METRICS}
    return {
        name: {"mean": float(np.mean(given)), "spread": float(np.std(given, ddof=1)) if len(given) > 1 else 0.0}
        for name, given in values.items()
    }


def tables(
    validation: dict[str, Any], test: dict[str, Any], results: list[Result], name: str, rows: dict[str, Row]
) -> list[Table]:
    """What was measured, what each seed took, and test recall@10 and NDCG@10 among what is published on this file."""
    measured = Table(title=f"Mean ± standard deviation over {len(results)} seed(s)", title_justify="left")
    for column in ("", *_METRICS):
        measured.add_column(column, justify="right" if column else "left")
    for part, found in (("validation", validation), ("test", test)):
        measured.add_row(part, *(f"{found[column]['mean']:.4f} ± {found[column]['spread']:.4f}" for column in _METRICS))
    taken = Table(title="What each seed took; memory is the most of the process so far", title_justify="left")
    for column in ("seed", "best epoch", "updates", "loss", "seconds", "CPU seconds", "peak memory, GB"):
        taken.add_column(column, justify="right")
    for result in results:
        best = f"{result['epoch']} of {result['epochs']}" + (", out of time" if result["out_of_time"] else "")
        numbers = (result[key] for key in ("updates", "loss", "seconds", "cpu_seconds", "peak_memory_gb"))
        taken.add_row(str(result["seed"]), best, *map(str, numbers))
    title = f"Published on {name} with this protocol" if rows else "Nothing published is known on this file"
    beside = Table(title=title, title_justify="left")
    for column in ("", "recall@10", "ndcg@10"):
        beside.add_column(column, justify="right" if column else "left")
    for row, (recall, ndcg) in rows.items():
        beside.add_row(row, f"{recall:.4f}", f"{ndcg:.4f}")
    beside.add_row("Tandem, this run", f"{test['recall@10']['mean']:.4f}", f"{test['ndcg@10']['mean']:.4f}")
    return [measured, taken, beside]


def fingerprint(sequences: Sequences, attributes: Attributes | None, config: TowersConfig, minutes: float) -> str:
    """Of all that a result rests on: data, settings, code and packages."""
    digest = hashlib.sha256(f"{config.model_dump_json()} {minutes} {package_versions()} {_CODE}".encode())
    for array in (sequences.items, *sequences.sequences, *sequences.short):
        digest.update(np.asarray(array).tobytes() + b"\0")
    digest.update(repr(attributes and attributes.rows).encode())
    return digest.hexdigest()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="`user item item item ...` a line, plain or gzip")
    parser.add_argument("--attributes", type=Path, help="JSON, plain or gzip: {item: [attribute, ...]}")
    parser.add_argument("--seeds", type=int, default=3, help="trainings; default 3")
    parser.add_argument("--minutes", type=float, default=25, help="that a seed may take; default 25, inf: no limit")
    parser.add_argument("--out", type=Path, help="where the JSON goes too")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="YAML of the towers' settings")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1; received {arguments.seeds}")
    if not arguments.minutes > 0:
        parser.error(f"--minutes must be above 0; received {arguments.minutes}")
    if arguments.out:
        try_out(arguments.out, parser)
    return arguments


def try_out(out: Path, parser: argparse.ArgumentParser) -> None:
    """Say before hours of training that their result could not be written."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=out.parent):
            pass
    except OSError as error:
        parser.error(f"--out {out} cannot be written: {error}")
    if out.is_dir():
        parser.error(f"--out {out} is a folder; give the path of a file")


def main() -> None:
    """Train the seeds, print the tables and the line of JSON."""
    arguments = _arguments()
    try:
        config = parse_config(TowersConfig, read_yaml(arguments.config) or {}, str(arguments.config))
        sequences = read_sequences(arguments.data)
        console.print(f"{arguments.data}: {sequences!r}", soft_wrap=True)
        attributes = read_attributes(arguments.attributes, sequences.items) if arguments.attributes else None
        if attributes:
            console.print(f"{arguments.attributes}: {attributes!r}", soft_wrap=True)
        results = run_seeds(sequences, attributes, config, arguments.seeds, arguments.minutes, arguments.out)
    except TandemError as error:
        sys.exit(f"error: {error}")
    validation, test = summary(results, "validation"), summary(results, "test")
    name, rows = published(len(sequences.users), len(sequences.items))
    for table in tables(validation, test, results, name, rows):
        Console(stderr=True, width=140).print(table)
    answer = {
        "data": arguments.data.name,
        "attributes": arguments.attributes.name if arguments.attributes else None,
        "recall@10": test["recall@10"]["mean"],
        "ndcg@10": test["ndcg@10"]["mean"],
        "test": test,
        "validation": validation,
        "seeds": results,
        "minutes": arguments.minutes if math.isfinite(arguments.minutes) else None,
        "settings": config.model_dump(mode="json", exclude_unset=True),
        "published": rows,
    }
    finish("sequences", answer, arguments.out)


if __name__ == "__main__":
    main()
