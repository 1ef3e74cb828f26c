"""The report of a release: report.json with every number, report.html for a person with five minutes."""

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from catalog.files import atomic_path, write_json
from evaluation.answers import Answer
from evaluation.boards import Board, Curve, PlainTable, SliceTable
from evaluation.glossary import label
from evaluation.heads import HeadScores
from evaluation.provenance import Provenance
from evaluation.shortfalls import Shortfall, find_shortfalls
from evaluation.significance import FEWEST, Interval
from evaluation.weaknesses import Weakness, find_weaknesses


@dataclass(frozen=True)
class Claim:
    """One thing that was to be shown: what was measured, the bar, and whether it was met (None: there is no bar).

    `detail` names the parts that missed it, where there are parts.
    """

    text: str
    measured: str
    bar: str = ""
    met: bool | None = None
    detail: str = ""


def interval_claim(text: str, interval: Interval, is_met: bool, bar: str, more: str = "") -> Claim:
    """A claim that rests on an interval: missed, and why is told, where too few units stand behind it.

    Args:
        text, bar: of the claim. interval: what was measured. more: what is said after it.
        is_met: whether the numbers alone meet the bar.
    """
    few = f"Of users, queries or products {interval.units:,} stand behind this; fewer than {FEWEST} show nothing."
    detail = "" if interval.is_decided else few
    return Claim(text, f"{interval}{more}", bar, is_met and interval.is_decided, detail)


@dataclass(frozen=True)
class Heads:
    """The reranker's heads, with their calibration.

    `by_position`: head -> log-loss of its rates by task and position, on the same examples.
    """

    key: str
    title: str
    note: str
    heads: tuple[HeadScores, ...]
    by_position: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Answers:
    """Answers to look at."""

    key: str
    title: str
    note: str
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Drawing:
    """A picture of many points, and the numbers that it shows. `picture` is an <svg> element."""

    key: str
    title: str
    note: str
    numbers: dict[str, float]
    picture: str


Block = Board | SliceTable | Curve | PlainTable | Heads | Answers | Drawing


@dataclass(frozen=True)
class Section:
    """One chapter of the report. Curves that follow each other stand side by side."""

    title: str
    lead: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything the report says; a part that a shop cannot have (a truth, prices, pictures) is left out.

    Args:
        title: names the shop. lead: one or two sentences under it.
        facts: what was judged on ("products" -> 39953).
        claims: the page's first lines.
        sections: in reading order.
        headline: keys of the boards that the terminal shows.
        provenance: how to make the numbers again.
    """

    title: str
    lead: str = ""
    facts: dict[str, str | int | float] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    sections: tuple[Section, ...] = ()
    headline: tuple[str, ...] = ()
    provenance: Provenance

    def blocks(self) -> list[Block]:
        """All blocks of all sections, in order."""
        return [block for section in self.sections for block in section.blocks]

    def weaknesses(self) -> tuple[Weakness, ...]:
        """Where it does worst against the strongest baseline."""
        blocks = [(section.title, block) for section in self.sections for block in section.blocks]
        return find_weaknesses(blocks)

    def shortfalls(self) -> tuple[Shortfall, ...]:
        """Where it is uneven: behind its own queries in Latin letters or known products, or wrong about its clicks."""
        return find_shortfalls(self.blocks())


def write_report(report: Report, folder: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into `folder`, each whole or not at all.

    Raises:
        ValueError: when two blocks have the same key.
    """
    from evaluation.page import render_page  # Brings Matplotlib, which only the page needs.

    as_json, page = report_as_json(report), render_page(report)
    json_path, html_path = folder / "report.json", folder / "report.html"
    write_json(json_path, as_json)
    with atomic_path(html_path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return json_path, html_path


def report_as_json(report: Report) -> dict[str, Any]:
    """Every number of the report, without the pictures; what is not a number is null.

    Returns:
        title, lead, facts, provenance, claims, weaknesses, shortfalls, and `blocks`: key -> the block, with its kind
        and section.
    """
    blocks: dict[str, Any] = {}
    for section in report.sections:
        for block in section.blocks:
            if block.key in blocks:
                raise ValueError(f"two blocks of the report have the key {block.key!r}; expected each key once")
            blocks[block.key] = {"kind": type(block).__name__, "section": section.title, **_plain(block)}
    return {
        "title": report.title,
        "lead": report.lead,
        "facts": report.facts,
        "provenance": _plain(report.provenance),
        "claims": [_plain(claim) for claim in report.claims],
        "weaknesses": [_plain(found) | {"verdict": found.verdict} for found in report.weaknesses()],
        "shortfalls": [_plain(found) for found in report.shortfalls()],
        "headline": list(report.headline),
        "blocks": blocks,
    }


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        names = [item.name for item in dataclasses.fields(value) if item.name != "picture"]
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def headline_tables(report: Report, metrics: int = 5) -> list[Table]:
    """The headline boards for 80 columns: the first few metrics, and how far ahead our first system is."""
    boards = {block.key: block for block in report.blocks() if isinstance(block, Board)}
    return [_terminal_table(boards[key], boards[key].metrics[:metrics]) for key in report.headline if key in boards]


def _terminal_table(board: Board, metrics: tuple[str, ...]) -> Table:
    table = Table(title=f"{board.title} ({board.requests:,} requests)", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("")
    for metric in metrics:
        table.add_column(label(metric), justify="right")
    for row in board.rows:
        means = {metric: row.means.get(metric, math.nan) for metric in metrics}
        texts = {metric: "" if math.isnan(mean) else f"{mean:.3f}" for metric, mean in means.items()}
        cells = [f"[bold]{text}[/bold]" if board.best(metric) == row.system else text for metric, text in texts.items()]
        table.add_row(row.system, *cells, style={"ours": "", "baseline": "dim", "oracle": "italic dim"}[row.role])
    compared = next((item.system for item in board.comparisons), None)
    if compared is not None:
        found = [board.comparison(metric, compared) for metric in metrics]
        table.add_section()
        table.add_row(f"{compared} less", *(item.against if item else "" for item in found), style="dim")
        table.add_row("", *(f"{item.difference.estimate:+.3f}" if item else "" for item in found))
        table.add_row("95 % from", *(f"{item.difference.low:+.3f}" if item else "" for item in found), style="dim")
        table.add_row("to", *(f"{item.difference.high:+.3f}" if item else "" for item in found), style="dim")
    return table
