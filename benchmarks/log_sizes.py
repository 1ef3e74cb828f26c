"""How much log it takes: one made-up shop with ever more shoppers, beside what learns less or nothing from a log.

    .venv/bin/python -m benchmarks.log_sizes --config pipelines/configs/demo.yaml --shoppers 50 150 500 1500 --out FILE

Runs the whole path for each number of shoppers in a workspace of its own, runs/<name>-<shoppers>-shoppers, which a
second call goes on in; the shop's products are the same. Every run is judged against the simulator's truth on its own
test days, so that small logs have few requests and wide intervals. Prints a table and, as its last line, JSON.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks.outcome import add_out, finish
from catalog.config import parse_config
from catalog.errors import ConfigError, TandemError
from catalog.files import read_json
from catalog.progress import output_console
from pipelines.config import PipelineConfig, load_config
from pipelines.run import run_pipeline

_SYSTEMS = ("Tandem", "LightGBM", "BM25", "popularity")
_METRICS = {"search_truth": ("ndcg@10", "recall@100"), "recommendation_truth": ("recall@100",)}


def main() -> None:
    """Run every size and print what it came to."""
    arguments = _arguments()
    try:
        config = load_config(arguments.config)
        if config.simulate is None:
            raise ConfigError(f"{arguments.config}: has no `simulate`; expected a shop whose shoppers are made up")
        sizes = {count: size(config, count) for count in sorted(set(arguments.shoppers))}
    except TandemError as error:
        sys.exit(f"error: {error}")
    output_console().print(table(sizes))
    finish("log_sizes", {"config": config.name, "sizes": sizes}, arguments.out)


def size(config: PipelineConfig, shoppers: int) -> dict[str, Any]:
    """Run the shop with so many shoppers: what was logged, how long the towers learned, and the means."""
    values = config.model_dump(mode="json")
    name = f"{config.name}-{shoppers}-shoppers"
    own = {"name": name, "workspace": None, "models_dir": f"runs/{name}/saved_models"}
    workspace = run_pipeline(
        parse_config(PipelineConfig, values | own | {"simulate": values["simulate"] | {"shoppers": shoppers}}, name)
    )
    return summary(read_json(workspace / "report.json"), read_json(workspace / "towers" / "metrics.json"))


def summary(report: dict[str, Any], towers: dict[str, Any]) -> dict[str, Any]:
    """Of a report.json and the towers' metrics.json.

    Returns:
        `interactions`, `updates` and `means`: board -> metric -> system -> mean, with `requests` of each board.
    """
    boards = {key: report["blocks"][key] for key in _METRICS if key in report["blocks"]}
    return {
        "interactions": report["facts"]["interactions"],
        "updates": towers["steps"],
        "requests": {key: board["requests"] for key, board in boards.items()},
        "means": {
            key: {
                metric: {row["system"]: row["means"][metric] for row in board["rows"] if row["system"] in _SYSTEMS}
                for metric in _METRICS[key]
            }
            for key, board in boards.items()
        },
    }


def table(sizes: dict[int, dict[str, Any]]) -> Table:
    """A row for each size and system."""
    columns = [(key, metric) for key, metrics in _METRICS.items() for metric in metrics]
    made = Table(title="By how many shoppers there are", title_justify="left")
    for title in ("shoppers", "interactions", "updates", "", *(f"{key.split('_')[0]} {m}" for key, m in columns)):
        made.add_column(title, justify="right")
    for count, found in sizes.items():
        for place, system in enumerate(_SYSTEMS):
            about = (f"{count:,}", f"{found['interactions']:,}", f"{found['updates']:,}") if not place else ("", "", "")
            means = [found["means"].get(key, {}).get(metric, {}).get(system) for key, metric in columns]
            made.add_row(*about, system, *("" if mean is None else f"{mean:.3f}" for mean in means))
    return made


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the YAML file of a shop whose shoppers are made up")
    parser.add_argument("--shoppers", type=int, nargs="+", default=[50, 150, 500, 1500], help="how many, each a run")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
