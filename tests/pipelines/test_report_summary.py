"""The tables that a run ends with."""

from pathlib import Path
from typing import Any, cast

from rich.console import Console

from catalog.files import write_json
from pipelines.report_summary import print_report
from pipelines.workspace import Workspace

REPORT: dict[str, Any] = {
    "headline": ["search"],
    "blocks": {
        "search": {
            "title": "Search, against the truth",
            "requests": 1234,
            "metrics": ["ndcg@10", "recall@100"],
            "rows": [
                {"system": "Tandem", "means": {"ndcg@10": 0.84561, "recall@100": None}},
                {"system": "BM25", "means": {"ndcg@10": 0.5}},
            ],
        },
        "slices": {},
    },
    "claims": [
        {
            "text": "Ahead of BM25",
            "measured": "0.34 [0.3, 0.4]",
            "bar": "interval above zero",
            "met": True,
            "detail": "",
        },
        {
            "text": "Calibrated",
            "measured": "0.7 to 1.0",
            "bar": "0.9 to 1.1 in each",
            "met": False,
            "detail": "Out: [1]",
        },
        {"text": "Users", "measured": "12", "bar": "", "met": None, "detail": ""},
    ],
}


def test_headline_claims_and_where_the_report_is(tmp_path: Path) -> None:
    write_json(tmp_path / "report.json", REPORT)
    console = Console(width=120, record=True, force_terminal=False)
    print_report(cast(Workspace, tmp_path), console)
    said = console.export_text()
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]
    assert cells == [
        ["Tandem", "0.846", ""],
        ["BM25", "0.500", ""],
        ["Ahead of BM25", "0.34 [0.3, 0.4]", "interval above zero", "met"],
        ["Calibrated", "0.7 to 1.0", "0.9 to 1.1 in each", "MISSED"],
        ["Out: [1]", "", "", ""],
        ["Users", "12", "", ""],
    ]
    assert "Search, against the truth (1,234 requests)" in " ".join(said.split())
    assert f"report: {tmp_path / 'report.html'}\n" in said
    assert f"figures: {tmp_path / 'report.json'}\n" in said
