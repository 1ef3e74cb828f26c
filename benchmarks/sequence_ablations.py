"""What pays on a public file of sequences: the settings of benchmarks/sequences.yaml with one thing changed at a time.

    python -m benchmarks.sequence_ablations --data Beauty.txt --attributes Beauty_item2attributes.json --out result.json
    python -m benchmarks.sequence_ablations ... --only "pre-norm" "dropout 0.2"

Trains each variant once as `benchmarks.sequences` does and ranks the validation targets with the weights of its best
epoch; the test target is never looked at. Each is compared with the unchanged settings, with 95 % intervals of a paired
bootstrap over users. "another seed" tells what chance alone comes to. Finished variants stay beside `--out`, with the
fingerprint of data, settings, code and packages: a killed run goes on from there.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import finish
from benchmarks.sequence_data import Attributes, Sequences, read_attributes, read_sequences
from benchmarks.sequence_scores import metrics
from benchmarks.sequences import DEFAULT_CONFIG, fingerprint, keep_result, kept_result, try_out
from catalog.config import parse_config, read_yaml
from catalog.errors import ConfigError, TandemError
from catalog.progress import console
from evaluation.significance import paired_intervals
from towers.config import TowersConfig

UNCHANGED = "unchanged"
_METRICS = ("recall@10", "ndcg@10")

Result = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """One training.

    Attributes:
        name: of it.
        changes: of the settings, by section.
        attributes: whether items have those of the file.
        seed: of weights, batches and dropout.
    """

    name: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    attributes: bool = True
    seed: int = 0

    def configure(self, config: TowersConfig) -> TowersConfig:
        """The settings with its changes."""
        values = config.model_dump(mode="json")
        for section, given in self.changes.items():
            values[section] = {**values[section], **given} if isinstance(given, Mapping) else given
        return parse_config(TowersConfig, values, f"variant {self.name!r}")

    @property
    def of_attributes(self) -> bool:
        """Whether it is the unchanged training where items have no attributes."""
        return not self.attributes or "attribute_power" in self.changes.get("sequences", {})


def _history(name: str, **changes: Any) -> Variant:
    return Variant(name, {"history": changes})


def _length(items: int) -> Variant:
    return Variant(f"length {items}", {"history": {"length": items}, "sequences": {"longest": items}})


def _training(name: str, **changes: Any) -> Variant:
    return Variant(name, {"sequences": changes})


VARIANTS = (
    Variant(UNCHANGED),
    Variant("another seed", seed=1),
    _training("no label smoothing", smoothing=0.0),
    _training("in-batch, logQ and uniform negatives", loss="in_batch", logq=True),
    _training("in-batch and uniform negatives, no logQ", loss="in_batch", logq=False),
    _training("in-batch and logQ alone", loss="in_batch", logq=True, uniform_negatives=0),
    _training("sampled", loss="sampled"),
    _history("pre-norm", norm="pre"),
    _history("one block", blocks=1),
    _history("three blocks", blocks=3),
    _history("four heads", heads=4),
    _history("dropout 0.2", dropout=0.2),
    _history("dropout 0.5", dropout=0.5),
    _length(20),
    _length(100),
    Variant("64 dimensions", {"dim": 64}),
    Variant("ids alone", attributes=False),
    _training("mean of attributes", attribute_power=1.0),
    _training("sum of attributes", attribute_power=0.0),
    _training("last weights", average=0.0),
)


class SequenceAblations:
    """Trains variants and keeps what they rank.

    Args:
        sequences, attributes: of the file.
        config: the unchanged settings.
        minutes: that a training may take.
        out: beside which results are kept, or None.
    """

    def __init__(
        self,
        sequences: Sequences,
        attributes: Attributes | None,
        config: TowersConfig,
        minutes: float,
        out: Path | None,
    ) -> None:
        self._sequences, self._attributes, self._config = sequences, attributes, config
        self._minutes, self._out = minutes, out

    def result(self, variant: Variant, wanted: bool) -> Result | None:
        """What an earlier run kept of a variant; if there is nothing and it is wanted, what its training comes to.

        What other data, settings, code or packages gave is not taken. None where a training fails.

        Raises:
            TandemError: where it is the unchanged one that fails, or the settings do not allow one that is wanted.
        """
        try:
            key = self._key(variant) if self._out else ""  # before the training: it tells what the process runs
        except ConfigError:
            if wanted:
                raise
            return None
        found = kept_result(self._path(variant), key) if self._out else None
        if found is not None or not wanted:
            return found
        from towers.train import TrainingError

        console.print(f"[bold]{variant.name}[/bold]")
        try:
            result = self.run(variant)
        except TrainingError as error:
            if variant.name == UNCHANGED:
                raise
            console.print(f"{variant.name}: {error}; the others go on", soft_wrap=True)
            return None
        if self._out:
            keep_result(self._path(variant), {"key": key, "result": result})
        return result

    def run(self, variant: Variant) -> Result:
        """Train a variant: the ranks of the validation targets, and what it took."""
        from benchmarks.sequence_training import SequenceTraining

        started, cpu = time.perf_counter(), time.process_time()
        training = SequenceTraining(
            self._sequences, self._attributes_of(variant), variant.configure(self._config), variant.seed, self._minutes
        )
        best = training.run()
        return {
            "ranks": training.ranks(training.validation).tolist(),
            "epoch": best.number,
            "epochs": len(training.epochs),
            "loss": training.loss,
            "out_of_time": training.out_of_time,
            "seconds": round(time.perf_counter() - started, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
        }

    def is_unchanged(self, variant: Variant) -> bool:
        """Whether another variant trains as the unchanged one does: the file's loss reads nothing that it changes."""
        from benchmarks.sequence_training import effective_settings

        if variant.name == UNCHANGED or variant.seed or not variant.attributes:
            return False
        mine, unchanged = (
            effective_settings(config, self._sequences) for config in (variant.configure(self._config), self._config)
        )
        return mine == unchanged

    def _attributes_of(self, variant: Variant) -> Attributes | None:
        return self._attributes if variant.attributes else None

    def _path(self, variant: Variant) -> Path:
        assert self._out is not None
        return self._out.with_name(f"{self._out.stem}.{variant.name.replace(',', '').replace(' ', '-')}.json")

    def _key(self, variant: Variant) -> str:
        config = variant.configure(self._config)
        return f"{fingerprint(self._sequences, self._attributes_of(variant), config, self._minutes)} {variant.seed}"


def compared(finished: Mapping[str, Result]) -> dict[str, Result]:
    """Of each variant the validation metrics and, for recall@10 and NDCG@10, the difference to the unchanged one.

    Raises:
        KeyError: if the unchanged one is not there.
    """
    base = _by_user(finished[UNCHANGED])
    table = {}
    for name, result in finished.items():
        mine = _by_user(result)
        differences = {metric: paired_intervals(mine[metric], base[metric])[0] for metric in _METRICS}
        table[name] = {
            **{key: value for key, value in result.items() if key != "ranks"},
            "validation": metrics(np.array(result["ranks"])),
            "difference": {metric: [found.estimate, found.low, found.high] for metric, found in differences.items()},
        }
    return table


def _by_user(result: Result) -> dict[str, Any]:
    """[users] recall@10 and NDCG@10 of each: one target has a gain of 1 / log2(2 + rank)."""
    ranks = np.array(result["ranks"])
    found = ranks < 10
    return {"recall@10": found.astype(np.float64), "ndcg@10": found / np.log2(2.0 + ranks)}


def table_of(variants: Mapping[str, Result]) -> Table:
    """All variants, one a row."""
    table = Table(title="Validation target; * where an interval leaves zero out", title_justify="left")
    for column in ("", "recall@10", "difference", "ndcg@10", "difference", "best epoch", "CPU seconds"):
        table.add_column(column, justify="right" if column else "left")
    for name, found in variants.items():
        cells = []
        for metric in _METRICS:
            estimate, low, high = found["difference"][metric]
            mark = "*" if low > 0 or high < 0 else ""
            cells += [f"{found['validation'][metric]:.4f}", f"{estimate:+.4f} [{low:+.4f}, {high:+.4f}]{mark}"]
        best = f"{found['epoch']} of {found['epochs']}" + (", out of time" if found["out_of_time"] else "")
        table.add_row(name, *cells, best, str(found["cpu_seconds"]))
    return table


def chosen_variants(names: Sequence[str] | None, attributes: bool) -> list[Variant]:
    """The variants of these names, and the unchanged one; all that differ from it where none are given.

    Args:
        names: of variants, or None.
        attributes: whether the items have any.

    Raises:
        ConfigError: if there is no variant of one of the names.
    """
    variants = VARIANTS if attributes else [variant for variant in VARIANTS if not variant.of_attributes]
    known = [variant.name for variant in variants]
    for name in names or ():
        if name not in known:
            without = "" if attributes else " without --attributes"
            raise ConfigError(f"--only: there is no variant {name!r}{without}; expected some of {', '.join(known)}")
    return [variant for variant in variants if not names or variant.name in {UNCHANGED, *names}]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="`user item item item ...` a line, plain or gzip")
    parser.add_argument("--attributes", type=Path, help="JSON, plain or gzip: {item: [attribute, ...]}")
    parser.add_argument("--minutes", type=float, default=25, help="that a training may take; default 25, inf: no limit")
    parser.add_argument("--out", type=Path, help="where the JSON goes too")
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="YAML of the unchanged settings")
    names = ", ".join(variant.name for variant in VARIANTS)
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"variants beside the unchanged one: {names}")
    arguments = parser.parse_args()
    if not arguments.minutes > 0:
        parser.error(f"--minutes must be above 0; received {arguments.minutes}")
    if arguments.out:
        try_out(arguments.out, parser)
    return arguments


def main() -> None:
    """Train what is not kept yet, print the table of all that is finished and the line of JSON."""
    arguments = _arguments()
    try:
        chosen = chosen_variants(arguments.only, arguments.attributes is not None)
        config = parse_config(TowersConfig, read_yaml(arguments.config) or {}, str(arguments.config))
        for variant in chosen:
            variant.configure(config)  # what the settings do not allow is said now, not after hours of training
        sequences = read_sequences(arguments.data)
        attributes = read_attributes(arguments.attributes, sequences.items) if arguments.attributes else None
        console.print(f"{arguments.data}: {sequences!r}", soft_wrap=True)
        ablations = SequenceAblations(sequences, attributes, config, arguments.minutes, arguments.out)
        same = [variant for variant in chosen if ablations.is_unchanged(variant)]
        if same:
            names = ", ".join(variant.name for variant in same)
            console.print(f"left out, as on this file they train as {UNCHANGED!r} does: {names}", soft_wrap=True)
        finished = {}
        for variant in chosen_variants(None, attributes is not None):
            if variant in same:
                continue
            result = ablations.result(variant, variant in chosen)
            if result is not None:
                finished[variant.name] = result
    except TandemError as error:
        sys.exit(f"error: {error}")
    variants = compared(finished)
    Console(stderr=True, width=140).print(table_of(variants))
    answer = {
        "data": arguments.data.name,
        "attributes": arguments.attributes.name if arguments.attributes else None,
        "users": len(sequences.users),
        "settings": config.model_dump(mode="json", exclude_unset=True),
        "variants": variants,
    }
    finish("sequence_ablations", answer, arguments.out)


if __name__ == "__main__":
    main()
