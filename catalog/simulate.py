"""A shop that does not exist: products with rendered pictures, shoppers, searches, clicks.

`simulate` works on nothing (`products > 0`: it makes a catalogue up) and on a real catalogue (`products == 0`: it reads
raw/products.parquet). What it is, and what it can and cannot tell about a real shop: docs/simulator.md.
"""

from pathlib import Path

from catalog.simulation.settings import VERSION, SimulateConfig

__all__ = ["VERSION", "SimulateConfig", "simulate"]


def simulate(config: SimulateConfig, raw_dir: Path, truth_dir: Path) -> None:
    """Simulate a shop.

    Writes raw/{products,events,users,judgments}.parquet, as a shop would bring them, and the truth behind them,
    which only evaluation may read. On a real catalogue raw/products.parquet is rewritten with prices (where it has
    none), launch dates, ratings and stock. The same settings and catalogue give the same bytes.

    Args:
        config: the shop. raw_dir: folder of the raw tables. truth_dir: folder that `catalog.truth.Truth.load` reads.

    Raises:
        ArtifactError: if `products` is 0 and raw/products.parquet is missing or not readable.
        DataError: if it holds no products, or a product twice.
    """
    from catalog.simulation.stages import run

    run(config, raw_dir, truth_dir)
