"""Ranking metrics, one number a request; the caller averages.

Every function takes what was found at each rank (`hits` bool or `gains` float, [R, K], best rank first, padding False
or 0) and what there was to find (`relevant` int [R], or `ideal` gains [R, >= k] in falling order). A request with
nothing to find has no value: NaN, whatever the system answered, so that two systems are always compared on the same
requests. Ranks beyond k change nothing; a list shorter than k counts as if padded.
"""

import numpy as np
import numpy.typing as npt

from evaluation.arrays import Floats, Ints, Mask, Rows

Numbers = npt.NDArray[np.floating] | npt.NDArray[np.integer]


def recall_at(hits: Mask, relevant: Ints, k: int, capped: bool = False) -> Floats:
    """Share of the relevant products that are among the first k.

    Args:
        hits: [R, K]. relevant: [R], how many relevant products there are.
        capped: divide by min(relevant, k), so that a perfect ranking reaches 1 even if more than k are relevant (BEIR).
    """
    found = hits[:, :k].sum(axis=1)
    return _ratio(found, np.minimum(relevant, k) if capped else relevant)


def precision_at(hits: Mask, relevant: Ints, k: int) -> Floats:
    """Share of the first k places that hold a relevant product."""
    return np.where(relevant > 0, hits[:, :k].sum(axis=1) / k, np.nan)


def f1_at(hits: Mask, relevant: Ints, k: int) -> Floats:
    """Harmonic mean of precision and recall at k: 2 found / (k + relevant)."""
    return np.where(relevant > 0, 2.0 * hits[:, :k].sum(axis=1) / (k + relevant), np.nan)


def hit_rate_at(hits: Mask, relevant: Ints, k: int) -> Floats:
    """1 where any relevant product is among the first k, else 0."""
    return np.where(relevant > 0, hits[:, :k].any(axis=1).astype(np.float64), np.nan)


def reciprocal_rank(hits: Mask, relevant: Ints, k: int | None = None) -> Floats:
    """1 / rank of the first relevant product, 0 where none is found among the first k (MRR is its mean)."""
    found = hits[:, :k]
    if found.shape[1] == 0:
        return np.where(relevant > 0, 0.0, np.nan)
    first = np.where(found.any(axis=1), 1.0 / (found.argmax(axis=1) + 1), 0.0)
    return np.where(relevant > 0, first, np.nan)


def average_precision_at(hits: Mask, relevant: Ints, k: int) -> Floats:
    """Mean over the relevant products of the precision at their rank, over min(relevant, k) (MAP@k is its mean)."""
    found = hits[:, :k]
    precision = np.cumsum(found, axis=1) / np.arange(1, found.shape[1] + 1)
    return _ratio((precision * found).sum(axis=1), np.minimum(relevant, k))


def exponential_gain(grades: Numbers) -> Floats:
    """2^grade - 1: the gain of a graded judgment (Burges et al. 2005)."""
    return np.exp2(grades.astype(np.float64)) - 1.0


def dcg_at(gains: Numbers, k: int) -> Floats:
    """Sum over ranks i = 1..k of gain_i / log2(i + 1) (Järvelin and Kekäläinen 2002). Gains are taken as they are."""
    kept = gains[:, :k].astype(np.float64)
    return kept @ (1.0 / np.log2(np.arange(2, kept.shape[1] + 2)))


def ndcg_at(gains: Numbers, ideal: Numbers, k: int) -> Floats:
    """DCG over the DCG of the best possible ranking.

    Args:
        gains: [R, K], of what was ranked. ideal: [R, >= k], the best gains there are, in falling order, padded with 0.
        Both linear or both passed through `exponential_gain`.
    """
    return _ratio(dcg_at(gains, k), dcg_at(ideal, k))


def coverage_at(rows: Rows, products: int, k: int) -> float:
    """Share of the catalogue's products that are among the first k of at least one request.

    Args:
        rows: [R, K] product rows, -1 for none. products: how many could have been shown.
    """
    shown = np.unique(rows[:, :k])
    return float((shown >= 0).sum() / products) if products else float("nan")


def expected_clicks(appeal: Numbers, examination: Numbers, k: int) -> Floats:
    """Expected clicks on the first k places under the position-based click model.

    Args:
        appeal: [R, K], P(click | examined) of what stands at each rank, 0 for padding.
        examination: [P], P(examined) by rank; ranks beyond P are never examined.
    """
    width = min(k, appeal.shape[1], len(examination))
    return appeal[:, :width].astype(np.float64) @ examination[:width].astype(np.float64)


def _ratio(numerator: Numbers, denominator: Numbers) -> Floats:
    result = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=result, where=denominator > 0)
    return result
