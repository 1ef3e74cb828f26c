"""What a run's report comes to, on the terminal: the headline tables, and what was claimed."""

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from catalog.files import read_json
from evaluation.glossary import label
from pipelines.workspace import Workspace

_VERDICTS = {True: "[green]met[/green]", False: "[red]MISSED[/red]", None: ""}


def print_report(workspace: Workspace, console: Console) -> None:
    """Print the tables of the workspace's report.json, and where the page is."""
    report = read_json(workspace / "report.json")
    for table in (*headline_tables(report), claims_table(report)):
        console.print(table)
    # One line each, so that a path is whole.
    for name, path in (("report", workspace / "report.html"), ("figures", workspace / "report.json")):
        console.print(f"{name}: {path}", markup=False, soft_wrap=True)


def headline_tables(report: dict[str, Any]) -> list[Table]:
    """The means of every system, a table a task."""
    tables = []
    for key in report["headline"]:
        block = report["blocks"][key]
        table = Table(title=f"{block['title']} ({block['requests']:,} requests)", title_justify="left")
        table.add_column("")
        for metric in block["metrics"]:
            table.add_column(label(metric), justify="right")
        for row in block["rows"]:
            means = [row["means"].get(metric) for metric in block["metrics"]]
            table.add_row(row["system"], *("" if mean is None else f"{mean:.3f}" for mean in means))
        tables.append(table)
    return tables


def claims_table(report: dict[str, Any]) -> Table:
    """What was to be shown, and where it was missed; what was measured, the bar, and whether it was met."""
    table = Table(title="What is claimed, with 95 % intervals", title_justify="left")
    for column in ("", "measured", "bar", ""):
        table.add_column(column)
    for claim in report["claims"]:
        text = escape(claim["text"]) + (f"\n[dim]{escape(claim['detail'])}[/dim]" if claim["detail"] else "")
        table.add_row(text, escape(claim["measured"]), escape(claim["bar"]), _VERDICTS[claim["met"]])
    return table
