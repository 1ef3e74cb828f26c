"""Means and deviations of the features, by which the ranking model sees them."""

import re
from collections import Counter

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.features import FeatureExtractor
from rerank.slices import Slice

Floats = npt.NDArray[np.float32]

_LISTS = 2000  # lists that means and deviations are taken from
_BATCH = 64
_COORDINATE = re.compile(r"([^.]*)_\d+$")  # an attribute, whose name a shop may end in a number, comes after a dot


def normalisation(part: Slice, extractor: FeatureExtractor, seed: int) -> tuple[Floats, Floats]:
    """Mean, [F], of every number over a sample of present products, and what it is divided by, [F].

    That is the standard deviation, times the root of their number for the coordinates of one vector: together they
    weigh as much as one feature, else dozens of them are learned by heart from few clicks.
    """
    places = np.random.default_rng(seed).permutation(part.data.size)[:_LISTS].astype(np.int32)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def extract(some: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        features = part.features(extractor, some, part.data.batch(some))
        return features.numeric, features.present

    total = square = np.zeros(len(extractor.names))
    count = 0
    for at in range(0, len(places), _BATCH):
        numeric, present = extract(places[at : at + _BATCH])
        values = numeric.numpy()[present.numpy()].astype(np.float64)
        total, square, count = total + values.sum(0), square + (values**2).sum(0), count + len(values)
    mean = total / max(count, 1)
    deviation = np.sqrt(np.maximum(square / max(count, 1) - mean**2, 0))
    return mean.astype(np.float32), (deviation * np.sqrt(block_sizes(extractor.names))).astype(np.float32)


def block_sizes(names: tuple[str, ...]) -> Floats:
    """How many coordinates the vector has that each feature is one of, [F]: 1 for a feature of its own."""
    sizes = Counter(map(vector_of, names))
    return np.array([sizes[vector_of(name)] for name in names], np.float32)


def vector_of(name: str) -> str:
    """The vector that a feature is a coordinate of, "picture:taste" of "picture:taste_3"; else its own name."""
    found = _COORDINATE.match(name)
    return found[1] if found else name
