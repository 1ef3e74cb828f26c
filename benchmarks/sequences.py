"""Next-item recommendation on a public file of sequences, beside the published figures.

    python -m benchmarks.sequences --data Beauty.txt --attributes Beauty_item2attributes.json --out result.json

Trains Tandem's history encoder with its item embeddings and attributes by the protocol that S3-Rec (CIKM 2020) and
most papers since have used: the last item of each user is the test target, the one before it the validation target,
the rest is training; targets are ranked against all items, with the user's own earlier items removed. Epochs are
chosen by the validation target, and the test target is looked at once, after training. The same settings serve every
file; `--config` takes others. Results of finished seeds stay beside `--out`, and a killed run goes on from there.
It does not measure search, cold start or serving.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import hashlib
import resource
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import finish
from benchmarks.sequence_data import Attributes, Sequences, read_attributes, read_sequences
from benchmarks.sequence_scores import DEPTHS, PUBLISHED
from catalog.config import parse_config, read_yaml
from catalog.errors import TandemError
from catalog.files import read_json, write_json
from catalog.progress import console
from towers.config import TowersConfig

DEFAULT_CONFIG = Path(__file__).with_name("sequences.yaml")
_METRICS = tuple(f"{name}@{depth}" for name in ("recall", "ndcg") for depth in DEPTHS)

Result = dict[str, Any]


def run_seed(sequences: Sequences, attributes: Attributes | None, config: TowersConfig, seed: int) -> Result:
    """Train once; validation metrics of the best epoch, then the test metrics, seconds and peak memory."""
    from benchmarks.sequence_training import SequenceTraining

    started, cpu = time.perf_counter(), time.process_time()
    training = SequenceTraining(sequences, attributes, config, seed)
    best = training.run()
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    return {
        "seed": seed,
        "epoch": best.number,
        "epochs": len(training.epochs),
        "validation": best.validation,
        "test": training.measure(sequences.test()),
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def run_seeds(
    sequences: Sequences, attributes: Attributes | None, config: TowersConfig, seeds: int, out: Path | None
) -> list[Result]:
    """The results of seeds 0, 1, ...: those kept beside `out` by the same data and settings, the others trained."""
    key = _fingerprint(sequences, attributes, config)
    results = []
    for seed in range(seeds):
        kept = out.with_name(f"{out.stem}.seed{seed}.json") if out else None
        if kept and kept.exists() and (found := read_json(kept)).get("key") == key:
            console.print(f"seed {seed}: kept in {kept}", soft_wrap=True)
            results.append(found["result"])
            continue
        console.print(f"seed {seed} of {seeds}", soft_wrap=True)
        results.append(run_seed(sequences, attributes, config, seed))
        if kept:
            write_json(kept, {"key": key, "result": results[-1]})
    return results


def summary(results: list[Result], part: str) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation over the seeds of each metric of "validation" or "test"."""
    values = {name: [result[part][name] for result in results] for name in _METRICS}
    return {
        name: {"mean": float(np.mean(given)), "spread": float(np.std(given, ddof=1)) if len(given) > 1 else 0.0}
        for name, given in values.items()
    }


def tables(validation: dict[str, Any], test: dict[str, Any], seeds: int) -> list[Table]:
    """What was measured, and test recall@10 and NDCG@10 among the published rows."""
    measured = Table(title=f"Mean ± standard deviation over {seeds} seed(s)", title_justify="left")
    for name in ("", *_METRICS):
        measured.add_column(name, justify="right" if name else "left")
    for part, found in (("validation", validation), ("test", test)):
        measured.add_row(part, *(f"{found[name]['mean']:.4f} ± {found[name]['spread']:.4f}" for name in _METRICS))
    beside = Table(
        title="Published on Amazon Beauty with this protocol; only for Beauty is this run to be compared with them",
        title_justify="left",
    )
    for name in ("", "recall@10", "ndcg@10"):
        beside.add_column(name, justify="right" if name else "left")
    for name, (recall, ndcg) in PUBLISHED.items():
        beside.add_row(name, f"{recall:.4f}", f"{ndcg:.4f}")
    beside.add_row("Tandem, this run", f"{test['recall@10']['mean']:.4f}", f"{test['ndcg@10']['mean']:.4f}")
    return [measured, beside]


def _fingerprint(sequences: Sequences, attributes: Attributes | None, config: TowersConfig) -> str:
    digest = hashlib.sha256(config.model_dump_json().encode())
    for array in (sequences.items, *sequences.sequences):
        digest.update(np.asarray(array).tobytes() + b"\0")
    digest.update(repr(attributes and attributes.rows).encode())
    return digest.hexdigest()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="sequences: `user item item item ...` a line")
    parser.add_argument("--attributes", type=Path, help="JSON: {item: [attribute, ...]}")
    parser.add_argument("--seeds", type=int, default=3, help="trainings; default 3")
    parser.add_argument("--out", type=Path, help="where the JSON goes too")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="YAML of the towers' settings")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"--seeds must be at least 1; received {arguments.seeds}")
    return arguments


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
        results = run_seeds(sequences, attributes, config, arguments.seeds, arguments.out)
    except TandemError as error:
        sys.exit(f"error: {error}")
    validation, test = summary(results, "validation"), summary(results, "test")
    for table in tables(validation, test, len(results)):
        Console(stderr=True, width=140).print(table)
    answer = {
        "data": arguments.data.name,
        "attributes": arguments.attributes.name if arguments.attributes else None,
        "recall@10": test["recall@10"]["mean"],
        "ndcg@10": test["ndcg@10"]["mean"],
        "test": test,
        "validation": validation,
        "seeds": results,
        "settings": config.model_dump(mode="json", exclude_unset=True),
        "published": PUBLISHED,
    }
    finish("sequences", answer, arguments.out)


if __name__ == "__main__":
    main()
