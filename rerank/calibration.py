"""Probabilities that come true: a monotone map for each task and head, fitted on validation pages and exported."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.lists import RankingLists
from rerank.ranking_model import HEADS, HeadLogs
from rerank.stored import read_named, write_named

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_MOST_KNOTS = 20
_FIRST_POSITIVES = 12  # of the first knot, below which lie half of the products; each later one rests on many more
_GROWTH = 2.5
_FEWEST_CLICKS = 100  # of a task that has maps of its own
_PRIOR = 3.0  # positives that the head's overall ratio counts for at each knot
_LEAST_STEP = 1e-3  # knots are at least so far apart, and the map rises at least by this share of the way
_CERTAIN = -1e-6  # log of the highest probability


@dataclass(frozen=True)
class HeadMaps:
    """For each head, knots of a map from log probability to log probability, one pair of arrays [K] a head, K >= 2.

    The map is linear between knots; below the first it goes on as between the first two, above the last with slope 1.
    """

    knots: tuple[Floats, ...]
    values: tuple[Floats, ...]


@dataclass(frozen=True)
class Calibration:
    """Maps of searches and of recommendations: what clicks there are to a prediction differs between the two pages."""

    search: HeadMaps
    recommendation: HeadMaps

    def save(self, path: Path) -> None:
        """Write one .npz, atomically."""
        arrays: dict[str, Floats] = {}
        for task, maps in vars(self).items():
            for head, knots, values in zip(HEADS, maps.knots, maps.values, strict=True):
                arrays |= {f"{task}_knots_{head}": knots, f"{task}_values_{head}": values}
        write_named(path, arrays)

    @classmethod
    def load(cls, path: Path) -> "Calibration":
        """Read what `save` wrote; ArtifactError when it is missing or broken."""
        tasks, parts = cls.__dataclass_fields__, ("knots", "values")
        stored = read_named(path, [f"{task}_{part}_{head}" for task in tasks for part in parts for head in HEADS])
        return cls(
            *(HeadMaps(*(tuple(stored[f"{task}_{part}_{head}"] for head in HEADS) for part in parts)) for task in tasks)
        )


class Calibrator(tf.Module):
    """The maps in the graph.

    Call:
        logs: HeadLogs of [B, C]. asked: [B] bool, whether there is a query. Returns HeadLogs; none above the log before
        it, since nothing is bought that was not put in the cart, and nothing put in the cart that was not clicked.
    """

    def __init__(self, calibration: Calibration) -> None:
        super().__init__(name="calibrator")
        self._maps = [
            [
                (tf.Variable(knots, trainable=False), tf.Variable(values, trainable=False))
                for knots, values in zip(maps.knots, maps.values, strict=True)
            ]
            for maps in (calibration.search, calibration.recommendation)
        ]

    def __call__(self, logs: HeadLogs, asked: tf.Tensor) -> HeadLogs:
        searched, recommended = (
            [_interpolate(log, *pair) for log, pair in zip(logs, maps, strict=True)] for maps in self._maps
        )
        click, cart, purchase = (tf.where(asked[:, None], *pair) for pair in zip(searched, recommended, strict=True))
        cart = tf.minimum(cart, click)
        return HeadLogs(click, cart, tf.minimum(purchase, cart))


def fit_calibration(
    logs: HeadLogs, lists: RankingLists, asked: npt.NDArray[np.bool_], examination: Floats
) -> Calibration:
    """Fit each task's maps on its held-out lists, or on all where it has too few clicks.

    Args:
        logs: HeadLogs of [R, L]. asked: [R], whether there was a query. examination: [positions].
    """
    clicks = (lists.click & lists.shown).sum(1)
    maps = [
        fit_maps(logs, lists, examination, mask if clicks[mask].sum() >= _FEWEST_CLICKS else np.ones_like(asked))
        for mask in (asked, ~asked)
    ]
    return Calibration(*maps)


def fit_maps(logs: HeadLogs, lists: RankingLists, examination: Floats, chosen: npt.NDArray[np.bool_]) -> HeadMaps:
    """Fit each head's map on the shown products of the chosen lists, [R].

    What was seen at position r happens with P(examined at r) P(head): at each knot the map takes the mean prediction to
    that which would have given as many positives as there were (isotonic regression, Ayer et al. 1955, of positives
    over examination).
    """
    among = lists.shown & chosen[:, None]
    place = np.clip(lists.position - 1, 0, len(examination) - 1)
    seen = np.where(lists.position > 0, examination[place], 1.0)[among].astype(np.float64)
    maps = [
        _fit(np.asarray(log)[among].astype(np.float64), getattr(lists, head)[among], seen)
        for head, log in zip(HEADS, logs, strict=True)
    ]
    return HeadMaps(tuple(knots for knots, _ in maps), tuple(values for _, values in maps))


def _fit(log: Doubles, label: npt.NDArray[np.bool_], seen: Doubles) -> tuple[Floats, Floats]:
    positives = int(label.sum())
    if not positives:
        return _shifted(0.0, 0.0)
    order = np.argsort(log, kind="stable")
    expected = seen[order] * np.exp(log[order])
    overall = positives / expected.sum()
    # Bins of growing shares of the expected positives: the first rests on the fewest, and low predictions, which are
    # most, are told apart.
    bins = int(np.clip((positives / _FIRST_POSITIVES) ** (1 / _GROWTH), 1, _MOST_KNOTS))
    shares = np.cumsum(expected) / expected.sum()
    part = np.minimum((shares ** (1 / _GROWTH) * bins).astype(int), bins - 1)
    weights = (expected, seen[order], label[order].astype(np.float64))
    sums: list[Doubles] = [np.bincount(part, values, bins).astype(np.float64) for values in weights]
    predicted, examined, found = _apart(*(values[sums[0] > 0] for values in sums))
    knots = np.log(predicted / examined)
    values = _rising(knots + np.log((found + _PRIOR * overall) / (predicted + _PRIOR)), predicted)
    if len(knots) == 1:
        return _shifted(knots[0], values[0] - knots[0])
    return knots.astype(np.float32), (values + _LEAST_STEP * (knots - knots[0])).astype(np.float32)


def _apart(predicted: Doubles, examined: Doubles, found: Doubles) -> list[Doubles]:
    """Sums of neighbouring bins put together until mean predictions differ by a step."""
    logs = np.log(predicted / examined)
    starts = [0]
    for place in range(1, len(logs)):
        if logs[place] - logs[starts[-1]] >= _LEAST_STEP:
            starts.append(place)
    return [np.add.reduceat(values, starts) for values in (predicted, examined, found)]


def _shifted(at: float, shift: float) -> tuple[Floats, Floats]:
    knots = np.array([at, at + 1.0], np.float32)
    return knots, (knots + shift).astype(np.float32)


def _rising(values: Doubles, weights: Doubles) -> Doubles:
    """The rising sequence nearest to `values` in weighted squares: neighbours that fall are pooled."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values.tolist(), weights.tolist(), strict=True):
        pools.append((value, weight, 1))
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            (first, first_weight, first_size), (last, last_weight, last_size) = pools[-2:]
            weight = first_weight + last_weight
            mean = (first * first_weight + last * last_weight) / weight
            pools[-2:] = [(mean, weight, first_size + last_size)]
    return np.repeat([value for value, _, _ in pools], [size for _, _, size in pools])


def _interpolate(log: tf.Tensor, knots: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    last = tf.shape(knots)[0] - 2
    flat = tf.reshape(log, [-1])
    place = tf.clip_by_value(tf.searchsorted(knots, flat) - 1, 0, last)
    left, right = tf.gather(knots, place), tf.gather(knots, place + 1)
    low, high = tf.gather(values, place), tf.gather(values, place + 1)
    share = tf.minimum((flat - left) / (right - left), 1.0)
    beyond = tf.maximum(flat - right, 0.0)
    return tf.reshape(tf.minimum(low + share * (high - low) + beyond, _CERTAIN), tf.shape(log))
