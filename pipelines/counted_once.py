"""The tables in which duplicates count once, and answers without them."""

from collections.abc import Sequence

from catalog.titles import repeated_share, title_groups
from evaluation.aligned_truth import AlignedTruth
from evaluation.arrays import Rows
from evaluation.boards import Board, Role, make_board
from evaluation.duplicates import (
    GroupedTruth,
    collapse,
    grouped_mask,
    grouped_relevance,
    grouped_requests,
    ranked_groups,
    repeats_at,
)
from evaluation.relevance import logged_relevance
from evaluation.requests import Requests, candidates_only
from evaluation.scores import score_rankings
from evaluation.truth_scores import ORACLE, score_against_truth
from pipelines.judging import OURS, ROLES, Shop

_WORTH_A_TABLE = 0.01  # Share of products with a title that is not theirs alone; below it the table would say nothing.
_FIRST = 10
_METRICS = {"search": ("ndcg@10", "recall@100", "appeal_ndcg@10"), "recommendation": ("recall@100", "appeal_ndcg@10")}
_LOGGED = ("recall@10", "recall@100", "ndcg@10")


def shop_groups(shop: Shop) -> Rows:
    """The title group of each product row, [N]."""
    return title_groups(shop.data.products.column("title").to_pylist())


def without_repeats(rankings: dict[str, Rows], shop: Shop) -> dict[str, Rows]:
    """The rankings with ours as a release with `release.collapse_duplicates` answers, in either order: a title once."""
    groups = shop_groups(shop)
    return rankings | {name: collapse(rankings[name], groups) for name in ROLES}


def counted_once(
    shop: Shop,
    truth: AlignedTruth | None,
    requests: Requests,
    rankings: dict[str, Rows],
    roles: dict[str, Role],
    seed: int,
) -> Board | None:
    """Every system with titles for products: each ranking's repeats are dropped, and a title is wanted once.

    Args:
        rankings: system -> [R, K] product rows. roles: of the systems, without the oracle. seed: of the bootstrap.

    Returns:
        None where hardly any products share a title.
    """
    groups = shop_groups(shop)
    share = repeated_share(groups)
    if share < _WORTH_A_TABLE:
        return None
    asked, eligible = grouped_requests(requests, groups), grouped_mask(shop.eligible, groups)
    titles = {name: candidates_only(ranked_groups(rankings[name], groups), asked, eligible) for name in roles}
    metrics: Sequence[str] = _LOGGED
    with_oracle = dict(roles)
    if truth is not None:
        metrics = _METRICS[requests.task]
        with_oracle[ORACLE] = "oracle"
        scores = score_against_truth(GroupedTruth(truth, groups, shop.eligible), asked, titles, eligible).scores
    else:
        relevance = grouped_relevance(logged_relevance(shop.features, requests, shop.eligible), groups)
        if requests.task == "recommendation":  # A product may be new and its title known: no answer may name it.
            relevance = relevance.without(asked.seen())
        scores = score_rankings(titles, relevance, eligible)
    repeats = {name: repeats_at(rankings[name], groups, _FIRST).mean() for name in roles}
    least = min(repeats, key=lambda name: repeats[name])
    note = (
        f"{share:.0%} of the products share their title with another. Here a title is found once and wanted once, as "
        f"much as its best product. Before that {repeats[OURS]:.1%} of the first {_FIRST} places of {OURS} repeated a "
        f"title above them; the fewest repeats has {least}, {repeats[least]:.1%}."
    )
    return make_board(
        scores,
        with_oracle,
        metrics,
        key=f"{requests.task}_duplicates_once",
        title=f"{requests.task.capitalize()}, duplicates counted once",
        note=note,
        clusters=requests.clusters,
        seed=seed,
    )
