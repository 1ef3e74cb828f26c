"""The report's plots as inline SVG."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from evaluation.boards import Curve, Role
from evaluation.embedding_map import OTHER, EmbeddingMap
from evaluation.heads import HeadScores

OURS = ("#0b5fa5", "#4c9bd6", "#0d8a7b", "#6a51a3", "#b8860b")
BASELINES = ("#c2571a", "#8c6bb1", "#7d8c2f", "#b8860b", "#c2477f", "#6b7280")
ORACLE = "#5b6570"
_INK = "#2b3440"
_STYLE = {
    "svg.fonttype": "none",  # Text stays text: it takes the page's font, and can be searched.
    "svg.hashsalt": "tandem",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.edgecolor": "#b6bec8",
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6eaee",
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}


def curve_svg(curve: Curve, roles: dict[str, Role] | None = None) -> str:
    """A curve a system, as an <svg> element."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.4, 3.4), layout="constrained")
        axes = figure.subplots()
        dashed: dict[str, Role] = dict.fromkeys(curve.dashed, "oracle")
        styles = _line_styles(list(curve.series), {**(roles or {}), **dashed})
        for system, values in curve.series.items():
            known = [place for place, value in enumerate(values) if math.isfinite(value)]
            x, y = [curve.x[place] for place in known], [values[place] for place in known]
            # A single point is no line: without a marker it would not be seen.
            style = styles[system] | ({"marker": "D", "zorder": 3} if len(x) == 1 else {})
            axes.plot(x, y, label=system, markersize=3.5, **style)
        _scale_x(axes, curve)
        axes.set_xlabel(curve.x_label)
        axes.set_ylabel(curve.y_label)
        finite = [value for values in curve.series.values() for value in values if math.isfinite(value)]
        if curve.from_zero:
            axes.set_ylim(0, 1.08 * max(finite, default=1.0) or 1.0)
        axes.legend(fontsize=9, loc="best")
        return _as_svg(figure)


def map_svg(drawn: EmbeddingMap) -> str:
    """Products on their principal axes, a colour a category; the points are one picture inside the <svg> element."""
    with matplotlib.rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(11.0, 5.6), layout="constrained")
        axes = figure.subplots()
        names, counts = np.unique(drawn.labels, return_counts=True)
        # The large ones first, so that the small ones are not covered; "other" is grey.
        order = sorted(zip(-counts, names.tolist(), strict=True))
        colours = iter(matplotlib.colormaps["tab10"].colors)
        drawn_as: dict[str, PathCollection] = {}
        for count, name in order:
            places = drawn.places[drawn.labels == name]
            colour = "#b6bec8" if name == OTHER else next(colours)
            drawn_as[f"{name} ({-count:,})"] = axes.scatter(
                *places.T, s=5, color=colour, alpha=0.6, linewidths=0, rasterized=True
            )
        axes.set_xlabel(f"first axis, {drawn.explained[0]:.0%} of the variance")
        axes.set_ylabel(f"second axis, {drawn.explained[1]:.0%}")
        axes.set_xticks([])
        axes.set_yticks([])
        # Named here, not by `label`: a label that begins with "_" is left out of the legend.
        names_beside = axes.legend(
            list(drawn_as.values()), list(drawn_as), fontsize=9, loc="center left", bbox_to_anchor=(1.0, 0.5),
            markerscale=3,
        )  # fmt: skip
        for text in names_beside.get_texts():
            text.set_parse_math(False)  # A shop's "$" is no formula.
        return _as_svg(figure)


def calibration_svg(heads: Sequence[HeadScores]) -> str:
    """Predicted against observed share in each bin, a panel a head, both axes logarithmic where nothing is 0."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(3.5 * len(heads), 3.3), layout="constrained")
        panels = figure.subplots(1, len(heads), squeeze=False)[0]
        for axes, head in zip(panels, heads, strict=True):
            predicted = [part.predicted for part in head.calibration]
            observed = [part.observed for part in head.calibration]
            high = max([*predicted, *observed, 1e-6]) * 1.1
            low = min([*predicted, *observed])
            if low > 0:
                axes.set_xscale("log")
                axes.set_yscale("log")
            start = low * 0.8 if low > 0 else 0.0
            axes.plot([start, high], [start, high], color=ORACLE, linewidth=1, linestyle=(0, (4, 3)))
            axes.plot(predicted, observed, color=OURS[0], marker="o", markersize=4, linewidth=1.4)
            axes.set_xlim(start, high)
            axes.set_ylim(start, high)
            axes.set_title(head.name, fontsize=10.5, loc="left", fontweight="bold")
            axes.set_xlabel("predicted")
        panels[0].set_ylabel("observed")
        return _as_svg(figure)


def _line_styles(systems: list[str], roles: dict[str, Role]) -> dict[str, dict[str, Any]]:
    ours, baselines = iter(OURS * len(systems)), iter(BASELINES * len(systems))
    styles: dict[str, dict[str, Any]] = {}
    for system in systems:
        role = roles.get(system, "ours")
        if role == "oracle":
            styles[system] = {"color": ORACLE, "linestyle": (0, (4, 3)), "linewidth": 1.3}
        elif role == "baseline":
            styles[system] = {"color": next(baselines), "marker": "s", "linewidth": 1.3}
        else:
            styles[system] = {"color": next(ours), "marker": "o", "linewidth": 2.0}
    return styles


def _scale_x(axes: Axes, curve: Curve) -> None:
    if curve.log_x and min(curve.x) > 0:
        axes.set_xscale("log")
    elif curve.log_x:
        axes.set_xscale("symlog", linthresh=1, linscale=0.4)  # 0 has a place, and from 1 on it is logarithmic.
    if len(curve.x) <= 10:
        axes.set_xticks(list(curve.x), [f"{value:.3g}" for value in curve.x])
        axes.minorticks_off()
    elif curve.log_x:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    elif all(value.is_integer() for value in curve.x):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _as_svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Words stay words in the SVG: the reader's fonts draw the scripts that Matplotlib's own font lacks.
        warnings.filterwarnings("ignore", r"Glyph .* missing from font", UserWarning)
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
