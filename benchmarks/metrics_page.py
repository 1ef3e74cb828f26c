"""Latencies as a server's own Prometheus page tells them."""

import math
import re
from collections.abc import Mapping
from urllib.request import urlopen

Buckets = Mapping[float, float]
"""Upper limit -> how many values are at most that large."""


def read_page(port: int) -> str:
    """The page of a server whose REST port this is."""
    with urlopen(f"http://127.0.0.1:{port}/monitoring/prometheus/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def buckets(page: str, histogram: str, **labels: str) -> Buckets:
    """The buckets of a histogram, summed over all samples that carry these labels."""
    found: dict[float, float] = {}
    for text, count in re.findall(rf"^{re.escape(histogram)}_bucket\{{(.*)\}} (\S+)$", page, re.MULTILINE):
        own = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text))
        if labels.items() <= own.items():
            limit = math.inf if own["le"] == "+Inf" else float(own["le"])
            found[limit] = found.get(limit, 0.0) + float(count)
    return found


def quantile(share: float, before: Buckets, after: Buckets) -> float:
    """What so great a share of the values between two pages is below, as Prometheus' histogram_quantile guesses it.

    Values are taken to lie evenly in their bucket; NaN where there are none, infinite beyond the last limit.
    """
    limits = sorted(after)
    counts = [after[limit] - before.get(limit, 0.0) for limit in limits]
    if not counts or not counts[-1]:
        return math.nan
    wanted, lowest, below = share * counts[-1], 0.0, 0.0
    for limit, count in zip(limits, counts, strict=True):
        if count >= wanted:
            return limit if math.isinf(limit) else lowest + (limit - lowest) * (wanted - below) / (count - below)
        lowest, below = limit, count
    raise AssertionError("the last bucket holds every value")
