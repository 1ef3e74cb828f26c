"""Counters and histograms that threads share, and Prometheus' text form of them (prometheus_exporter.cc)."""

import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator

Labels = tuple[str, ...]

LATENCY_LIMITS = tuple(10 * 1.8**power for power in range(33))
"""Microseconds, up to twenty minutes: TF Serving's buckets for the latency of requests, runs and loads."""


class Counter:
    """A number that only grows, for each combination of labels.

    Args:
        name: as Prometheus reads it.
        description: what is counted.
        labels: their names.
    """

    kind = "counter"

    def __init__(self, name: str, description: str, *labels: str) -> None:
        self.name = name
        self.description = description
        self._labels = labels
        self._lock = threading.Lock()
        self._values: dict[Labels, int] = {}

    def add(self, *labels: str, amount: int = 1) -> None:
        """Count; the labels' values in the order of their names."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + amount

    @property
    def total(self) -> int:
        """What was counted in all."""
        with self._lock:
            return sum(self._values.values())

    def lines(self) -> Iterator[str]:
        """Its samples."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_braces(self._labels, labels)} {value}"


class Histogram:
    """How observed values spread, for each combination of labels.

    Args:
        name, description, labels: as of a counter.
        limits: the largest value of each bucket, rising; one more bucket has no limit.
    """

    kind = "histogram"

    def __init__(self, name: str, description: str, *labels: str, limits: tuple[float, ...] = LATENCY_LIMITS) -> None:
        self.name = name
        self.description = description
        self._labels = labels
        self._limits = limits
        self._lock = threading.Lock()
        self._cells: dict[Labels, list[float]] = {}  # a count for each bucket, the last one's without limit; the sum

    def observe(self, value: float, *labels: str) -> None:
        """Add one value."""
        bucket = bisect_left(self._limits, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = [0] * (len(self._limits) + 2)
            cell[bucket] += 1
            cell[-1] += value

    def lines(self) -> Iterator[str]:
        """Its samples: a cumulative count for each bucket, the sum and the count."""
        with self._lock:
            cells = {labels: list(cell) for labels, cell in self._cells.items()}
        for labels, cell in cells.items():
            count = 0
            for limit, bucket in zip((*self._limits, None), cell, strict=False):
                count += int(bucket)
                shown = "+Inf" if limit is None else f"{limit:.6g}"
                yield f"{self.name}_bucket{_braces((*self._labels, 'le'), (*labels, shown))} {count}"
            yield f"{self.name}_sum{_braces(self._labels, labels)} {cell[-1]:.6f}"
            yield f"{self.name}_count{_braces(self._labels, labels)} {count}"


def exposition(metrics: Iterable[Counter | Histogram]) -> str:
    """The page that Prometheus reads."""
    lines = []
    for metric in metrics:
        lines += [f"# HELP {metric.name} {metric.description}", f"# TYPE {metric.name} {metric.kind}"]
        lines += metric.lines()
    return "\n".join([*lines, ""])


def _braces(names: Labels, values: Labels) -> str:
    pairs = (f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))
    return f"{{{','.join(pairs)}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
