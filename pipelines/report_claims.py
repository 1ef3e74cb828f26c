"""What was to be shown, what was measured of it, and its bar; only what the run has the parts for."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from evaluation.boards import Cell, Comparison, Curve, PlainTable
from evaluation.calibration import BAR, CHANCE, EXPECTED, PREDICTED, RATIO, RATIO_TO_TRUTH, out_by_chance
from evaluation.heads import losses
from evaluation.report import Claim, interval_claim
from evaluation.significance import holm, paired_intervals
from pipelines.judging import OURS
from pipelines.report_parts import TaskReport
from pipelines.report_reranker import Doubles, Pages, shown_examples

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

    And, where there is a truth, predicted over the clicks that it expects: those observed are too few in many a part
    to tell a probability that is 10 % off from an exact one.

    Args:
        tables: of the reranker; nothing is claimed where the table of calibration is not among them.
    """
    return [claim for table in tables if table.key == "calibration" for claim in _calibration_claims(table)]


def _calibration_claims(table: PlainTable) -> list[Claim]:
    rows = [dict(zip(table.columns, cells, strict=True)) for cells in table.rows]
    chance = f"Exact probabilities would have {_out_by_chance(rows):.1f} of {len(rows)} parts out by chance."
    observed = _within_bar("observed clicks on the test pages", rows, RATIO, "clicks", chance)
    if RATIO_TO_TRUTH not in rows[0]:
        return [observed]
    detail = "What the same showings bring in the mean: no chance is in it."
    return [observed, _within_bar("the clicks that the truth expects there", rows, RATIO_TO_TRUTH, EXPECTED, detail)]


def _within_bar(over: str, rows: Sequence[dict[str, Cell]], ratio: str, count: str, detail: str) -> Claim:
    """Whether the ratio of every part is within the bar; those that are out are named with their count of clicks."""
    ratios = [float(row[ratio] or 0) for row in rows]
    is_out = np.array([not BAR[0] <= one <= BAR[1] for one in ratios])
    measured = f"{_times(min(ratios))} to {_times(max(ratios))}"
    if is_out.any():
        measured += f"; {int(is_out.sum())} of {len(rows)} parts out"
        if ratio == RATIO:
            beyond = is_out & holm([float(row[CHANCE] or 0) for row in rows])
            measured += f", {int(beyond.sum())} of them beyond chance"
        named = [
            f"{row['part']} {_times(one)} ({row[count]} clicks)"
            for row, one, flag in zip(rows, ratios, is_out, strict=True)
            if flag
        ]
        detail += f" Out: {'; '.join(named)}"
    text = f"Predicted over {over}, in every decile and slice"
    return Claim(text, measured, f"{BAR[0]} to {BAR[1]} in each", not is_out.any(), detail)


def _out_by_chance(rows: Sequence[dict[str, Cell]]) -> float:
    expected = EXPECTED if EXPECTED in rows[0] else PREDICTED
    return out_by_chance([float(row[expected] or 0) for row in rows])


def _times(ratio: float) -> str:
    return f"{ratio:.3f}" if math.isfinite(ratio) else "without bound"


def log_loss_claims(pages: Sequence[Pages], by_place: Mapping[str, Doubles], seed: int) -> list[Claim]:
    """Whether each head's log-loss on the test pages is at least 5 % under that of the head's own base rate.

    And whether it is under that of the rates by task and position of the days before, which know no product.

    Args:
        pages: of the test days. by_place: of `told_by_position`. seed: of the bootstrap, which resamples users.
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
        claims.append(interval_claim(text, ratio, ratio.estimate <= _LOG_LOSS, f"estimate at most {_LOG_LOSS}", more))
        placed = losses(labels, by_place[head])
        gain, _ = paired_intervals(placed, told, users, seed=seed)
        more = f" ({placed.mean():.4f} less {told.mean():.4f})"
        text = f"Log-loss of {head} rates by task and position, less ours"
        claims.append(interval_claim(text, gain, gain.above_zero, "interval above zero", more))
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
