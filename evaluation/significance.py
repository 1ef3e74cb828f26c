"""Intervals for means, differences and ratios by the paired bootstrap (Efron and Tibshirani 1993; Sakai 2006)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from evaluation.arrays import Floats, Mask

FEWEST = 20
"""Requests, or users of them, from which an interval says something."""

Clusters = npt.NDArray[np.generic] | Sequence[npt.NDArray[np.generic]] | None
"""[R], what is resampled as a whole (the user of each request); None resamples requests. Of several (the user and the
query) each is resampled alone and the widest interval taken: requests may be alike in either."""
_DRAWS_AT_ONCE = 4_000_000  # 32 MB of resampled cluster numbers a chunk.


@dataclass(frozen=True)
class Interval:
    """An estimate with the percentile interval of its bootstrap distribution.

    Args:
        estimate: of the data. low, high: NaN where fewer than two units were there to resample.
        units: how many clusters, or requests where there are none, were resampled; in the smaller of two groups, of
            several kinds of clusters those that are fewest.
    """

    estimate: float
    low: float
    high: float
    units: int = 0

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above zero."""
        return self.low > 0

    @property
    def is_decided(self) -> bool:
        """Whether enough units were resampled for a claim to rest on them."""
        return self.units >= FEWEST

    def __str__(self) -> str:
        return f"{self.estimate:.4f} [{self.low:.4f}, {self.high:.4f}]"


def mean_interval(
    values: Floats,
    clusters: Clusters = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of the values that are not NaN, with its interval. Arguments as in `paired_intervals`."""
    [interval] = _bootstrap((values,), [lambda sums, counts: sums / counts], clusters, resamples, level, seed)
    return interval


def paired_intervals(
    values: Floats,
    baseline: Floats,
    clusters: Clusters = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[Interval, Interval]:
    """mean(values) - mean(baseline) and mean(values) / mean(baseline), resampled in pairs.

    Args:
        values, baseline: [R], one number a request of two systems. Requests where either is NaN are left out.
        clusters: of the requests, see `Clusters`.
        resamples: number of bootstrap samples. level: of the two-sided interval. seed: of the resampling.

    Returns:
        Difference and ratio; all NaN when no request is left; x / 0 is infinite.
    """
    difference, ratio = _bootstrap(
        (values, baseline),
        [lambda ours, theirs, counts: (ours - theirs) / counts, lambda ours, theirs, counts: ours / theirs],
        clusters,
        resamples,
        level,
        seed,
    )
    return difference, ratio


def group_ratio(
    values: Floats,
    group: Mask,
    against: Mask,
    clusters: Clusters = None,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Mean of one system over the requests of a group, over its mean over those of another group.

    Args:
        values: [R]; requests where it is NaN are left out. group, against: [R].
        clusters, resamples, level, seed: as in `paired_intervals`.

    Returns:
        The ratio; all NaN when either group is empty; x / 0 is infinite.
    """
    known = np.isfinite(values)
    groups = (known & group, known & against)
    if not all(each.any() for each in groups):
        return _UNDEFINED
    columns = [column for each in groups for column in (np.where(each, values, 0.0), each.astype(np.float64))]

    def ratio(sums: Floats, counts: Floats, sums_against: Floats, counts_against: Floats, _: Floats) -> Floats:
        return (sums / counts) / (sums_against / counts_against)

    [interval] = _bootstrap(tuple(columns), [ratio], clusters, resamples, level, seed, groups)
    return interval


def holm(p_values: Sequence[float], level: float = 0.05) -> Mask:
    """Which of several hypotheses to reject, so that any true one among them falls with at most `level` (Holm 1979).

    The tests need not be independent.

    Args:
        p_values: [m], of each test alone.

    Returns:
        [m] bool.
    """
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    below = values[order] <= level / np.arange(len(values), 0, -1)
    rejected = np.zeros(len(values), dtype=bool)
    rejected[order] = np.logical_and.accumulate(below)
    return rejected


_UNDEFINED = Interval(float("nan"), float("nan"), float("nan"))


@dataclass(frozen=True)
class _Totals:
    """Sums of each column, and the number of requests: first of all the data, then of each bootstrap sample."""

    columns: tuple[Floats, ...]
    units: int


def _bootstrap(
    columns: tuple[Floats, ...],
    statistics: Sequence[Callable[..., Floats]],
    clusters: Clusters,
    resamples: int,
    level: float,
    seed: int,
    groups: Sequence[Mask] = (),
) -> list[Interval]:
    """The interval of each statistic, over all kinds of clusters the widest.

    Args:
        statistics: of what `_Totals` holds, each column an argument.
        groups: [R] each; the units are those of the smallest, without groups those of all requests.
    """
    intervals = []
    for each in _kinds(clusters):
        totals = _resampled_totals(columns, each, resamples, seed)
        if totals is None:
            return [_UNDEFINED] * len(statistics)
        with np.errstate(divide="ignore", invalid="ignore"):
            results = [statistic(*totals.columns) for statistic in statistics]
        units = min((_count_units(group, each) for group in groups), default=totals.units)
        intervals.append([_interval(result[0], result[1:], level, units) for result in results])
    return [_widest(of_one) for of_one in zip(*intervals, strict=True)]


def _kinds(clusters: Clusters) -> Sequence[npt.NDArray[np.generic] | None]:
    return [clusters] if clusters is None or isinstance(clusters, np.ndarray) else clusters


def _widest(intervals: Sequence[Interval]) -> Interval:
    """The widest of one estimate's intervals, of the fewest units; one without ends is the narrowest."""
    widest = max(intervals, key=lambda one: np.nan_to_num(one.high - one.low, nan=-1.0, posinf=np.inf))
    return replace(widest, units=min(one.units for one in intervals))


def _count_units(mask: Mask, clusters: npt.NDArray[np.generic] | None) -> int:
    return int(mask.sum()) if clusters is None else len(np.unique(clusters[mask]))


def _resampled_totals(
    columns: tuple[Floats, ...], clusters: npt.NDArray[np.generic] | None, resamples: int, seed: int
) -> _Totals | None:
    """Resample the rows where no column is NaN; None where there are none."""
    shapes = {column.shape for column in columns} | ({clusters.shape} if clusters is not None else set())
    if len(shapes) != 1 or columns[0].ndim != 1:
        raise DataError(
            f"expected one number a request from each system and one cluster, received shapes {sorted(shapes)}"
        )
    present = np.all([np.isfinite(column) for column in columns], axis=0)
    if not present.any():
        return None
    kept = [column[present].astype(np.float64) for column in columns]
    kept.append(np.ones(int(present.sum())))
    if clusters is not None:
        _, cluster = np.unique(clusters[present], return_inverse=True)
        kept = [np.bincount(cluster, weights=column).astype(np.float64) for column in kept]
    units = len(kept[0])
    random = np.random.default_rng(seed)
    totals = [np.array([[column.sum() for column in kept]])]
    at_once = max(1, _DRAWS_AT_ONCE // units)
    for first in range(0, resamples, at_once):
        draws = random.integers(0, units, size=(min(at_once, resamples - first), units))
        totals.append(np.stack([column[draws].sum(axis=1) for column in kept], axis=1))
    return _Totals(tuple(np.concatenate(totals).T), units)


def _interval(estimate: float, samples: Floats, level: float, units: int) -> Interval:
    tail = (1 - level) / 2
    defined = samples[~np.isnan(samples)]
    if not len(defined):
        return _UNDEFINED
    if units < 2:
        return Interval(float(estimate), float("nan"), float("nan"), units)
    low, high = np.quantile(defined, [tail, 1 - tail], method="closest_observation")
    return Interval(float(estimate), float(low), float(high), units)
