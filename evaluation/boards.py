"""From one number a request to the tables of the report: means, and differences with intervals."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from catalog.errors import DataError
from evaluation.arrays import Floats, Mask
from evaluation.glossary import label
from evaluation.scores import Scores, mean_of, restricted, shared_requests
from evaluation.significance import Clusters, Interval, paired_intervals

Role = Literal["ours", "baseline", "oracle"]
Cell = str | int | float | None
COVERAGE = "coverage@10"


@dataclass(frozen=True)
class Comparison:
    """One system against another on one metric: difference and ratio of the means, with 95 % intervals."""

    metric: str
    system: str
    against: str
    difference: Interval
    ratio: Interval


@dataclass(frozen=True)
class SystemRow:
    """One system's means."""

    system: str
    role: Role
    means: dict[str, float]


@dataclass(frozen=True)
class Board:
    """All systems on the same requests.

    Args:
        key: names it in the JSON. title, note: for the reader. requests: how many have a value in any column.
        metrics: columns. rows: one a system. comparisons: the claimed differences.
        counted: metric -> on how many requests its means and differences rest.
    """

    key: str
    title: str
    note: str
    requests: int
    metrics: tuple[str, ...]
    rows: tuple[SystemRow, ...]
    comparisons: tuple[Comparison, ...]
    counted: dict[str, int] = field(default_factory=dict)

    def row(self, system: str) -> SystemRow:
        """The row of one system."""
        for row in self.rows:
            if row.system == system:
                return row
        raise KeyError(f"no system {system!r} in table {self.key!r}; it has {[row.system for row in self.rows]}")

    def comparison(self, metric: str, system: str) -> Comparison | None:
        """The first comparison of `system` on `metric`, if there is one."""
        return next((item for item in self.comparisons if (item.metric, item.system) == (metric, system)), None)

    def best(self, metric: str) -> str | None:
        """The best system on `metric` among those that are not the oracle."""
        means = {row.system: row.means.get(metric, np.nan) for row in self.rows if row.role != "oracle"}
        known = {system: mean for system, mean in means.items() if not np.isnan(mean)}
        return max(known, key=lambda system: known[system]) if known else None


def make_board(
    scores: Scores,
    roles: dict[str, Role],
    metrics: Sequence[str],
    *,
    key: str,
    title: str,
    note: str = "",
    clusters: Clusters = None,
    against: str | None = None,
    ours_only: bool = False,
    uncompared: Sequence[str] = (),
    seed: int = 0,
    resamples: int = 2000,
) -> Board:
    """A table of means, and of each of our systems' differences to the best baseline of each metric.

    A column rests on the requests where every system has a value; a system that never has one is left empty.

    Args:
        scores: of the systems. roles: system -> role; the systems and the order of the rows.
        metrics: names in `scores`, in the order of the columns; "coverage@10" is added from `scores.coverage`.
        clusters: of the requests, as the bootstrap resamples them.
        against: compare every other system with this one instead (modality masks, retrieval order).
        ours_only: of those, compare only ours; baselines then stand by for scale.
        uncompared: more names in `scores`, whose means say of what kind the answers are, not how good.
        seed, resamples: of the bootstrap.
    """
    named = (*metrics, *uncompared)
    present = {metric: shared_requests(scores, list(roles), metric) for metric in named}
    scores = restricted(scores, list(roles), present)
    rows = []
    for system, role in roles.items():
        means = {metric: scores.mean(system, metric) for metric in named}
        if system in scores.coverage:
            means[COVERAGE] = scores.coverage[system]
        rows.append(SystemRow(system, role, means))
    comparisons = []
    for metric in metrics:
        reference = against or best_baseline(scores, roles, metric)
        if reference is None:
            continue
        everything = against is not None and not ours_only
        ours = [name for name, role in roles.items() if name != reference and (role == "ours" or everything)]
        comparisons += [compare(scores, metric, name, reference, clusters, seed, resamples) for name in ours]
    has_coverage = any(COVERAGE in row.means for row in rows)
    requests = int(np.any(list(present.values()), axis=0).sum())
    columns = (*named, *([COVERAGE] if has_coverage else []))
    counted = {metric: int(mask.sum()) for metric, mask in present.items()}
    return Board(key, title, note, requests, columns, tuple(rows), tuple(comparisons), counted)


def strongest_baselines(scores: Scores, roles: dict[str, Role], metric: str, count: int) -> list[str]:
    """The `count` baselines with the greatest means, in the order of `roles`: what a plot has room for."""
    names = [name for name, role in roles.items() if role == "baseline"]
    means = {name: np.nan_to_num(scores.mean(name, metric)) for name in names}
    strongest = sorted(names, key=lambda name: -means[name])[:count]
    return [name for name in names if name in strongest]


def best_baseline(scores: Scores, roles: dict[str, Role], metric: str) -> str | None:
    """The baseline with the greatest mean; None if there is no baseline with a value."""
    means = {name: scores.mean(name, metric) for name, role in roles.items() if role == "baseline"}
    known = {name: mean for name, mean in means.items() if not np.isnan(mean)}
    return max(known, key=lambda name: known[name]) if known else None


def compare(
    scores: Scores,
    metric: str,
    system: str,
    against: str,
    clusters: Clusters = None,
    seed: int = 0,
    resamples: int = 2000,
) -> Comparison:
    """Difference and ratio of two systems' means of one metric, by the paired bootstrap."""
    ours, theirs = scores.metric(system, metric), scores.metric(against, metric)
    return Comparison(metric, system, against, *paired_intervals(ours, theirs, clusters, resamples, seed=seed))


@dataclass(frozen=True)
class SliceRow:
    """One slice: how many requests have something to find in it, each system's mean, ours against the best baseline."""

    slice: str
    requests: int
    means: dict[str, float]
    comparison: Comparison | None


@dataclass(frozen=True)
class SliceTable:
    """One metric by slice."""

    key: str
    title: str
    note: str
    metric: str
    ours: str
    systems: tuple[str, ...]
    rows: tuple[SliceRow, ...]


def make_slice_table(
    scores: Scores,
    roles: dict[str, Role],
    metric: str,
    request_slices: dict[str, Mask],
    *,
    ours: str,
    key: str,
    title: str,
    note: str = "",
    product_slices: Sequence[str] | None = None,
    clusters: Clusters = None,
    seed: int = 0,
    resamples: int = 1000,
) -> SliceTable:
    """One metric over all requests, over each slice of the requests, and recall@100 over each slice of the products.

    Args:
        scores, roles, clusters, seed, resamples: as in `make_board`.
        metric: of the request slices. ours: the system that is compared with the best baseline of each slice.
        request_slices: slice -> [R]. product_slices: names in `scores.product_slices`; None takes all.
    """
    whole = {name: scores.metric(name, metric) for name in roles}
    parts = {"all": whole} | {
        part: {name: np.where(mask, values, np.nan) for name, values in whole.items()}
        for part, mask in request_slices.items()
    }
    named = scores.product_slices if product_slices is None else product_slices
    parts |= {part: {name: scores.product_slices[part][name] for name in roles} for part in named}
    rows = []
    for part, values in parts.items():
        count = int((~np.isnan(values[ours])).sum())
        if count:
            shown = metric if part in request_slices or part == "all" else "recall@100"
            rows.append(_slice_row(part, shown, count, values, roles, ours, clusters, seed, resamples))
    return SliceTable(key, title, note, metric, ours, tuple(roles), tuple(rows))


def _slice_row(
    part: str,
    metric: str,
    count: int,
    values: dict[str, Floats],
    roles: dict[str, Role],
    ours: str,
    clusters: Clusters,
    seed: int,
    resamples: int,
) -> SliceRow:
    means = {name: mean_of(column) for name, column in values.items()}
    baselines = {name: means[name] for name, role in roles.items() if role == "baseline" and not np.isnan(means[name])}
    comparison = None
    if baselines:
        best = max(baselines, key=lambda name: baselines[name])
        intervals = paired_intervals(values[ours], values[best], clusters, resamples, seed=seed)
        comparison = Comparison(metric, ours, best, *intervals)
    return SliceRow(part, count, means, comparison)


@dataclass(frozen=True)
class PlainTable:
    """Any other table (index tuning, times). `highlight` is the row that was chosen."""

    key: str
    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    highlight: int | None = None


@dataclass(frozen=True)
class Curve:
    """Several systems' values over a common axis.

    Args:
        key, title, note: for JSON and reader. x_label, y_label: axes. x: numbers, in order.
        series: system -> values at x; NaN is not drawn. log_x: whether the axis is logarithmic.
        dashed: series that others are measured by (a truth), drawn as the oracle is.
        from_zero: whether the y axis starts at 0; else it shows the values alone.
    """

    key: str
    title: str
    note: str
    x_label: str
    y_label: str
    x: tuple[float, ...]
    series: dict[str, tuple[float, ...]]
    log_x: bool = False
    dashed: tuple[str, ...] = ()
    from_zero: bool = True


def recall_curve(scores: Scores, systems: Sequence[str], *, key: str, title: str, note: str = "") -> Curve:
    """Mean recall as k grows."""
    series = {name: tuple(mean_of(column) for column in scores.recall_curve[name].T) for name in systems}
    return Curve(key, title, note, "k", "recall@k", tuple(map(float, scores.curve_ks)), series, log_x=True)


def sliced_curve(
    scores: Scores, systems: Sequence[str], metric: str, classes: dict[int, Mask], *, key: str, title: str, x_label: str
) -> Curve:
    """Mean of one metric by class of requests (length of history), a point a class."""
    if not classes:
        raise DataError(f"curve {key!r}: expected at least one class of requests, received none")
    series = {name: tuple(mean_of(scores.metric(name, metric)[mask]) for mask in classes.values()) for name in systems}
    return Curve(key, title, "", x_label, label(metric), tuple(map(float, classes)), series, log_x=True)
