"""The chapter about the index: what was measured when it was tuned, and where the product vectors lie."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evaluation.boards import Cell, Curve, PlainTable
from evaluation.embedding_map import make_map
from evaluation.projector import write_projector
from evaluation.report import Drawing
from pipelines.judging import Shop
from towers.index_config import scann_label

_COLUMNS = ("index", "leaves", "leaves_to_search", "reorder", "recall", "latency_ms", "queries_per_second")


def index_blocks(tuning: dict[str, Any]) -> tuple[PlainTable | Curve, ...]:
    """The measurements that nothing beats in recall and time at once, as a curve and as a table.

    Args:
        tuning: of the run's index/tuning.json.
    """
    measured = tuning["measurements"]
    if not measured:
        return ()
    best = [row for row in measured if _is_worth_showing(row, measured, tuning["chosen"])]
    return (_curve(measured, tuning), _table(best, len(measured), tuning))


def space_blocks(shop: Shop, vectors: npt.NDArray[np.float32], seed: int) -> tuple[Drawing, ...]:
    """The product vectors on a plane, coloured by the first part of the category path.

    Args:
        vectors: [N, D], of the released product tower.
    """
    from evaluation.plots import map_svg  # Brings Matplotlib, which only the page needs.

    if len(vectors) < 2:
        return ()
    drawn = make_map(vectors, np.array(_top_categories(shop), dtype=object), seed=seed)
    note = (
        f"Principal components of the released product vectors, {len(drawn.places):,} products, coloured by the first "
        f"part of the category. {drawn.agreement:.1%} of the products have a nearest neighbour of their own colour; by "
        f"chance it would be {drawn.chance:.1%}. To look closer: tensorboard --logdir with the run's folder projector/."
    )
    numbers = {
        "points": float(len(drawn.places)),
        "variance_first_axis": drawn.explained[0],
        "variance_second_axis": drawn.explained[1],
        "neighbour_of_own_category": drawn.agreement,
        "by_chance": drawn.chance,
    }
    return (Drawing("embedding_map", "Map of the product vectors", note, numbers, map_svg(drawn)),)


def write_space(folder: Path, shop: Shop, vectors: npt.NDArray[np.float32], seed: int) -> None:
    """The product vectors with titles, categories and pictures, for TensorBoard's projector."""
    products = shop.data.products
    metadata = {name: products.column(name).to_pylist() for name in ("product_id", "title", "category", "brand")}
    metadata["department"] = _top_categories(shop)
    metadata["price"] = products.column("price").to_pylist()
    image_rows = products.column("image_row").to_numpy()
    write_projector(folder, vectors, metadata, image_rows, shop.data.images, seed=seed)


def _top_categories(shop: Shop) -> list[str]:
    return [path.split(">", 1)[0].strip() for path in shop.data.products.column("category").to_pylist()]


def _milliseconds(row: dict[str, Any]) -> float:
    """Time a query takes in a batch."""
    return float(1000 / row["queries_per_second"])


def _is_worth_showing(row: dict[str, Any], measured: list[dict[str, Any]], chosen: dict[str, Any]) -> bool:
    beaten = any(
        other["recall"] >= row["recall"] and other["queries_per_second"] > row["queries_per_second"]
        for other in measured
    )
    return not beaten or row["leaves"] == 0 or _is_chosen(row, chosen)


def _is_chosen(row: dict[str, Any], chosen: dict[str, Any]) -> bool:
    if chosen["kind"] != "scann":
        return bool(row["index"] == chosen["kind"])
    return row["index"] == "scann" and all(
        row[name] == chosen[name] for name in ("leaves", "leaves_to_search", "reorder")
    )


def _curve(measured: list[dict[str, Any]], tuning: dict[str, Any]) -> Curve:
    x = tuple(sorted({_milliseconds(row) for row in measured}))
    series = {}
    for leaves in sorted({row["leaves"] for row in measured if row["leaves"]}):
        rows = [row for row in measured if row["leaves"] == leaves]
        front = [row for row in rows if _is_worth_showing(row, rows, {"kind": ""})]
        series[scann_label(leaves)] = _at(x, front)
    for name in dict.fromkeys(row["index"] for row in measured if not row["leaves"]):
        series[name] = _at(x, [row for row in measured if row["index"] == name])
    chosen = [row for row in measured if _is_chosen(row, tuning["chosen"])]
    if chosen:
        series["chosen"] = _at(x, chosen)
    note = f"The best settings measured, {tuning['products']:,} products, {tuning['queries']:,} queries in batches."
    title, label = "Index: quality against time", f"recall of the exact first {tuning['k']}"
    return Curve(
        "index_curve", title, note, "milliseconds a query", label, x, series,
        log_x=True, dashed=("chosen",), from_zero=False,
    )  # fmt: skip


def _at(x: tuple[float, ...], rows: list[dict[str, Any]]) -> tuple[float, ...]:
    recall = {_milliseconds(row): float(row["recall"]) for row in rows}
    return tuple(recall.get(value, math.nan) for value in x)


def _table(rows: list[dict[str, Any]], measured: int, tuning: dict[str, Any]) -> PlainTable:
    rows = sorted(rows, key=lambda row: -float(row["queries_per_second"]))
    cells: tuple[tuple[Cell, ...], ...] = tuple(tuple(row[name] for name in _COLUMNS) for row in rows)
    highlight = next((place for place, row in enumerate(rows) if _is_chosen(row, tuning["chosen"])), None)
    note = (
        f"Chosen for a recall of {tuning['recall_target']} at the least latency. Of {measured:,} settings measured "
        "those that no other beats in recall and speed at once, and exact search; all are in index/tuning.json."
    )
    return PlainTable("index", "Index: recall against latency", note, _COLUMNS, cells, highlight)
