"""Probabilities that come true: a monotone map for each task and head, fitted on validation pages and exported."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.outcomes import HEADS
from rerank.lists import RankingLists
from rerank.ranking_model import HeadLogs
from rerank.stored import read_named, write_named

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_MOST_SLOPES = 20
_FIRST_POSITIVES = 6  # expected below the second knot, where lie a third of the products; later parts hold many more
_GROWTH = 2.5
_SLOPES = (0.25, 4.0)
_TOGETHER, _TO_ONE = 0.3, 1.0  # what squared differences of slopes count for, in nats
_TRAINING_WORTH = 0.3  # of a training page beside a held-out one: there are more, but the network learned their clicks
_GROUPS = 6000  # of neighbouring predictions, that a map of twenty slopes cannot tell from single ones
_FEWEST_CLICKS = 100  # of a task that has maps of its own
_AS_PREDICTED = 20.0  # clicks that came as predicted, with which those on products that nobody had met are counted
_LEAST_STEP = 1e-3  # knots are at least so far apart
_LENGTHS = 4  # of a history, at which what is added for it is fitted: 0, 3, 15 and 63 events
_CERTAIN = -1e-6  # log of the highest probability


@dataclass(frozen=True)
class HeadMaps:
    """For each head, knots of a rising map between log probabilities, one pair of arrays [K] a head, K >= 2.

    The map is linear between knots; below the first it goes on as between the first two, above the last with slope 1.
    """

    knots: tuple[Floats, ...]
    values: tuple[Floats, ...]


@dataclass(frozen=True)
class Predicted:
    """Lists and what the network says of them.

    logs: of [R, L]. asked: [R], whether there was a query. met: [R, L], see `met_products`. events: [R], how many the
    history has of known products.
    """

    logs: HeadLogs
    lists: RankingLists
    asked: npt.NDArray[np.bool_]
    met: npt.NDArray[np.bool_]
    events: npt.NDArray[np.integer[Any]]

    def shown(self, head: str, tasks: Sequence[bool], examination: Floats, met: bool = True) -> "Shown":
        """The products shown on searches (True), recommendations (False) or both.

        Args:
            met: take those that somebody had met, or those that nobody had.
        """
        lists = self.lists
        among = lists.shown & (self.met == met) & np.isin(self.asked, list(tasks))[:, None]
        place = np.clip(lists.position - 1, 0, len(examination) - 1)
        seen = np.where(lists.position > 0, examination[place], 1.0)[among].astype(np.float64)
        log = np.asarray(getattr(self.logs, head))[among].astype(np.float64)
        return Shown(log, seen, getattr(lists, head)[among], np.nonzero(among)[0])


class Shown(NamedTuple):
    """Products that pages showed, [n] each: log predictions, P(examined), whether it happened, and whose list."""

    log: Doubles
    seen: Doubles
    happened: npt.NDArray[np.bool_]
    page: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Calibration:
    """Maps of searches and of recommendations: what clicks there are to a prediction differs between the two pages.

    never_met: [2] what is added to the logs of products that nobody has met, on searches and on recommendations. Their
        counters are made up, and what pages show of them was not chosen by how it pleased.
    by_history: [2, heads, 4] what is added to the logs of a request's products by the length of its history, at 0, 3,
        15 and 63 events, and linear in log(1 + events) between them. Losses that compare the products of one list do
        not see it.
    """

    search: HeadMaps
    recommendation: HeadMaps
    never_met: Floats
    by_history: Floats

    def save(self, path: Path) -> None:
        """Write one .npz, atomically."""
        arrays = {"never_met": self.never_met, "by_history": self.by_history}
        for task, maps in (("search", self.search), ("recommendation", self.recommendation)):
            for head, knots, values in zip(HEADS, maps.knots, maps.values, strict=True):
                arrays |= {f"{task}_knots_{head}": knots, f"{task}_values_{head}": values}
        write_named(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read what `save` wrote; ArtifactError when it is missing or broken."""
        tasks, parts = ("search", "recommendation"), ("knots", "values")
        names = [f"{task}_{part}_{head}" for task in tasks for part in parts for head in HEADS]
        stored = read_named(path, [*names, "never_met", "by_history"])
        search, recommendation = (
            HeadMaps(*(tuple(stored[f"{task}_{part}_{head}"] for head in HEADS) for part in parts)) for task in tasks
        )
        return cls(search, recommendation, stored["never_met"], stored["by_history"])


class Calibrator(tf.Module):
    """The maps in the graph.

    Call:
        logs: HeadLogs of [B, C]. asked: [B] bool, whether there is a query. met: [B, C] bool, see `met_products`.
        events: [B] float32, how many the history has of known products.
        Returns HeadLogs; neither cart nor purchase is above the click, since nothing of both was not chosen. What is
        bought need not have been put in the cart: some shops log no carts, and some sell with one click.
    """

    def __init__(self, calibration: Calibration) -> None:
        super().__init__(name="calibrator")
        tasks = (calibration.search, calibration.recommendation)
        maps = [pair for task in tasks for pair in zip(task.knots, task.values, strict=True)]
        count = max(len(knots) for knots, _ in maps)
        shape = (len(tasks), len(HEADS))
        self._first = tf.constant(np.reshape([values[0] for _, values in maps], shape))
        self._pieces = tf.constant(np.reshape([_pieces(*pair, count) for pair in maps], (*shape, count, 4)))
        self._never_met = tf.constant(calibration.never_met)
        self._by_history = tf.constant(calibration.by_history)

    def __call__(self, logs: HeadLogs, asked: tf.Tensor, met: tf.Tensor, events: tf.Tensor) -> HeadLogs:
        task = tf.where(asked, 0, 1)
        knot, low, high, slope = tf.unstack(tf.gather(self._pieces, task)[:, None], axis=-1)
        along = tf.minimum(tf.maximum(tf.stack(logs, -1)[..., None] - knot, low), high)
        values = tf.gather(self._first, task)[:, None] + tf.reduce_sum(slope * along, -1)
        values += tf.where(met, 0.0, tf.gather(self._never_met, task)[:, None])[..., None]
        place = tf.minimum(tf.math.log1p(events) / np.float32(np.log(4)), _LENGTHS - 1.0)
        near = tf.nn.relu(1.0 - tf.abs(place[:, None] - tf.range(_LENGTHS, dtype=tf.float32)))
        values += tf.linalg.matvec(tf.gather(self._by_history, task), near)[:, None]
        click, cart, purchase = tf.unstack(tf.minimum(values, _CERTAIN), axis=-1)
        return HeadLogs(click, tf.minimum(cart, click), tf.minimum(purchase, click))


def _pieces(knots: Floats, values: Floats, count: int) -> Floats:
    """[count, 4]: a map as what it rises along each piece, slope times the way from a knot, between a low and a high.

    Every term rises, so that rounding cannot turn two predictions round. Pieces that a map does not have add nothing.
    """
    pieces = np.zeros((count, 4), np.float32)
    pieces[: len(knots), 0] = knots
    pieces[0, 1] = -np.inf
    pieces[: len(knots), 2] = [*np.diff(knots), np.inf]
    pieces[: len(knots), 3] = [*(np.diff(values) / np.diff(knots)), 1.0]
    return pieces


def mapped(log: Doubles, knots: Floats | Doubles, values: Floats | Doubles) -> Doubles:
    """What a map makes of predictions, [n], before probabilities are bounded: the same as in the graph."""
    slope = (values[1] - values[0]) / (knots[1] - knots[0])
    below, above = np.minimum(log - knots[0], 0.0), np.maximum(log - knots[-1], 0.0)
    return np.asarray(np.interp(log, knots, values) + slope * below + above)


def fit_calibration(held_out: Predicted, training: Predicted, examination: Floats) -> Calibration:
    """Fit each task's maps, or where it has too few clicks those of both, and what is added to them.

    Args:
        held_out: lists that the network did not learn from, read as a release reads them. training: what it learned
            from, of which there is more: their slopes count for less, and how many positives there are in all is read
            from both alike, since rates of a few days are not those of the days that follow.
        examination: [positions].
    """
    clicks = (held_out.lists.click & held_out.lists.shown).sum(1)
    maps, factors, lengths = [], [], []
    for task in (True, False):
        enough = clicks[held_out.asked == task].sum() >= _FEWEST_CLICKS
        tasks = (task,) if enough else (True, False)
        maps.append(fit_maps(held_out, training, tasks, examination))
        lengths.append(_by_history((held_out, training), task, maps[-1], examination))
        factors.append(_never_met(held_out, task, maps[-1], lengths[-1], examination))
    return Calibration(maps[0], maps[1], np.log(factors).astype(np.float32), np.array(lengths, np.float32))


def _never_met(held_out: Predicted, task: bool, maps: HeadMaps, by_history: Doubles, examination: Floats) -> float:
    """Clicks over those predicted, on the products of a task's pages that nobody had met before.

    Args:
        maps, by_history: of the task, which predictions go through.
    """
    log, seen, clicked, page = held_out.shown(HEADS[0], (task,), examination, met=False)
    value = mapped(log, maps.knots[0], maps.values[0]) + (_near(held_out.events) @ by_history[0])[page]
    predicted = float((seen * np.exp(value)).sum())
    return (int(clicked.sum()) + _AS_PREDICTED) / (predicted + _AS_PREDICTED)


def _by_history(parts: Sequence[Predicted], task: bool, maps: HeadMaps, examination: Floats) -> Doubles:
    """`Calibration.by_history` of a task, [heads, 4], from products that somebody had met.

    How clicks depend on the length is fitted by maximum likelihood of Poisson counts. A part counts for what it does in
    `fit_maps`; to each length, and to each step to the next, are counted clicks that came as predicted. Each head has
    as many positives in all as its map predicts.
    """
    from scipy.optimize import minimize

    longest = 1 + max(int(part.events.max(initial=0)) for part in parts)
    predicted, clicked = np.zeros(longest), np.zeros(longest)
    level = np.zeros((len(HEADS), longest))
    for part, worth in zip(parts, (1.0, _TRAINING_WORTH), strict=True):
        for head, (name, knots, values) in enumerate(zip(HEADS, maps.knots, maps.values, strict=True)):
            log, seen, happened, page = part.shown(name, (task,), examination)
            events = part.events[page]
            rate = np.bincount(events, seen * np.exp(mapped(log, knots, values)), longest)
            level[head] += rate
            if name == HEADS[0]:
                predicted += worth * rate
                clicked += worth * np.bincount(events, happened, longest)
    if not level[0].any():
        return np.zeros((len(HEADS), _LENGTHS))
    # What is off everywhere is the maps' to tell, and no length's.
    predicted *= (clicked.sum() + _AS_PREDICTED) / (predicted.sum() + _AS_PREDICTED)
    near = _near(np.arange(longest))
    drawn = np.concatenate([np.eye(_LENGTHS), np.diff(np.eye(_LENGTHS), axis=0)])

    def loss(added: Doubles) -> tuple[float, Doubles]:
        rate = predicted * np.exp(near @ added)
        far = drawn @ added
        total = rate.sum() - clicked @ (near @ added) + _AS_PREDICTED / 2 * (far @ far)
        return float(total), near.T @ (rate - clicked) + _AS_PREDICTED * (drawn.T @ far)

    added: Doubles = minimize(loss, np.zeros(_LENGTHS), jac=True, method="L-BFGS-B").x
    return added - np.log(level @ np.exp(near @ added) / level.sum(1))[:, None]


def _near(events: npt.NDArray[np.integer[Any]]) -> Doubles:
    """[n, 4] how near so many events are to each of the four lengths; a row sums to 1."""
    place = np.minimum(np.log1p(events) / np.log(4), _LENGTHS - 1)
    return np.asarray(np.maximum(1.0 - np.abs(place[:, None] - np.arange(_LENGTHS)), 0.0))


def fit_maps(held_out: Predicted, training: Predicted, tasks: Sequence[bool], examination: Floats) -> HeadMaps:
    """Fit each head's map on what searches (True), recommendations (False) or both showed of known products.

    What was seen at position r happens with P(examined at r) P(head). After the slopes are fitted, all is moved so that
    held-out and training lists together have as many positives as they had.
    """
    maps = []
    for name in HEADS:
        parts = [part.shown(name, tasks, examination) for part in (held_out, training)]
        log, seen, happened, _ = (np.concatenate(column) for column in zip(*parts, strict=True))
        worth = np.repeat([1.0, _TRAINING_WORTH], [len(part.log) for part in parts])
        maps.append(_fit(log, happened, seen, worth))
    return HeadMaps(tuple(knots for knots, _ in maps), tuple(values for _, values in maps))


def _fit(log: Doubles, happened: npt.NDArray[np.bool_], seen: Doubles, worth: Doubles) -> tuple[Floats, Floats]:
    """Knots and values of a map: slopes by what each example is worth, the level by all alike."""
    found = int(happened.sum())
    if not found:
        return _shifted(0.0)
    expected = float((seen * np.exp(log)).sum())
    grouped, positives, rate = _grouped(log, happened * worth, seen * worth)
    knots = _knots(grouped, rate * np.exp(grouped), int(positives.sum()))
    if len(knots) < 3:
        return _shifted(float(np.log(found / expected)))
    start, slopes = _slopes(grouped, positives, rate, knots)
    values = start + np.concatenate([[0.0], np.cumsum(slopes * np.diff(knots))])
    values += np.log(found / (seen * np.exp(mapped(log, knots, values))).sum())
    return knots.astype(np.float32), values.astype(np.float32)


def _grouped(log: Doubles, label: Doubles, seen: Doubles) -> tuple[Doubles, Doubles, Doubles]:
    """Neighbours in the log as one example, _GROUPS at most: the log of their mean prediction, labels, P(examined)."""
    order = np.argsort(log, kind="stable")
    group = np.empty(len(log), np.int64)
    group[order] = np.arange(len(log)) * min(_GROUPS, len(log)) // len(log)
    sums = (np.bincount(group, each).astype(np.float64) for each in (label, seen * np.exp(log), seen))
    positives, expected, examined = sums
    return np.log(expected / examined), positives, examined


def _knots(log: Doubles, expected: Doubles, positives: int) -> Doubles:
    """The lowest and the highest log, and between them ends of growing shares of the expected positives.

    The first share holds the fewest: low predictions, which are most, are told apart.
    """
    order = np.argsort(log, kind="stable")
    count = int(np.clip((positives / _FIRST_POSITIVES) ** (1 / _GROWTH), 1, _MOST_SLOPES))
    shares = np.cumsum(expected[order]) / expected.sum()
    ends = np.searchsorted(shares, (np.arange(1, count) / count) ** _GROWTH)
    knots = [float(log[order[0]])]
    for knot in (*log[order[ends]].tolist(), float(log[order[-1]])):
        if knot - knots[-1] >= _LEAST_STEP:
            knots.append(knot)
    return np.array(knots)


def _slopes(log: Doubles, label: Doubles, seen: Doubles, knots: Doubles) -> tuple[float, Doubles]:
    """The map's value at the first knot and its slopes between knots, by maximum likelihood of Poisson counts.

    Its gradient makes positives as many as predicted ones in all. Slopes are bounded, so that the map rises
    everywhere, and a penalty draws neighbours together and all to 1.
    """
    from scipy.optimize import minimize

    along = np.stack([np.clip(log, low, high) - low for low, high in pairwise(knots)], axis=1)

    def loss(weights: Doubles) -> tuple[float, Doubles]:
        start, slopes = weights[0], weights[1:]
        value = start + along @ slopes
        rate = seen * np.exp(value)
        steps, far = np.diff(slopes), slopes - 1.0
        gradient = along.T @ (rate - label) + 2 * _TO_ONE * far
        gradient[1:] += 2 * _TOGETHER * steps
        gradient[:-1] -= 2 * _TOGETHER * steps
        total = rate.sum() - label @ value + _TOGETHER * (steps @ steps) + _TO_ONE * (far @ far)
        return float(total), np.concatenate([[(rate - label).sum()], gradient])

    first = np.concatenate([[knots[0]], np.ones(len(knots) - 1)])
    bounds = [(None, None)] + [_SLOPES] * (len(knots) - 1)
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), found[1:]


def _shifted(shift: float) -> tuple[Floats, Floats]:
    knots = np.array([0.0, 1.0], np.float32)
    return knots, (knots + np.float32(shift)).astype(np.float32)
