"""Weights averaged over the updates: what is scored and kept in place of the last ones."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import tensorflow as tf


class WeightAverage:
    """The average of a model's weights over its updates, which ranks better than any of them.

    The n-th update keeps min(decay, n / (n + 4)) of the average. The first is exponential averaging; the second forgets
    the early weights and is polynomial-decay averaging with eta = 3 (Shamir and Zhang 2013, section 4).

    Args:
        variables: the weights; their present values are where the average starts.
        decay: share of the average that an update keeps, in [0, 1); 0 follows the weights.

    Raises:
        ValueError: if the decay is outside [0, 1).
    """

    def __init__(self, variables: list[keras.Variable], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1); received {decay}")
        self.decay = decay
        self._variables = variables
        self._averages = [tf.Variable(variable.value, trainable=False) for variable in variables]
        self._updates = tf.Variable(0.0, trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """What a checkpoint keeps of it."""
        return [self._updates, *self._averages]

    def update(self) -> None:
        """Take in the present weights; call it after each update, inside its graph."""
        self._updates.assign_add(1.0)
        kept = tf.minimum(self.decay, self._updates / (self._updates + 4.0))
        for average, variable in zip(self._averages, self._variables, strict=True):
            average.assign(kept * average + (1.0 - kept) * variable.value)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside this context, its own again afterwards."""
        own = [variable.numpy() for variable in self._variables]
        for average, variable in zip(self._averages, self._variables, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for value, variable in zip(own, self._variables, strict=True):
                variable.assign(value)
