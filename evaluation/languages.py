"""Whether a query is answered as well in one script as in another, and misspelt as well as not."""

import numpy as np

from evaluation.arrays import Mask
from evaluation.boards import PlainTable
from evaluation.report import Claim, interval_claim
from evaluation.scores import Scores
from evaluation.significance import Clusters, Interval, group_ratio
from evaluation.slices import HAN, LATIN, OTHER, SEVERAL

BAR = 0.95
FIRST, SECOND = f"query in {LATIN}", f"query in {HAN}"
_MISSPELT = "misspelt query"
_PARTS = (FIRST, SECOND, f"query in {SEVERAL}", f"query in {OTHER}", _MISSPELT)
_METRIC = "ndcg@10"


def language_table(
    scores: Scores,
    systems: list[str],
    slices: dict[str, Mask],
    clusters: Clusters,
    key: str = "search_languages",
    seed: int = 0,
) -> PlainTable | None:
    """NDCG@10 of every system by the script of the query, and over that of those in Latin letters; None for one script.

    Args:
        scores: of the searches. systems: in the order of the rows. slices: of `request_slices`.
        clusters: of the requests, as the bootstrap resamples them. seed: of the bootstrap.
    """
    parts = {name: slices[name] for name in _PARTS if name in slices}
    if len(parts) < 2:
        return None
    rows = []
    for name, mask in parts.items():
        for system in systems:
            values = scores.metric(system, _METRIC)
            known = values[mask & np.isfinite(values)]
            mean = float(known.mean()) if len(known) else None
            ratio = _against_first(scores, system, name, slices, clusters, seed)
            cells = (None, None, None) if ratio is None else (ratio.estimate, ratio.low, ratio.high)
            rows.append((name, system, len(known), mean, *cells))
    note = (
        "A script may be that of several languages. The ratio is to the same system's queries in Latin letters, for "
        "misspelt ones to all others; 95 % intervals by user or by query, the wider. The oracle orders for the shopper "
        "and so is not 1."
    )
    columns = ("queries", "system", "requests", _METRIC, "ratio", "from", "to")
    return PlainTable(key, "Search by script and spelling", note, columns, tuple(rows))


def language_claims(
    scores: Scores, system: str, slices: dict[str, Mask], clusters: Clusters, seed: int = 0
) -> list[Claim]:
    """Whether queries in Chinese characters are answered as well as those in Latin letters, in the demo Chinese ones as
    well as English ones; nothing where one of them was not asked."""
    ratio = _against_first(scores, system, SECOND, slices, clusters, seed) if SECOND in slices else None
    if ratio is None:
        return []
    text = f"Search NDCG@10 of queries in {HAN}, over that of those in {LATIN}"
    return [interval_claim(text, ratio, ratio.estimate >= BAR, f"estimate at least {BAR:.2f}")]


def _against_first(
    scores: Scores,
    system: str,
    name: str,
    slices: dict[str, Mask],
    clusters: Clusters,
    seed: int,
) -> Interval | None:
    if name == FIRST or (name != _MISSPELT and FIRST not in slices):
        return None
    against = ~slices[name] if name == _MISSPELT else slices[FIRST]
    return group_ratio(scores.metric(system, _METRIC), slices[name], against, clusters, seed=seed)
