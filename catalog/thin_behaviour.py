"""How products with few events are read when served: one rule, for the towers' graph and for the reranker's tables.

Few events say that a product was seldom shown, not that nobody wants it. So a product with n events counts as

    (1 - s) its counters + s lift typical,    s = exp(-n / (thin_share N))

where `typical` are the mean counters of the catalogue and N their events; ratings that it lacks are made up to s times
the typical number at the catalogue's mean rating. Training reads the counters as they were.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from catalog.config import Config

_LEAST_SHARE = 0.05  # of the typical product; less is none, so that an old product without ratings stays unrated


class ThinBehaviourConfig(Config):
    """How products with few events are read outside of training, so that new ones are judged by what they are."""

    thin_share: float = Field(
        0.5,
        ge=0,
        description="How many events make a product's own counters count, as a share of the catalogue's mean; 0: any.",
    )
    lift: float = Field(
        1.25,
        ge=0,
        description="Counters of a product that nobody has met, over the catalogue's mean; above 1 explores.",
    )


class Evidence(NamedTuple):
    """What is known of how products are met: arrays of numpy or tensors of TensorFlow, all floating.

    counters: [N, F]. rating_average: [N], NaN where unknown. rating_count: [N].
    """

    counters: Any
    rating_average: Any
    rating_count: Any


def made_up(xp: Any, config: ThinBehaviourConfig, names: Sequence[str], given: Evidence, typical: Evidence) -> Evidence:
    """`given` with few events brought near the typical product.

    Args:
        xp: the module of the arrays, numpy or tensorflow.
        names: [F] of the counters, f"{kind}_{window}"; those of the window "all" are the events.
        typical: [1, F], [1] and [1]: means over the catalogue.
    """
    whole = np.array([[name.endswith("_all")] for name in names], np.float32)
    counters = xp.maximum(given.counters, 0.0)
    rated = (given.rating_count > 0) & (given.rating_average == given.rating_average)  # NaN equals nothing
    thin = config.thin_share * (typical.counters @ whole)
    share = xp.where(thin > 0, xp.exp(-(counters @ whole) / xp.where(thin > 0, thin, 1.0)), 0.0)
    share = xp.where(share < _LEAST_SHARE, 0.0, share)
    missing = xp.maximum(share[:, 0] * typical.rating_count - xp.where(rated, given.rating_count, 0.0), 0.0)
    count = xp.where(rated, given.rating_count, 0.0) + missing
    total = xp.where(rated, given.rating_average * given.rating_count, 0.0) + typical.rating_average * missing
    average = xp.where(missing > 0, total / xp.where(missing > 0, count, 1.0), given.rating_average)
    return Evidence(
        counters + share * (config.lift * typical.counters - counters),
        average,
        xp.where(missing > 0, count, given.rating_count),
    )
