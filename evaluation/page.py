"""The report as one HTML page that needs nothing else: styles, plots and pictures are inside it."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from PIL import Image

from evaluation.answers import Picture
from evaluation.boards import Board, Comparison, Curve, Role, SliceTable
from evaluation.glossary import explain, label
from evaluation.plots import calibration_svg, curve_svg
from evaluation.report import Block, Report
from evaluation.weaknesses import verdict

_TEMPLATE = "report.html.jinja"
_THUMBNAIL = 112  # Pixels; shown at half of it, so that it is sharp on a dense screen.
_JPEG_QUALITY = 82


def render_page(report: Report) -> str:
    """The whole page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(number=number, signed=signed, interval_end=interval_end, label=label)
    roles = _roles(report)
    metrics = _metrics(report.blocks())
    page = environment.get_template(_TEMPLATE).render(
        report=report,
        kind=lambda block: type(block).__name__,
        curve_svg=lambda curve: Markup(curve_svg(curve, roles)),
        calibration_svg=lambda heads: Markup(calibration_svg(heads)),
        drawing_svg=lambda drawing: Markup(drawing.picture),
        picture_uri=picture_uri,
        whisker=whisker,
        verdict=verdict,
        decimals=decimals,
        widest=widest,
        grouped=grouped,
        is_number=lambda value: isinstance(value, int | float) and not isinstance(value, bool),
        weaknesses=report.weaknesses(),
        shortfalls=report.shortfalls(),
        glossary={label(metric): explain(metric) for metric in metrics if explain(metric)},
    )
    return page.strip() + "\n"


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table cell, thousands separated: `digits` decimals, none for counts; "–" for none."""
    if value is None or not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    return f"{value:,.{digits}f}" if abs(value) < 100 else f"{value:,.1f}"


def signed(value: float, digits: int = 3) -> str:
    """A difference, with its sign; a true minus."""
    return ("+" if value >= 0 else "−") + number(abs(value), digits) if math.isfinite(value) else "–"


def interval_end(value: float, digits: int = 3) -> str:
    """An end of an interval: only a minus is written."""
    return signed(value, digits).removeprefix("+")


def decimals(board: Board, metric: str) -> int:
    """Decimals of a column: three, or four where every mean is below 0.1."""
    means = [abs(row.means.get(metric, 0.0)) for row in board.rows]
    return 4 if max((mean for mean in means if math.isfinite(mean)), default=1.0) < 0.1 else 3


def widest(comparisons: list[Comparison | None]) -> float:
    """The largest absolute end of the intervals: the half width of the axis they share."""
    ends = [abs(end) for item in comparisons if item for end in (item.difference.low, item.difference.high)]
    return max((end for end in ends if math.isfinite(end)), default=0.0) or 1.0


def whisker(comparison: Comparison, half_width: float) -> dict[str, float]:
    """Where interval and estimate lie on an axis from -half_width to half_width, in percent of its length."""
    ends = comparison.difference
    low, middle, high = (50 + 50 * end / half_width for end in (ends.low, ends.estimate, ends.high))
    return {"low": round(low, 2), "middle": round(middle, 2), "width": round(high - low, 2)}


def grouped(blocks: tuple[Block, ...]) -> list[list[Block]]:
    """Blocks in order; neighbouring curves share a group."""
    groups: list[list[Block]] = []
    for block in blocks:
        if groups and isinstance(block, Curve) and isinstance(groups[-1][-1], Curve):
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def picture_uri(picture: Picture | None) -> str:
    """A small JPEG of the picture as a data URI; "" for none."""
    if picture is None:
        return ""
    image = Image.fromarray(np.asarray(picture, np.uint8), "RGB")
    image.thumbnail((_THUMBNAIL, _THUMBNAIL), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _roles(report: Report) -> dict[str, Role]:
    boards = [block for block in report.blocks() if isinstance(block, Board)]
    return {row.system: row.role for board in boards for row in board.rows}


def _metrics(blocks: list[Block]) -> list[str]:
    names: dict[str, Any] = {}
    for block in blocks:
        if isinstance(block, Board):
            names |= dict.fromkeys(block.metrics)
        if isinstance(block, SliceTable):
            names |= dict.fromkeys([block.metric])
    return list(names)
