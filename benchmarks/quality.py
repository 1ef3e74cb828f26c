"""Quality of a whole run: every system in one table, against the simulator's truth where there is one.

    .venv/bin/python -m benchmarks.quality --config pipelines/configs/fashion.yaml --source FASHION.zip

Runs what `tandem run` has not finished yet, then prints the headline tables, what was to be shown, and as its last line
JSON. All of it, by slice and with pictures, is in the run's report.html.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from pathlib import Path

from rich.console import Console

from benchmarks.outcome import add_out, finish
from catalog.errors import TandemError
from catalog.files import read_json
from pipelines.config import load_config
from pipelines.demo import report_tables
from pipelines.run import run_pipeline


def main() -> None:
    """Run what is missing, print the tables and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    add_out(parser)
    arguments = parser.parse_args()
    try:
        workspace = run_pipeline(load_config(arguments.config, arguments.source))
    except TandemError as error:
        sys.exit(f"error: {error}")
    report = read_json(workspace / "report.json")
    console = Console(stderr=True, width=140)
    for table in report_tables(workspace / "report.json"):
        console.print(table)
    for claim in report["claims"]:
        console.print(f"{claim['text']}: {claim['measured']}; bar: {claim['bar']}; met: {claim['met']}", markup=False)
    means = {key: {row["system"]: row["means"] for row in report["blocks"][key]["rows"]} for key in report["headline"]}
    finish("quality", {"config": workspace.config.name, "means": means, "claims": report["claims"]}, arguments.out)


if __name__ == "__main__":
    main()
