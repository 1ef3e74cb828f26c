"""Whether probabilities come true, part by part: predicted over observed, with the interval that chance allows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from evaluation.arrays import Floats, Mask
from evaluation.heads import log_loss

BAR = (0.9, 1.1)  # predicted over observed
RATIO, LOW, HIGH, CHANCE = "predicted / observed", "95 % from", "to", "p"  # columns of the report's table
PREDICTED, EXPECTED = "predicted", "expected by the truth"  # and of its positives
RATIO_TO_TRUTH = "predicted / expected"  # where there is a truth
_Z = 1.959964  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class CalibrationRow:
    """One part of the examples.

    Args:
        part: its name. count: examples. observed: positives among them. predicted: positives expected.
        ratio, low, high: predicted over observed, and its 95 % interval for the chance in what was observed; infinite
            where nothing was.
        p_value: of the exact binomial test, two-sided, of what was observed against the mean prediction.
        log_loss, base_rate_log_loss: of the predictions, and of the part's own base rate.
    """

    part: str
    count: int
    observed: int
    predicted: float
    ratio: float
    low: float
    high: float
    p_value: float
    log_loss: float
    base_rate_log_loss: float


def calibration_rows(
    labels: Mask, probabilities: npt.NDArray[np.floating], parts: dict[str, Mask]
) -> tuple[CalibrationRow, ...]:
    """A row for each part that holds an example, [n] each."""
    return tuple(
        _row(name, labels[mask], probabilities[mask].astype(np.float64)) for name, mask in parts.items() if mask.any()
    )


def parts_by_prediction(probabilities: npt.NDArray[np.floating], bins: int = 10) -> dict[str, Mask]:
    """Examples in rising order of prediction, cut twice: into equal numbers, and into equal expected positives."""
    order = np.argsort(probabilities, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    equal = place * bins // max(len(order), 1)
    expected = np.cumsum(probabilities[order].astype(np.float64))
    share = np.empty(len(order), np.int64)
    # An example that a boundary cuts belongs where its middle lies.
    middle = expected - probabilities[order] / 2
    share[order] = np.minimum(middle / max(expected[-1], 1e-12) * bins, bins - 1).astype(np.int64)
    parts = {f"decile {number + 1} of predictions": equal == number for number in range(bins)}
    return parts | {f"tenth {number + 1} of expected positives": share == number for number in range(bins)}


def wilson_interval(positives: int, count: int) -> tuple[float, float]:
    """95 % interval of a rate (Wilson 1927)."""
    rate, z2 = positives / count, _Z**2
    centre = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z / (1 + z2 / count) * np.sqrt(rate * (1 - rate) / count + z2 / (4 * count**2))
    low = float(centre - half) if positives else 0.0
    return low, float(centre + half) if positives < count else 1.0


def binomial_p_value(positives: int, count: int, rate: float) -> float:
    """Twice the smaller tail of a binomial distribution, both with what was observed; 1 at most."""
    at_most = special.bdtr(positives, count, rate)
    at_least = special.bdtrc(positives - 1, count, rate) if positives else 1.0
    return float(min(1.0, 2 * min(at_most, at_least)))


def out_by_chance(expected: Sequence[float]) -> float:
    """How many parts lie outside of the bar on average though every probability is exact.

    Args:
        expected: positives that each part expects; what comes is Poisson.
    """
    mean = np.asarray(expected, np.float64)
    most, least = np.floor(mean / BAR[0]), np.ceil(mean / BAR[1])
    # Where nothing is observed there is no ratio, so 0 positives are out.
    inside = special.pdtr(most, mean) - special.pdtr(np.maximum(least - 1, 0), mean)
    return float((1 - inside).sum())


def _row(name: str, labels: Mask, probabilities: Floats) -> CalibrationRow:
    count, observed, predicted = len(labels), int(labels.sum()), float(probabilities.sum())
    low, high = wilson_interval(observed, count)
    return CalibrationRow(
        part=name,
        count=count,
        observed=observed,
        predicted=predicted,
        ratio=predicted / observed if observed else float("inf"),
        low=predicted / (high * count),
        high=predicted / (low * count) if low > 0 else float("inf"),
        p_value=binomial_p_value(observed, count, min(predicted / count, 1.0)),
        log_loss=log_loss(labels, probabilities),
        base_rate_log_loss=log_loss(labels, np.full(count, observed / count)),
    )
