"""Searches whose queries people judged for training, beside the others: whether grades were learned by heart."""

import numpy as np

from evaluation.arrays import Mask
from evaluation.boards import PlainTable
from evaluation.scores import Scores, mean_of

_METRIC = "ndcg@10"
TAUGHT, OTHERS = "judged, for training to learn from", "all others"


def taught_table(scores: Scores, systems: list[str], taught: Mask) -> PlainTable | None:
    """Mean NDCG@10 of every system on the searches of either kind; None where one kind is missing.

    Args:
        scores: of the searches. systems: in the order of the rows.
        taught: [R], whether a reranker may learn from people's grades of the request's query.
    """
    if taught.all() or not taught.any():
        return None
    rows = []
    for name, mask in ((TAUGHT, taught), (OTHERS, ~taught)):
        for system in systems:
            values = scores.metric(system, _METRIC)[mask]
            count = int(np.isfinite(values).sum())
            rows.append((name, system, count, mean_of(values) if count else None))
    note = (
        "Judgments have no time, so a query whose grades the reranker learned from may be asked on the test days. "
        "Every table holds these searches. Of the baselines LightGBM learns from the same judgments."
    )
    title, columns = "Search by whether the query was judged for training", ("query", "system", "requests", _METRIC)
    return PlainTable("search_taught", title, note, columns, tuple(rows))
