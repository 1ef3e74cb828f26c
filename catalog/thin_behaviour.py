"""How products with few events, or few days on sale, are read when served: one rule, for the towers' graph and for the
reranker's tables.

Few events say that a product was seldom shown, not that nobody wants it. So a product with n events counts as

    (1 - s) its counters + s lift typical,    s = exp(-n / (thin_share N))

where `typical` are the mean counters of the catalogue and N their events; ratings that it lacks are made up to s times
the typical number at the catalogue's mean rating. Its own counters count as if it had been on sale for the whole of
their windows: eight clicks in four days are fourteen in seven. The window "all" is as many days as typical counters of
it hold of the longest other one. Training reads the counters as they were.
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
        0.25,
        ge=0,
        description="How many events make a product's own counters count, as a share of the catalogue's mean; 0: any.",
    )
    lift: float = Field(
        1.35,
        ge=0,
        description="Counters of a product that nobody has met, over the catalogue's mean; above 1 explores.",
    )


class Evidence(NamedTuple):
    """What is known of how products are met: arrays of numpy or tensors of TensorFlow, all floating.

    counters: [N, F], events by kind and window. rating_average: [N], NaN where unknown. rating_count: [N].
    """

    counters: Any
    rating_average: Any
    rating_count: Any


def made_up(
    xp: Any, config: ThinBehaviourConfig, names: Sequence[str], given: Evidence, age_days: Any, typical: Evidence
) -> Evidence:
    """`given` with few events brought near the typical product; as it is where `thin_share` is 0.

    Args:
        xp: the module of the arrays, numpy or tensorflow.
        names: [F] of the counters, f"{kind}_{window}" with windows "7d", "30d" ... and "all", which counts the events.
        age_days: [N] days on sale.
        typical: [1, F], [1] and [1]: means over the catalogue.
    """
    if not config.thin_share:
        return given
    counters = xp.maximum(given.counters, 0.0)
    whole = _columns(names, "all")
    thin = config.thin_share * (typical.counters @ whole)
    share = xp.where(thin > 0, xp.exp(-(counters @ whole) / xp.where(thin > 0, thin, 1.0)), 0.0)
    share = xp.where(share < _LEAST_SHARE, 0.0, share)
    days = _days(xp, names, typical.counters) / xp.maximum(age_days, 1.0)[:, None]
    in_full = counters * (1.0 + share * xp.maximum(days - 1.0, 0.0))
    rated = (given.rating_count > 0) & (given.rating_average == given.rating_average)  # NaN equals nothing
    count = xp.where(rated, given.rating_count, 0.0)
    missing = xp.maximum(share[:, 0] * typical.rating_count - count, 0.0)
    total = xp.where(rated, given.rating_average * count, 0.0) + typical.rating_average * missing
    average = xp.where(missing > 0, total / xp.where(missing > 0, count + missing, 1.0), given.rating_average)
    return Evidence(
        in_full + share * (config.lift * typical.counters - in_full),
        average,
        xp.where(missing > 0, count + missing, given.rating_count),
    )


def _days(xp: Any, names: Sequence[str], typical: Any) -> Any:
    """[1, F] how many days each counter covers of a product that was on sale throughout."""
    windows = [name.rsplit("_", 1)[1] for name in names]
    dated = np.array([0.0 if window == "all" else float(window.removesuffix("d")) for window in windows], np.float32)
    longest = float(dated.max(initial=0.0))
    counted = typical @ _columns(names, f"{longest:.0f}d")
    days = longest * (typical @ _columns(names, "all")) / xp.where(counted > 0, counted, 1.0)
    return xp.where(dated > 0, dated, xp.where(counted > 0, days, 0.0))


def _columns(names: Sequence[str], window: str) -> Any:
    """[F, 1] float32, 1 for the counters of a window."""
    return np.array([[name.endswith(f"_{window}")] for name in names], np.float32)
