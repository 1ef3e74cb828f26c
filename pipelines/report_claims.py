"""What was to be shown, what was measured of it, and its bar; only what the run has the parts for."""

import math
from collections.abc import Sequence

import numpy as np

from evaluation.boards import Comparison, Curve, PlainTable
from evaluation.calibration import BAR, HIGH, LOW, RATIO
from evaluation.heads import losses
from evaluation.report import Claim, interval_claim
from evaluation.significance import paired_intervals
from pipelines.judging import OURS
from pipelines.report_parts import TaskReport
from pipelines.report_reranker import Pages, shown_examples

_LOG_LOSS = 0.95
_EXAMINATION = 0.10


def measured_claims(reports: list[TaskReport]) -> list[Claim]:
    """What the headline boards show, with the intervals."""
    claims = []
    for report in reports:
        board = report.headline[0]
        for metric in ("ndcg@10", "recall@100") if report.task == "search" else ("recall@100",):
            found = board.comparison(metric, OURS)
            if found is not None:
                text = f"{report.task.capitalize()} {metric} against the best baseline, {found.against}"
                claims.append(_ahead(text, found))
        reranked = report.reranking
        for metric in ("ndcg@10", "appeal_ndcg@10"):
            found = reranked.comparison(metric, OURS)
            if found is not None:
                text = f"{report.task.capitalize()} {metric}, reranked against the retrieval order"
                claims.append(_ahead(text, found))
        claims += report.claims()
    return claims


def _ahead(text: str, found: Comparison) -> Claim:
    difference = found.difference
    return interval_claim(text, difference, difference.above_zero, "interval above zero", f" (ratio {found.ratio})")


def calibration_claims(tables: Sequence[PlainTable]) -> list[Claim]:
    """Whether predicted over observed clicks lies in 0.9 to 1.1 in every part of the calibration table.

    Args:
        tables: of the reranker; nothing is claimed where the table of calibration is not among them.
    """
    return [_calibration_claim(table) for table in tables if table.key == "calibration"]


def _calibration_claim(table: PlainTable) -> Claim:
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.rows]
    ratios = [float(row[RATIO] or 0) for row in rows]
    out = [row for row, ratio in zip(rows, ratios, strict=True) if not BAR[0] <= ratio <= BAR[1]]
    by_chance = [row for row in out if float(row[LOW] or 0) <= 1 <= float(row[HIGH] or 0)]
    measured = f"{_times(min(ratios))} to {_times(max(ratios))}"
    if out:
        measured += f"; {len(out)} of {len(rows)} parts out, {len(out) - len(by_chance)} of them beyond chance"
    named = [f"{row['part']} {_times(float(row[RATIO] or 0))} ({row['clicks']} clicks)" for row in out]
    text = "Predicted over observed clicks on the test pages, in every decile and slice"
    detail = f"Out: {'; '.join(named)}" if named else ""
    return Claim(text, measured, f"{BAR[0]} to {BAR[1]} in each", not out, detail)


def _times(ratio: float) -> str:
    return f"{ratio:.3f}" if math.isfinite(ratio) else "without bound"


def log_loss_claims(pages: Sequence[Pages], seed: int) -> list[Claim]:
    """Whether each head's log-loss on the test pages is at least 5 % under that of the head's own base rate.

    Args:
        pages: of the test days. seed: of the bootstrap, which resamples users.
    """
    claims = []
    for head in pages[0].probabilities if pages else ():
        labels, probabilities = shown_examples(pages, head)
        if labels.all() or not labels.any():
            continue  # The base rate is then known to be right, and nothing can be under it.
        told = losses(labels, probabilities)
        constant = losses(labels, np.full(len(labels), labels.mean()))
        users = np.concatenate([np.repeat(part.requests.user, part.shown.present.sum(axis=1)) for part in pages])
        _, ratio = paired_intervals(told, constant, users, seed=seed)
        more = f" ({told.mean():.4f} over {constant.mean():.4f})"
        text = f"Log-loss of {head} on the test pages, over the base rate's"
        claims.append(interval_claim(text, ratio, ratio.estimate <= _LOG_LOSS, f"at most {_LOG_LOSS}", more))
    return claims


def examination_claims(curve: Curve) -> list[Claim]:
    """Whether learned P(examined) lies within 10 % of the true one at every position; nothing without a truth."""
    if "truth" not in curve.series:
        return []
    off = np.abs(np.array(curve.series["learned"]) / np.array(curve.series["truth"]) - 1)
    worst = int(off.argmax())
    measured = f"at most {off[worst]:.1%} off, at position {curve.x[worst]:.0f} of {len(off)}"
    text = "Learned P(examined) beside the true one"
    return [Claim(text, measured, f"within {_EXAMINATION:.0%} at every position", bool(off[worst] <= _EXAMINATION))]
