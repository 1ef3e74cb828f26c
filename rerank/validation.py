"""How well an order pleases on logged clicks, and how good the heads' probabilities are."""

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.heads import score_head
from evaluation.metrics import ndcg_at
from rerank.lists import RankingLists

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

LEAST_EXAMINATION = 0.1  # a click at a place that few look at counts for ten at most, or one list decides
_CUT = 10


def click_gains(lists: RankingLists, examination: Floats) -> Floats:
    """Clicks weighted by inverse examination (Joachims et al. 2017, eq. 4), [R, L]."""
    place = np.clip(lists.position - 1, 0, len(examination) - 1)
    seen = np.where(lists.position > 0, examination[place], 1.0)
    return (lists.click / np.maximum(seen, LEAST_EXAMINATION)).astype(np.float32)


def mean_ndcg(score: Floats, gain: Floats, among: Flags) -> float:
    """NDCG@10 of the order by `score` of the products in `among`, all [R, L]; the mean over lists with a gain."""
    gain = np.where(among, gain, 0)
    order = np.argsort(np.where(among, -score, np.inf), axis=1, kind="stable")
    ideal = -np.sort(-gain, axis=1)
    per_list = ndcg_at(np.take_along_axis(gain, order, axis=1), ideal, _CUT)
    return float(np.nanmean(per_list)) if np.isfinite(per_list).any() else float("nan")


def order_metrics(lists: RankingLists, score: Floats, examination: Floats, among: Flags) -> dict[str, float]:
    """NDCG@10 before (retrieval's order) and after (`score`'s), on clicks as logged and corrected for position."""
    plain, corrected = lists.click.astype(np.float32), click_gains(lists, examination)
    return {
        "ndcg@10_before": mean_ndcg(lists.score, plain, among),
        "ndcg@10_after": mean_ndcg(score, plain, among),
        "corrected_ndcg@10_before": mean_ndcg(lists.score, corrected, among),
        "corrected_ndcg@10_after": mean_ndcg(score, corrected, among),
    }


def head_metrics(lists: RankingLists, logs: dict[str, Floats], examination: Floats) -> dict[str, Any]:
    """AUC, PR-AUC, log-loss and calibration of each head, on shown products at the position where they stood."""
    place = np.clip(lists.position - 1, 0, len(examination) - 1)
    seen = np.where(lists.position > 0, examination[place], 1.0)[lists.shown]
    if not seen.size:
        return {}
    return {
        name: asdict(score_head(name, getattr(lists, name)[lists.shown], np.exp(log[lists.shown]) * seen))
        for name, log in logs.items()
    }
