"""Whether `search` answers with the beginning of the list that the report judges."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evaluation.arrays import Floats, Mask, Rows, first_occurrences
from evaluation.duplicates import groups_of
from evaluation.report import Claim
from evaluation.requests import Requests
from pipelines.counted_once import shop_groups
from pipelines.judging import Shop
from pipelines.scoring import ReleasedModels

_ASKED = 64  # requests a task: one batch
_ROUNDING = 1e-5  # of scores, as a share; two programs add in different orders


def search_claims(
    models: ReleasedModels, shop: Shop, tasks: Sequence[Requests], collapsed: bool, seed: int
) -> list[Claim]:
    """Whether the K products of `search` are the first K of the reranked candidates, for a sample of requests.

    Args:
        tasks: the requests that were judged, a task each. collapsed: whether the release answers with each title once.
        seed: of the sample.
    """
    alike = np.concatenate([_alike(models, shop, _sample(requests, seed), collapsed) for requests in tasks])
    text = "Answers of `search` that are the beginning of the list judged here"
    return [Claim(text, f"{int(alike.sum())} of {len(alike)}", "every one", bool(alike.all()))]


def starts_alike(listed: Rows, scores: npt.NDArray[np.floating], answered: Rows) -> Mask:
    """Whether each answer is the beginning of its list; products whose scores tie may stand in any order.

    Args:
        listed: [R, C] product rows, best first, -1 for none. scores: [R, C], theirs, falling.
        answered: [R, K] product rows, -1 for none; K at most C.

    Returns:
        [R] bool.
    """
    first, exact = listed[:, : answered.shape[1]], scores.astype(np.float64)
    is_there = answered[:, :, None] == listed[:, None, :]
    theirs = np.take_along_axis(exact, is_there.argmax(axis=2), axis=1)
    ties = is_there.any(axis=2) & np.isclose(theirs, exact[:, : answered.shape[1]], rtol=_ROUNDING, atol=_ROUNDING)
    alike: Mask = ((answered == first) | (ties & (answered >= 0))).all(axis=1)
    return alike


def _sample(requests: Requests, seed: int) -> Requests:
    chosen = np.random.default_rng(seed).permutation(len(requests))[:_ASKED]
    return requests.select(np.sort(chosen))


def _alike(models: ReleasedModels, shop: Shop, requests: Requests, collapsed: bool) -> Mask:
    inputs = models.inputs(requests)
    judged = models.rerank(inputs, models.retrieve(inputs))
    rows, scores = judged["rows"], judged["score"]
    if collapsed:
        rows, scores = _once(rows, scores, shop_groups(shop))
    return starts_alike(rows, scores, models.search(inputs)["rows"])


def _once(rows: Rows, scores: Floats, groups: Rows) -> tuple[Rows, Floats]:
    """The best placed product of each group, gaps closed, with its score."""
    keep = first_occurrences(groups_of(rows, groups))
    order = np.argsort(~keep, axis=1, kind="stable")
    kept = np.where(keep, rows, np.int32(-1))
    return np.take_along_axis(kept, order, axis=1), np.take_along_axis(scores, order, axis=1)
