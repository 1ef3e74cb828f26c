"""The index's chapter from measurements by hand."""

import math

import pytest

from pipelines.index_part import index_blocks


def measurement(index, recall, per_second, leaves=0, searched=0, reorder=0):
    return {
        "index": index, "leaves": leaves, "leaves_to_search": searched, "reorder": reorder, "recall": recall,
        "latency_ms": None, "queries_per_second": per_second, "build_seconds": 1.0,
    }  # fmt: skip


MEASURED = [
    measurement("exact", 1.0, 100.0),
    measurement("scann", 0.9, 2000.0, 50, 2, 300),
    measurement("scann", 0.8, 1000.0, 50, 2, 500),  # slower and worse than the one above
    measurement("scann", 0.99, 500.0, 50, 9, 500),
]


def tuning(**chosen):
    return {
        "measurements": MEASURED, "chosen": chosen, "recall_target": 0.99, "k": 200, "products": 40_000, "queries": 500
    }  # fmt: skip


def test_what_another_setting_beats_is_not_shown():
    curve, table = index_blocks(tuning(kind="scann", leaves=50, leaves_to_search=9, reorder=500))
    assert [row[4] for row in table.rows] == [0.9, 0.99, 1.0]
    assert table.highlight == 1
    assert "Of 4 settings measured" in table.note
    # Milliseconds a query: 1000 / queries a second.
    assert curve.x == pytest.approx((0.5, 1.0, 2.0, 10.0))
    drawn = {name: [value for value in values if not math.isnan(value)] for name, values in curve.series.items()}
    assert drawn == {"ScaNN, 50 leaves": [0.9, 0.99], "exact": [1.0], "chosen": [0.99]}
    assert curve.series["exact"][3] == 1.0


def test_exact_search_may_be_what_was_chosen():
    curve, table = index_blocks(tuning(kind="exact", leaves=1, leaves_to_search=1, reorder=1))
    assert table.rows[table.highlight][0] == "exact"
    assert curve.series["chosen"][3] == 1.0


def test_an_index_that_was_not_measured_has_no_chapter():
    assert index_blocks(tuning(kind="exact") | {"measurements": []}) == ()
