"""Scores of several systems on the same requests, and their scoring against the log or against judgments."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from evaluation import metrics
from evaluation.arrays import Floats, Mask, Rows, check_rankings
from evaluation.relevance import Relevance

ByRequest = dict[str, Floats]

CURVE_KS = (1, 2, 5, 10, 20, 50, 100, 200)


@dataclass(frozen=True)
class Scores:
    """One number a request for each system and metric; NaN where a request has nothing to find.

    Args:
        values: system -> metric -> [R].
        recall_curve: system -> [R, len(curve_ks)], recall at each of `curve_ks`.
        product_slices: slice -> system -> [R], recall@100 of the relevant products that are in the slice.
        coverage: system -> share of the index among the first ten of any request.
    """

    values: dict[str, ByRequest]
    curve_ks: tuple[int, ...]
    recall_curve: ByRequest
    product_slices: dict[str, ByRequest] = field(default_factory=dict)
    coverage: dict[str, float] = field(default_factory=dict)

    def metric(self, system: str, name: str) -> Floats:
        """One metric of one system, [R]."""
        return self.values[system][name]

    def mean(self, system: str, name: str) -> float:
        """Its mean over the requests that have a value; NaN if none has."""
        values = self.values[system][name]
        return mean_of(values)


def mean_of(values: Floats) -> float:
    """Mean of what is not NaN; NaN (without a warning) when nothing is left."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


def shared_requests(scores: Scores, systems: Sequence[str], metric: str) -> Mask:
    """Where each of the systems that ever have a value of the metric has one, [R]; nowhere if none has."""
    known = [np.isfinite(scores.metric(system, metric)) for system in systems]
    ever = [mask for mask in known if mask.any()]
    everywhere: Mask = np.logical_and.reduce(ever) if ever else np.zeros_like(known[0])
    return everywhere


def restricted(scores: Scores, systems: Sequence[str], present: dict[str, Mask]) -> Scores:
    """The systems' values of some metrics, NaN outside of each one's mask [R]; the rest of the scores as it is."""
    values = {
        system: {metric: np.where(mask, scores.metric(system, metric), np.nan) for metric, mask in present.items()}
        for system in systems
    }
    return replace(scores, values=values)


def score_rankings(
    rankings: dict[str, Rows],
    relevance: Relevance,
    eligible: Mask,
    ks: tuple[int, ...] = (10, 100),
    gain: Literal["linear", "exponential"] = "linear",
    product_slices: dict[str, Mask] | None = None,
) -> Scores:
    """Score rankings against sparse relevance (what was clicked, or what people judged).

    Args:
        rankings: system -> [R, K] product rows, best first, -1 for none. Only candidates: see `candidates_only`.
        relevance: of the same R requests.
        eligible: [N], products in the index.
        ks: cut-offs of recall, precision, F1, hit rate, MAP and NDCG.
        gain: "linear" takes gains as they are (weights of kinds), "exponential" 2^gain - 1 (grades of judgments).
        product_slices: slice -> [N] products, to see recall@100 of those alone.

    Returns:
        Metrics named recall@k, precision@k, f1@k, hit_rate@k, map@k, ndcg@k for each k, and mrr.
    """
    slices = product_slices or {}
    scores = Scores({}, CURVE_KS, {}, {name: {} for name in slices})
    relevant = relevance.counts()
    deepest = max(ks)
    ideal = _graded(relevance.ideal(deepest), gain)
    for system, given in rankings.items():
        rows = check_rankings(given, len(eligible), system)
        found = relevance.gains(rows)
        hits = found > 0
        values: ByRequest = {}
        for k in ks:
            values[f"recall@{k}"] = metrics.recall_at(hits, relevant, k)
            values[f"precision@{k}"] = metrics.precision_at(hits, relevant, k)
            values[f"f1@{k}"] = metrics.f1_at(hits, relevant, k)
            values[f"hit_rate@{k}"] = metrics.hit_rate_at(hits, relevant, k)
            values[f"map@{k}"] = metrics.average_precision_at(hits, relevant, k)
            values[f"ndcg@{k}"] = metrics.ndcg_at(_graded(found, gain), ideal, k)
        values["mrr"] = metrics.reciprocal_rank(hits, relevant)
        scores.values[system] = values
        scores.recall_curve[system] = np.stack([metrics.recall_at(hits, relevant, k) for k in CURVE_KS], axis=1)
        scores.coverage[system] = metrics.coverage_at(rows, int(eligible.sum()), 10)
        for name, products in slices.items():
            in_slice = hits & products[np.maximum(rows, 0)]
            scores.product_slices[name][system] = metrics.recall_at(in_slice, relevance.counts(products), 100)
    return scores


def _graded(gains: np.ndarray, gain: str) -> Floats:
    return metrics.exponential_gain(gains) if gain == "exponential" else gains.astype(np.float64)
