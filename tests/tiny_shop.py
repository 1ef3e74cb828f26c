"""The smallest simulated shop that a whole run gets through, and the settings that make the run short."""

from pathlib import Path
from typing import Any

from catalog.simulate import SimulateConfig, simulate

CONFIG: dict[str, Any] = {
    "name": "tiny",
    "ingest": {"image_size": 32},
    "splits": {"rerank_days": 4, "validation_days": 3, "test_days": 3},
    "images": {"size": 32},
    "towers": {
        "dim": 16,
        "text": {"vocab_size": 600, "product_tokens": 24, "query_tokens": 8},
        "history": {"length": 8, "search_length": 8, "blocks": 1},
        "training": {
            "epochs": 2,
            "steps_per_epoch": 4,
            "search_examples": 32,
            "next_items": 32,
            "catalogue_queries": 32,
            "mixed_negatives": 32,
        },
    },
    "index": {"k": 20, "latency_calls": 5, "queries": 50},
    "rerank": {"history_length": 8, "epochs": 2, "deep_units": [16], "list_length": 24},
    "release": {"candidates": 20, "results": 10},
}


def simulate_tiny_shop(folder: Path) -> Path:
    """The folder of its tables, products.parquet and events.parquet among them."""
    config = SimulateConfig(products=160, shoppers=220, days=21, judged_queries=5, picture_pixels=48)
    simulate(config, folder / "raw", folder / "truth")
    return folder / "raw"
