"""Why a candidate has its score: Shapley values over groups of features."""

from itertools import chain, combinations
from math import factorial

import numpy as np
import numpy.typing as npt

GROUPS = ("retrieval", "text", "picture", "behaviour", "person")
"""Groups of features, as their names begin."""


def coalitions(players: int) -> npt.NDArray[np.bool_]:
    """[2^players, players] every set of players, none first and all last."""
    everyone = range(players)
    sets = chain.from_iterable(combinations(everyone, size) for size in range(players + 1))
    return np.array([[player in members for player in everyone] for members in sets])


def shapley_weights(players: int) -> npt.NDArray[np.float32]:
    """[players, 2^players] weights that turn the worth of each of `coalitions` into Shapley values.

    phi_i = sum over S without i of |S|! (n - |S| - 1)! / n! (v(S + i) - v(S))  (Shapley 1953)
    """
    members = coalitions(players)
    size = members.sum(1)
    joined = np.array([factorial(k - 1) * factorial(players - k) if k else 0 for k in size]) / factorial(players)
    left = np.array([factorial(k) * factorial(players - k - 1) if k < players else 0 for k in size])
    left = left / factorial(players)
    return np.where(members, joined[:, None], -left[:, None]).T.astype(np.float32)
