"""The examination curve: what is seen at which position, which training corrects clicks by."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.calibration import Predicted

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

_STEP = 15.0  # the curve's logits move so many times faster than other weights, which see far more gradients
_LEAST, _MOST = 1e-3, 0.98  # of the curve at a knot
_FEWEST_CLICKS = 100  # from which a curve is fitted anew
_DEGREE = 3
_SPREAD = 1.0  # prior standard deviation of the polynomial's coefficients


class Examination(keras.layers.Layer):
    """P(a shopper looks at position p): 1 at position 1, free values in (0, 1) at knots, between them linear in logs.

    Knots are 2, 3, 5, 8, 13, ...: a power of the position, as curves of attention are found to be (Joachims et al.
    2017), is met exactly, and what a few thousand clicks cannot tell is not guessed at.

    Args:
        positions: later ones share the value of this one.
        learned: else everything counts as examined.

    Call:
        position: any shape, int32, 1-based; 0 (unknown, or never shown) counts as examined. Returns log P, float32.
    """

    def __init__(self, positions: int, learned: bool = True, **kwargs: Any) -> None:
        super().__init__(name="examination", **kwargs)
        self.positions = positions
        self.learned = learned
        self._knots = _knots(positions)
        self._weights = tf.constant(_interpolation(self._knots, positions))
        self._bends = tf.constant(_bends(self._knots).astype(np.float32))
        self.logits = self.add_weight(shape=(len(self._knots),), initializer="zeros", trainable=learned, name="logits")

    def start_from(self, curve: npt.NDArray[np.float32]) -> None:
        """Set the knots to their values in `curve`, [positions] in (0, 1)."""
        curve = np.clip(curve[self._knots - 1], _LEAST, _MOST)
        self.logits.assign(np.log(curve / (1 - curve)) / _STEP)

    def call(self, position: tf.Tensor) -> tf.Tensor:
        if not self.learned:
            return tf.zeros(tf.shape(position))
        curve = tf.linalg.matvec(self._weights, self._logs())
        return tf.gather(curve, tf.clip_by_value(position - 1, 0, self.positions - 1))

    def bend(self) -> tf.Tensor:
        """Sum over the knots of the squared change of d log P / d log position; 0 for a power of the position."""
        if not self.learned:
            return tf.zeros([])
        return tf.reduce_sum(tf.square(tf.linalg.matvec(self._bends, self._logs())))

    def curve(self) -> npt.NDArray[np.float32]:
        """[positions] P(examined) at positions 1, 2, ..."""
        return np.exp(np.asarray(self(tf.range(1, self.positions + 1))))

    def _logs(self) -> tf.Tensor:
        return tf.math.log_sigmoid(tf.convert_to_tensor(self.logits) * _STEP)


def fit_examination(parts: Sequence[Predicted], learned: Floats, bend: float) -> Floats:
    """P(examined) by position from pages and what a trained network says of them, [positions].

    A network that decay and a teacher hold back tells products apart too little, and the curve that is learned with it
    makes up for that. So the curve is fitted once more, together with a map of the predictions, a cubic of their log
    for each task: by maximum likelihood of Poisson counts of clicks, and the prior that the curve was learned with.

    Args:
        learned: [positions], the start, and the answer where there are too few clicks. bend: see
            `RerankConfig.examination_bend`.
    """
    from scipy.optimize import minimize

    pages = _pages(parts, len(learned))
    if pages.click.sum() < _FEWEST_CLICKS:
        return learned
    knots = _knots(len(learned))
    weights = _interpolation(knots, len(learned)).astype(np.float64)
    bends = _bends(knots) / bend
    along = _polynomials(pages)
    size = len(knots)

    def loss(values: Doubles) -> tuple[float, Doubles]:
        curve, map_ = values[:size], values[size:]
        log = pages.log + (weights @ curve)[pages.place] + along @ map_
        rate = np.exp(log)
        off = rate - pages.click
        by_place = np.bincount(pages.place, weights=off, minlength=len(learned))
        bent = bends @ curve
        gradient = [weights.T @ by_place + bends.T @ bent, along.T @ off + map_ / _SPREAD**2]
        total = rate.sum() - pages.click @ log + 0.5 * (bent @ bent + map_ @ map_ / _SPREAD**2)
        return float(total), np.concatenate(gradient)

    start = np.log(np.clip(learned[knots - 1], _LEAST, _MOST)).astype(np.float64)
    limits = [(float(np.log(_LEAST)), float(np.log(_MOST)))] * size + [(None, None)] * along.shape[1]
    first = np.concatenate([start, np.zeros(along.shape[1])])
    found = minimize(loss, first, jac=True, method="L-BFGS-B", bounds=limits, options={"maxiter": 1000}).x
    return np.exp(weights @ found[:size]).astype(np.float32)


class _Pages(NamedTuple):
    """Shown products with a position, [n] each. place: from 0. log: of the predicted click. click: 0 or 1."""

    place: npt.NDArray[np.int64]
    log: Doubles
    click: Doubles
    asked: npt.NDArray[np.bool_]


def _pages(parts: Sequence[Predicted], positions: int) -> _Pages:
    columns = []
    for part in parts:
        lists = part.lists
        known = lists.shown & (lists.position > 0)
        asked = np.broadcast_to(part.asked[:, None], known.shape)
        place = np.minimum(lists.position, positions).astype(np.int64) - 1
        columns.append((place[known], np.asarray(part.logs.click)[known], lists.click[known], asked[known]))
    place, log, click, asked = (np.concatenate(column) for column in zip(*columns, strict=True))
    return _Pages(place, log.astype(np.float64), click.astype(np.float64), asked)


def _polynomials(pages: _Pages) -> Doubles:
    """[n, 2 (degree + 1)]: powers of the standardised log, first of searches and then of recommendations."""
    standard = (pages.log - pages.log.mean()) / max(float(pages.log.std()), 1e-6)
    powers = standard[:, None] ** np.arange(_DEGREE + 1)
    return np.concatenate([powers * pages.asked[:, None], powers * ~pages.asked[:, None]], axis=1)


def _bends(knots: npt.NDArray[np.int64]) -> Doubles:
    """[knots - 1, knots]: from the knots' logs to the change of slope at each."""
    gaps = np.diff(np.log(knots), prepend=0.0)
    size = len(knots)
    slopes = (np.eye(size) - np.eye(size, k=-1)) / gaps[:, None]
    return np.asarray(slopes[1:] - slopes[:-1])


def _knots(positions: int) -> npt.NDArray[np.int64]:
    """Fibonacci numbers from 2 on that are below `positions`, and that itself."""
    knots, following = [], (2, 3)
    while following[0] < positions:
        knots.append(following[0])
        following = (following[1], sum(following))
    return np.array([*knots, max(positions, 2)])


def _interpolation(knots: npt.NDArray[np.int64], positions: int) -> npt.NDArray[np.float32]:
    """[positions, knots] weights of the knots' logs in each position's, linear in the log of the position."""
    places = np.log(np.arange(1, positions + 1))
    with_first = np.log(np.concatenate([[1], knots]))
    columns = [np.interp(places, with_first, row) for row in np.eye(len(with_first))]
    return np.stack(columns[1:], axis=1).astype(np.float32)
