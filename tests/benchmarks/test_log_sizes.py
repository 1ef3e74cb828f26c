"""What is read of a run of each size."""

import sys
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import log_sizes
from benchmarks.log_sizes import summary, table

REPORT = {
    "facts": {"interactions": 900},
    "blocks": {
        "search_truth": {
            "requests": 31,
            "rows": [
                {"system": "Tandem", "means": {"ndcg@10": 0.75, "recall@100": 0.5, "ctr@10": 0.1}},
                {"system": "ALS", "means": {"ndcg@10": 0.4, "recall@100": 0.3, "ctr@10": 0.1}},
                {"system": "BM25", "means": {"ndcg@10": 0.7, "recall@100": None, "ctr@10": 0.1}},
            ],
        },
    },
}


def test_a_size_is_what_was_logged_how_long_towers_learned_and_the_means() -> None:
    assert summary(REPORT, {"steps": 160, "best_epoch": 3}) == {
        "interactions": 900,
        "updates": 160,
        "requests": {"search_truth": 31},
        "means": {
            "search_truth": {
                "ndcg@10": {"Tandem": 0.75, "BM25": 0.7},
                "recall@100": {"Tandem": 0.5, "BM25": None},
            },
        },
    }


def test_the_table_has_a_row_for_each_size_and_system() -> None:
    console = Console(width=160, record=True, force_terminal=False)
    console.print(table({50: summary(REPORT, {"steps": 160})}))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert [row for row in rows if row] == [
        ["50", "900", "160", "Tandem", "0.750", "0.500", ""],
        ["", "", "", "LightGBM", "", "", ""],
        ["", "", "", "BM25", "0.700", "", ""],
        ["", "", "", "popularity", "", "", ""],
    ]


def test_a_shop_whose_shoppers_are_not_made_up_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "shop.yaml"
    config.write_text(f"name: shop\nsource: {{kind: files, path: {tmp_path}}}\n")
    monkeypatch.setattr(sys, "argv", ["log_sizes", "--config", str(config)])
    with pytest.raises(SystemExit, match=r"has no `simulate`; expected a shop whose shoppers are made up"):
        log_sizes.main()
