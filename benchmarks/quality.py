"""Quality of a whole run: every system in one table, against the simulator's truth where there is one.

    .venv/bin/python -m benchmarks.quality --config pipelines/configs/fashion.yaml --source FASHION.zip

Runs what `tandem run` has not finished yet, then prints the headline tables, what was to be shown, and as its last line
JSON: headline means and differences, what was to be shown, and the tables that tell of parts: slices, languages, cold
start, length of history, masked modalities, recall by k, duplicates, the index, calibration, importance, examination.
All of it, with pictures, is in the run's report.html.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from benchmarks.outcome import add_out, finish
from catalog.errors import ConfigError, TandemError
from catalog.files import read_json
from pipelines.config import load_config
from pipelines.run import run_pipeline

_PARTS = (
    "*_slices", "*_languages", "*_taught", "*_cold_start", "*_by_history", "*_history_gap", "*_recall", "*_masks",
    "*_duplicates_once", "attribute_queries", "index*", "calibration", "heads", "importance", "examination",
)  # fmt: skip
_FOR_THE_PAGE = {
    "kind", "section", "key", "title", "note", "x_label", "y_label", "log_x", "dashed", "from_zero", "highlight",
}  # fmt: skip
_DECIMALS = 5


def evidence(report: dict[str, Any]) -> dict[str, Any]:
    """Of a report.json: the headline's means and differences, the claims, and the blocks that tell of parts.

    Args:
        report: as `evaluation.report.report_as_json` has it; a block that it does not hold is left out.

    Returns:
        `means`: board -> system -> metric -> mean. `differences`: board -> rows of metric, system, against, difference
        and ratio. `claims`. `parts`: key -> the block without its words. Intervals are [estimate, from, to].
    """
    boards = {key: report["blocks"][key] for key in report["headline"]}
    parts = {key: block for key, block in report["blocks"].items() if any(fnmatch(key, part) for part in _PARTS)}
    return {
        "means": {key: {row["system"]: row["means"] for row in board["rows"]} for key, board in boards.items()},
        "differences": {key: _compact(board["comparisons"]) for key, board in boards.items()},
        "claims": report["claims"],
        "provenance": report["provenance"],
        "parts": {
            key: {name: _compact(value) for name, value in block.items() if name not in _FOR_THE_PAGE}
            for key, block in parts.items()
        },
    }


def _compact(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() >= {"estimate", "low", "high"}:
        return [_compact(value[name]) for name in ("estimate", "low", "high")]
    if isinstance(value, dict):
        return {name: _compact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_compact(item) for item in value]
    return round(value, _DECIMALS) if isinstance(value, float) else value


def main() -> None:
    """Run what is missing, print the tables and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    add_out(parser)
    arguments = parser.parse_args()
    try:
        config = load_config(arguments.config, arguments.source)
        if config.release.snapshot != "test":
            raise ConfigError(
                f"{arguments.config}: release.snapshot is {config.release.snapshot!r}, whose counters have seen the "
                "test days; expected 'test', the only one that is judged"
            )
        workspace = run_pipeline(config)
        report = read_json(workspace / "report.json")
    except TandemError as error:
        sys.exit(f"error: {error}")
    finish("quality", {"config": workspace.config.name, **evidence(report)}, arguments.out)


if __name__ == "__main__":
    main()
