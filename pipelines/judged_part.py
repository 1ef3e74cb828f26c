"""Search against people's graded judgments, where the shop has any for the queries that were asked."""

import numpy as np
import pyarrow as pa

from catalog.grades import scaled_grades
from catalog.splits import folded_query, judgments_for_training
from evaluation.arrays import Rows
from evaluation.boards import Board, Role, make_board
from evaluation.judged_lists import JUDGED, score_judged
from evaluation.requests import Requests
from pipelines.judging import Shop

_NOTE = (
    "Judged queries that the reranker did not learn from. Only some products of a query were judged; the rest is "
    "dropped from every ranking before it is scored (condensed lists). The last column is the share of the first ten "
    "places that was judged: where it is low, the numbers rest on what stood further down. The lists are 200 deep "
    "before that, so recall is of what they hold at all. Intervals by query."
)


def judged_board(
    shop: Shop, requests: Requests, rankings: dict[str, Rows], roles: dict[str, Role], seed: int
) -> Board | None:
    """Every system on the searches of judged queries that no training read; None where there are none.

    Args:
        rankings: system -> [R, K] product rows. roles: of the systems, without the oracle.
        seed: of the bootstrap, which resamples queries: grades are theirs, whoever asks.
    """
    judgments = shop.data.judgments
    if requests.task != "search" or judgments is None:
        return None
    held_out = pa.array(~judgments_for_training(judgments["query"].to_pylist()))
    scaled = pa.array(scaled_grades(judgments["grade"].to_numpy()))
    judgments = judgments.set_column(judgments.column_names.index("grade"), "grade", scaled).filter(held_out)
    judged = {name: rankings[name] for name in roles}
    scores = score_judged(judged, requests, judgments, shop.product_ids, shop.eligible)
    if scores is None:
        return None
    return make_board(
        scores,
        roles,
        ("ndcg@10", "recall@100"),
        key="search_judged",
        title="Search, against judgments",
        note=_NOTE,
        clusters=np.array([folded_query(query) for query in requests.queries.tolist()], object),
        uncompared=(JUDGED,),
        seed=seed,
    )
