"""Whether recommendations beat a baseline from a shopper's first event on."""

import numpy as np
import numpy.typing as npt

from evaluation.arrays import Ints, Mask
from evaluation.boards import PlainTable
from evaluation.glossary import label
from evaluation.report import Claim, interval_claim
from evaluation.scores import Scores
from evaluation.significance import paired_intervals

_METRIC = "recall@100"


def history_table(
    scores: Scores,
    system: str,
    against: str,
    classes: dict[int, Mask],
    clusters: npt.NDArray[np.generic],
    seed: int = 0,
) -> PlainTable:
    """The difference of two systems' recall@100 by the length of the history; a row a class.

    Args:
        scores: of the recommendations. system, against: what is compared with what.
        classes: least number of events -> [R], of `history_length_slices`.
        clusters: [R], what the bootstrap resamples as a whole: the user. seed: of the bootstrap.
    """
    ours, theirs = scores.metric(system, _METRIC), scores.metric(against, _METRIC)
    rows = []
    for least, mask in classes.items():
        asked = mask & np.isfinite(ours) & np.isfinite(theirs)
        if asked.any():
            gap, _ = paired_intervals(ours[asked], theirs[asked], clusters[asked], seed=seed)
            means = (float(ours[asked].mean()), float(theirs[asked].mean()))
            rows.append((least, int(asked.sum()), *means, gap.estimate, gap.low, gap.high))
    columns = ("events before, at least", "requests", system, against, "difference", "from", "to")
    title = f"Recommendation: {label(_METRIC)} by events before, against {against}"
    note = "Paired bootstrap over users, 95 %."
    return PlainTable("recommendation_history_gap", title, note, columns, tuple(rows))


def history_claims(
    scores: Scores, system: str, against: str, lengths: Ints, clusters: npt.NDArray[np.generic], seed: int = 0
) -> list[Claim]:
    """Whether `system` is ahead after one event and after more of them; nothing where nobody asked so.

    Args:
        scores, system, against, clusters, seed: as in `history_table`. lengths: [R] events before each request.
    """
    ours, theirs = scores.metric(system, _METRIC), scores.metric(against, _METRIC)
    claims = []
    for name, mask in {"one event": lengths == 1, "two or more events": lengths >= 2}.items():
        count = int((mask & np.isfinite(ours) & np.isfinite(theirs)).sum())
        if count:
            gap, ratio = paired_intervals(ours[mask], theirs[mask], clusters[mask], seed=seed)
            text = f"Recommendation {_METRIC} after {name}, against {against}"
            more = f" (ratio {ratio}), {count:,} requests"
            claims.append(interval_claim(text, gap, gap.above_zero, "interval above zero", more))
    return claims
