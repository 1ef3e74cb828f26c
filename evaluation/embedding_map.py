"""Where products lie: vectors on their two principal axes, and how well neighbours agree."""

from dataclasses import dataclass

import numpy as np

from evaluation.arrays import Floats, Gains, Strings

OTHER = "other"


@dataclass(frozen=True)
class EmbeddingMap:
    """Points of a map.

    Args:
        places: [n, 2], on the first two principal axes.
        labels: [n] str, the largest categories and "other".
        explained: share of the variance that each axis holds.
        agreement: share of the products whose nearest neighbour has the same label; NaN for fewer than two.
        chance: the same for a neighbour drawn at random.
    """

    places: Floats
    labels: Strings
    explained: tuple[float, float]
    agreement: float
    chance: float


def make_map(vectors: Gains, labels: Strings, largest: int = 9, points: int = 6000, seed: int = 0) -> EmbeddingMap:
    """Map the products on their principal axes.

    Args:
        vectors: [N, D] unit vectors. labels: [N] str, a category each.
        largest: labels that are told apart; the others are one. points: at most so many products, drawn with `seed`.
    """
    names, counts = np.unique(labels[labels != ""], return_counts=True)
    kept = set(names[np.argsort(-counts, kind="stable")[:largest]].tolist())
    shown = np.array([label if label in kept else OTHER for label in labels.tolist()], dtype=object)
    if len(vectors) > points:
        drawn = np.sort(np.random.default_rng(seed).choice(len(vectors), points, replace=False))
        vectors, shown = vectors[drawn], shown[drawn]
    places, explained = principal_axes(vectors)
    shares = np.unique(shown, return_counts=True)[1] / max(len(shown), 1)
    return EmbeddingMap(places, shown, explained, _agreement(vectors, shown), float((shares**2).sum()))


def principal_axes(vectors: Gains) -> tuple[Floats, tuple[float, float]]:
    """The vectors on their first two principal axes, [n, 2], and the share of the variance on each.

    The sign of an axis is free; here its largest loading is positive, so that the map is the same each time.
    """
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    first = axes[:, ::-1][:, :2]
    first = first * np.sign(first[np.abs(first).argmax(axis=0), np.arange(2)])
    total = values.sum()
    shares = values[::-1][:2] / total if total > 0 else np.zeros(2)
    return centred @ first, (float(shares[0]), float(shares[1]))


def _agreement(vectors: Gains, labels: Strings, asked: int = 1000) -> float:
    if len(vectors) < 2:
        return float("nan")
    some = np.linspace(0, len(vectors) - 1, min(asked, len(vectors))).astype(np.int64)
    likeness = vectors[some] @ vectors.T
    likeness[np.arange(len(some)), some] = -np.inf
    return float((labels[likeness.argmax(axis=1)] == labels[some]).mean())
