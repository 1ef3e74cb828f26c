"""What is known of a product on a day, apart from any query and user: counters, rates, price, rating, age.

Plain numpy, one function for every day of training and for the snapshot of an export.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from catalog.thin_behaviour import Evidence, ThinBehaviourConfig, made_up

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

_RATES = (
    ("click", "impression", 20.0),
    ("cart", "click", 5.0),
    ("purchase", "click", 5.0),
)  # what, of what, prior events
_PRIOR_RATINGS = 10.0  # ratings that the catalogue's mean counts for
_NEW_DAYS = 14


@dataclass(frozen=True)
class ProductFacts:
    """Columns of the catalogue that behaviour features read; all [N].

    category: code of the full category path. price, rating_average: NaN where unknown. launched: day number, below 0
    for a product older than the log.
    """

    category: Ints
    price: npt.NDArray[np.float64]
    rating_average: npt.NDArray[np.float64]
    rating_count: npt.NDArray[np.int64]
    launched: Ints
    has_picture: npt.NDArray[np.bool_]
    has_description: npt.NDArray[np.bool_]


def behaviour_names(counters: tuple[str, ...]) -> tuple[str, ...]:
    """Names of the columns of `behaviour_features`, for snapshot columns named `counters`."""
    rates = tuple(f"{what}_per_{of}_{window}" for what, of, _, window in _rates(counters))
    ranks = tuple(f"category_percentile_{window}" for window in _windows(counters))
    fixed = (
        "log_price", "price_known", "price_over_category", "price_percentile", "rating", "rating_known", "log_ratings",
        "log_age", "is_new", "has_picture", "has_description",
    )  # fmt: skip
    return (*(f"log_{name}" for name in counters), *rates, *ranks, *fixed)


def behaviour_features(facts: ProductFacts, counters: tuple[str, ...], snapshot: Floats, day: int) -> Floats:
    """Features of every product on one day. What a category or the catalogue is like is that of the products launched
    before it.

    Args:
        snapshot: [N, len(counters)], events counted before the day.
        day: day number since the log's first.

    Returns:
        [N, len(behaviour_names(counters))] float32, finite; unknown values are 0 beside a flag of 0.
    """
    counts = np.asarray(snapshot, dtype=np.float64)
    column = {name: counts[:, place] for place, name in enumerate(counters)}
    columns = [np.log1p(counts[:, place]) for place in range(len(counters))]
    for what, of, prior, window in _rates(counters):
        columns.append(_log_lift(column[f"{what}_{window}"], column[f"{of}_{window}"], prior))
    for window in _windows(counters):
        interest = sum(column[name] for name in counters if name.endswith(f"_{window}") and not name.startswith("impr"))
        columns.append(percentile_within(facts.category, np.asarray(interest, dtype=np.float64), facts.launched < day))
    columns.extend(_catalogue_columns(facts, day))
    return np.stack(columns, axis=1).astype(np.float32)


def served_facts(
    facts: ProductFacts, counters: tuple[str, ...], snapshot: Floats, day: int, config: ThinBehaviourConfig
) -> tuple[ProductFacts, Floats]:
    """Facts and snapshot with products of few events brought near the typical one, see `catalog.thin_behaviour`.

    Args:
        snapshot, day: as of `behaviour_features`; typical are the products launched before the day.
    """
    old = facts.launched < day
    if not config.thin_share or not old.any():
        return facts, snapshot
    rated = np.isfinite(facts.rating_average) & (facts.rating_count > 0)
    count = np.where(rated, facts.rating_count, 0.0)
    mean = np.where(rated, facts.rating_average * count, 0.0).sum() / max(count.sum(), 1.0)
    given = Evidence(np.asarray(snapshot, np.float64), facts.rating_average, facts.rating_count)
    typical = Evidence(np.maximum(given.counters[old], 0.0).mean(0)[None], mean, count[old].mean())
    age = (day - facts.launched).astype(np.float64)
    filled = made_up(np, config, counters, given, age, typical)
    count = np.round(filled.rating_count).astype(np.int64)
    return replace(facts, rating_average=filled.rating_average, rating_count=count), filled.counters.astype(np.float32)


def percentile_within(
    group: Ints, value: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """[N]: share of the group's counted members that are below, equal ones counting half; 0.5 where none is counted."""
    order = np.lexsort((value, group))
    sorted_group, sorted_value = group[order], value[order]
    new_group = np.diff(sorted_group, prepend=sorted_group[:1] - 1) != 0
    new_value = new_group | (np.diff(sorted_value, prepend=sorted_value[:1]) != 0)
    before = np.concatenate([[0], np.cumsum(counted[order])])
    group_from, group_to = (before[place] for place in _runs(new_group))
    ties_from, ties_to = (before[place] for place in _runs(new_value))
    size = group_to - group_from
    result = np.empty(len(value))
    result[order] = np.where(size, (ties_from + ties_to - 2 * group_from) / (2 * np.maximum(size, 1)), 0.5)
    return result


def log_price(price: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """log(1 + price), 0 where the price is unknown or not positive."""
    return np.where(price > 0, np.log1p(np.maximum(np.nan_to_num(price), 0)), 0.0)


def _catalogue_columns(facts: ProductFacts, day: int) -> list[npt.NDArray[np.float64]]:
    known, old = facts.price > 0, facts.launched < day
    price = log_price(facts.price)
    percentile = np.where(known, percentile_within(facts.category, price, known & old), 0.5)
    over_category = np.where(known, _over_group(facts.category, price, known & old), 0.0)
    count = np.maximum(facts.rating_count, 0).astype(np.float64)
    rated = np.isfinite(facts.rating_average) & (count > 0)
    total = np.where(rated, np.nan_to_num(facts.rating_average) * count, 0.0)
    mean = total[old].sum() / max(count[rated & old].sum(), 1.0)
    rating = (total + _PRIOR_RATINGS * mean) / (np.where(rated, count, 0) + _PRIOR_RATINGS) - mean
    age = np.maximum(day - facts.launched.astype(np.float64), 0.0)
    return [
        price, known * 1.0, over_category, percentile, rating, rated * 1.0, np.log1p(count),
        np.log1p(age), (age < _NEW_DAYS) * 1.0, facts.has_picture * 1.0, facts.has_description * 1.0,
    ]  # fmt: skip


def _log_lift(
    events: npt.NDArray[np.float64], chances: npt.NDArray[np.float64], prior: float
) -> npt.NDArray[np.float64]:
    """Log of the smoothed rate over the catalogue's rate: 0 for a product without chances."""
    base = max(events.sum() / max(chances.sum(), 1.0), 1e-6)
    return np.log((events + prior * base) / (chances + prior) / base)


def _over_group(group: Ints, value: npt.NDArray[np.float64], counted: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """[N]: the value less the mean of the group's counted members; 0 where none is counted."""
    _, member = np.unique(group, return_inverse=True)
    size = np.bincount(member, weights=counted)
    mean = np.bincount(member, weights=np.where(counted, value, 0.0)) / np.maximum(size, 1.0)
    return np.where(size[member] > 0, value - mean[member], 0.0)


def _runs(starts: npt.NDArray[np.bool_]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Start and end of the run that each place belongs to."""
    first = np.flatnonzero(starts)
    run = np.cumsum(starts) - 1
    return first[run], np.append(first[1:], len(starts))[run]


def _windows(counters: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.rsplit("_", 1)[1] for name in counters))


def _rates(counters: tuple[str, ...]) -> list[tuple[str, str, float, str]]:
    return [
        (what, of, prior, window)
        for window in _windows(counters)
        for what, of, prior in _RATES
        if f"{what}_{window}" in counters and f"{of}_{window}" in counters
    ]
