"""Training throughput of the towers: examples a second, once traced, on the data of a finished run.

    .venv/bin/python -m benchmarks.training           the demo shop, made by `make demo`
    .venv/bin/python -m benchmarks.training --config CONFIG --steps 100

Trains two short epochs into a temporary folder and times the second; the first traces the graph. Prints a table and,
as its last line, JSON. It does not say how good the towers become; `benchmarks/quality.py` does.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.outcome import add_out, finish
from catalog.errors import ArtifactError, TandemError
from catalog.feature_store import FeatureStore
from catalog.files import read_json
from catalog.schema import ShopData
from pipelines.config import load_config
from pipelines.run import config_path
from pipelines.workspace import open_workspace


def measure(config_file: Path, steps: int) -> dict[str, object]:
    """Train `steps` steps after as many to warm up; ArtifactError if the run's features are not there."""
    from towers.train import train

    config = load_config(config_file)
    workspace = open_workspace(config)
    if not (workspace / "images" / "embeddings.npy").exists():
        raise ArtifactError(
            f"{workspace.root} has no features and pictures yet; run `tandem run -c {config_file}` first"
        )
    short = config.towers.training.model_copy(update={"epochs": 2, "steps_per_epoch": steps, "patience": 2})
    towers = config.towers.model_copy(update={"training": short})
    shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
    with tempfile.TemporaryDirectory(prefix="tandem-benchmark-") as folder:
        train(shop, features, workspace / "images", towers, Path(folder))
        epoch = read_json(Path(folder) / "metrics.json")["epochs"][-1]
    return {
        "config": config.name,
        "products": features.n_products,
        "steps": steps,
        "examples_per_second": round(epoch["examples_per_second"], 1),
        "steps_per_second": round(steps / epoch["seconds"], 2),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def main() -> None:
    """Measure, print the table and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=config_path("demo"), help="a finished run's YAML file")
    parser.add_argument("--steps", type=int, default=50, help="steps that are timed")
    add_out(parser)
    arguments = parser.parse_args()
    try:
        measured = measure(arguments.config, arguments.steps)
    except TandemError as error:
        sys.exit(f"error: {error}")
    table = Table(title="Training throughput of the towers", title_justify="left")
    for name in measured:
        table.add_column(name, justify="right")
    table.add_row(*map(str, measured.values()))
    Console(stderr=True).print(table)
    finish("training", measured, arguments.out)


if __name__ == "__main__":
    main()
