"""Rankings against people's judgments, where only some products of a query were judged."""

from dataclasses import replace

import numpy as np
import pyarrow as pa

from evaluation.arrays import Mask, Rows, compact
from evaluation.relevance import judged_relevance
from evaluation.requests import Requests
from evaluation.scores import Scores, score_rankings

JUDGED = "judged@10"
_FIRST = 10


def score_judged(
    rankings: dict[str, Rows], requests: Requests, judgments: pa.Table, product_ids: list[str], eligible: Mask
) -> Scores | None:
    """Scores of condensed lists: what nobody judged for the query is dropped, for it is neither right nor wrong.

    Sakai 2007, "Alternatives to Bpref": with few judgments such lists order systems more steadily than lists in which
    an unjudged product counts as wrong, which measure who was near the judged pool.

    Args:
        rankings: system -> [R, K] product rows, best first, -1 for none.
        judgments: query, product_id, grade; a grade of 0 is a judgment too.
        product_ids: [N]. eligible: [N], products in the index.

    Returns:
        As `score_rankings`, without coverage and with JUDGED, the share of the first ten places of the whole ranking
        whose product was judged; None where no request has a judged product to find.
    """
    relevance = judged_relevance(requests, judgments, product_ids, eligible)
    asked = relevance.counts() > 0
    if not asked.any():
        return None
    ones = pa.array(np.ones(judgments.num_rows, np.float32))
    pairs = judgments.set_column(judgments.column_names.index("grade"), "grade", ones)
    pool = judged_relevance(requests, pairs, product_ids, eligible)
    known = {name: pool.gains(rows) > 0 for name, rows in rankings.items()}
    condensed = {name: compact(rows, known[name]) for name, rows in rankings.items()}
    scores = score_rankings(condensed, relevance, eligible, (10, 100), gain="exponential")
    for name, mask in known.items():
        scores.values[name][JUDGED] = np.where(asked, mask[:, :_FIRST].sum(axis=1) / _FIRST, np.nan)
    return replace(scores, coverage={})
