"""How often what stood at a position was clicked, whatever it was: what a head has to know besides."""

import numpy as np

from catalog.feature_store import FeatureStore
from catalog.outcomes import came_of
from evaluation.arrays import Floats
from evaluation.requests import TEST_SLICE, Task

_DEEPEST = 50
_PRIOR = 20.0  # impressions at the mean rate that every position starts with


def position_rates(features: FeatureStore, task: Task, head: str) -> Floats:
    """Rate of a kind of event by position on the pages of a task before the test slice, [51]; 0 is for unknown ones.

    Positions deeper than 50 share the last rate. A rate is never 0 or 1: each is drawn towards the mean of all
    positions, which counts one positive and one negative more than there were.

    Args:
        head: of `catalog.outcomes.HEADS`.
    """
    of_task = (features.request_query >= 0) == (task == "search")
    shown = np.repeat(of_task & (features.request_slice < TEST_SLICE), np.diff(features.impression_start))
    place = np.minimum(features.impression_position[shown], _DEEPEST)
    happened = came_of(features, head, shown)
    mean = (happened.sum() + 1) / (len(happened) + 2)
    count = np.bincount(place, minlength=_DEEPEST + 1)
    positives = np.bincount(place, weights=happened, minlength=_DEEPEST + 1)
    rates: Floats = (positives + _PRIOR * mean) / (count + _PRIOR)
    return rates
