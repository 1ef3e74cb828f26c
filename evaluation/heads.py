"""How good predicted probabilities are: AUC, PR-AUC, log-loss and calibration of one head."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from evaluation.arrays import Floats, Mask

_SMALLEST_PROBABILITY = 1e-7  # Keras' epsilon; below it a wrong answer costs the same.


def auc(labels: Mask, scores: npt.NDArray[np.floating]) -> float:
    """Area under the ROC curve: P(a positive scores above a negative), ties count half (Mann-Whitney).

    Args:
        labels: [n] bool. scores: [n].

    Returns:
        NaN when there is no positive or no negative.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    last_rank = np.cumsum(sizes)
    mean_rank = last_rank - (sizes - 1) / 2
    rank_sum = mean_rank[group][labels].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def pr_auc(labels: Mask, scores: npt.NDArray[np.floating]) -> float:
    """Average precision: sum over thresholds of (recall step) x precision; equal scores are one threshold.

    Returns:
        NaN when there is no positive. A constant score gets the share of positives.
    """
    positives = int(labels.sum())
    if not positives:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    threshold_ends = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    found = np.cumsum(labels[order])[threshold_ends]
    precision = found / (threshold_ends + 1)
    return float(np.sum(np.diff(found, prepend=0) / positives * precision))


def losses(labels: Mask, probabilities: npt.NDArray[np.floating]) -> Floats:
    """-log P(what happened) of each example, natural logarithm."""
    clipped = np.clip(probabilities.astype(np.float64), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return -np.where(labels, np.log(clipped), np.log1p(-clipped))


def log_loss(labels: Mask, probabilities: npt.NDArray[np.floating]) -> float:
    """Mean of `losses`."""
    return float(losses(labels, probabilities).mean())


@dataclass(frozen=True)
class CalibrationBin:
    """Examples of neighbouring predictions: what was predicted and what happened, on average."""

    count: int
    predicted: float
    observed: float


def calibration_bins(
    labels: Mask, probabilities: npt.NDArray[np.floating], bins: int = 10
) -> tuple[CalibrationBin, ...]:
    """Cut the examples, sorted by prediction, into `bins` parts of equal size (deciles by default); none is empty."""
    order = np.argsort(probabilities, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return tuple(
        CalibrationBin(len(part), float(probabilities[part].mean(dtype=np.float64)), float(labels[part].mean()))
        for part in parts
    )


@dataclass(frozen=True)
class HeadScores:
    """One head of the reranker on the shown products of the test days."""

    name: str
    examples: int
    base_rate: float
    auc: float
    pr_auc: float
    log_loss: float
    base_rate_log_loss: float
    calibration: tuple[CalibrationBin, ...]


def score_head(name: str, labels: Mask, probabilities: npt.NDArray[np.floating]) -> HeadScores:
    """Score one head.

    Args:
        name: "click", "cart" or "purchase". labels: [n] bool, what happened. probabilities: [n], in 0..1.

    Raises:
        DataError: on no examples, unequal lengths, or a prediction that is not a probability.
    """
    if not len(labels) or labels.shape != probabilities.shape:
        raise DataError(
            f"head {name}: expected as many labels as predictions, received {labels.shape} labels and "
            f"{probabilities.shape} predictions"
        )
    if not (np.isfinite(probabilities).all() and probabilities.min() >= 0 and probabilities.max() <= 1):
        raise DataError(
            f"head {name}: expected probabilities in 0..1, received {probabilities.min()}..{probabilities.max()}"
        )
    base_rate = float(labels.mean())
    constant: Floats = np.full(len(labels), base_rate)
    return HeadScores(
        name=name,
        examples=len(labels),
        base_rate=base_rate,
        auc=auc(labels, probabilities),
        pr_auc=pr_auc(labels, probabilities),
        log_loss=log_loss(labels, probabilities),
        base_rate_log_loss=log_loss(labels, constant),
        calibration=calibration_bins(labels, probabilities),
    )
