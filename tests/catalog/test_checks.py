"""Every way in which a cell or a row can be wrong, and what is said of it."""

import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.checks import check_cells, first_only, kept_rows, report_faults, require_columns
from catalog.errors import DataError
from catalog.readers import Batch, Unread
from catalog.rejects import Rejects
from catalog.schema import EVENT_COLUMNS, PRODUCT_COLUMNS

DAY = 86_400
GOOD_PRODUCT = {"product_id": "p", "title": "t"}
GOOD_EVENT = {"user_id": "u", "session_id": "s", "timestamp": "2026-01-01", "kind": "click", "product_id": "p"}


def batch_of(cells, unread=()):
    table = cells if isinstance(cells, pa.Table) else pa.Table.from_pylist(cells)
    return Batch(table, np.arange(1, table.num_rows + 1), frozenset(table.column_names), tuple(unread))


def reported(table, file, batch, checked):
    """The rejects of one batch."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rejects.parquet"
        with Rejects(path) as rejects:
            report_faults(rejects, table, file, batch, checked)
        return pq.read_table(path).to_pylist()


def reasons(columns, row):
    """Check one row; what is wrong with it, by column."""
    batch = batch_of([row])
    checked = check_cells(batch, columns)
    found = {item["column"]: item["reason"] for item in reported("table", "file", batch, checked)}
    assert bool(found) != bool(kept_rows(checked, batch)[0])
    return found


def values(columns, row):
    """Check one good row; its typed cells."""
    assert reasons(columns, row) == {}
    return {name: cells[0].as_py() for name, cells in check_cells(batch_of([row]), columns).columns.items()}


def test_a_product_of_nothing_but_what_is_required_gets_the_defaults():
    product = values(PRODUCT_COLUMNS, GOOD_PRODUCT)
    assert np.isnan(product.pop("price"))
    assert np.isnan(product.pop("rating_average"))
    assert product == {
        "product_id": "p", "title": "t", "description": "", "category": "", "brand": "", "attributes": "{}",
        "currency": "", "image": "", "in_stock": True, "created_at": None, "rating_count": 0, "review_text": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("product_id", "", "the cell is empty"),
        ("product_id", None, "the cell is empty"),
        ("product_id", "x" * 513, "longer than 512 characters"),
        ("title", "  ", "the cell is empty"),
        ("title", ["a", "list"], "expected text"),
        ("title", "x" * 10_001, "longer than 10,000 characters"),
        ("description", "长" * 1_000_001, "longer than 1,000,000 characters"),
        ("price", "cheap", "expected a number"),
        ("price", "12,50", "expected a number"),
        ("price", "inf", "expected a number from 0 to"),
        ("price", float("inf"), "expected a number from 0 to"),
        ("price", -0.01, "expected a number from 0 to"),
        ("price", 1e300, "expected a number from 0 to"),
        ("price", [1.0], "expected a number"),
        ("price", True, "expected a number"),
        ("rating_average", 5.1, "expected a number from 0 to 5"),
        ("rating_average", -1, "expected a number from 0 to 5"),
        ("rating_count", 1.5, "expected a whole number"),
        ("rating_count", -1, "expected a number from 0 to"),
        ("rating_count", 10**18, "expected a number from 0 to"),
        ("rating_count", "many", "expected a whole number"),
        ("in_stock", "perhaps", "expected true or false"),
        ("in_stock", 2, "expected true or false"),
        ("attributes", "red", "expected a JSON object"),
        ("attributes", '["red"]', "expected a JSON object"),
        ("attributes", 3, "expected a JSON object"),
        ("created_at", "soon", "not a time"),
        ("created_at", True, "not a time"),
        ("created_at", 0, "before 1990"),
        ("created_at", "2999-01-01", "more than 731 day"),
    ],
)
def test_products_that_are_refused(column, cell, reason):
    found = reasons(PRODUCT_COLUMNS, GOOD_PRODUCT | {column: cell})
    assert list(found) == [column]
    assert found[column].startswith(reason) or reason in found[column]


@pytest.mark.parametrize(
    ("column", "cell", "value"),
    [
        ("product_id", 7, "7"),
        ("price", "19.90", 19.9),
        ("price", 0, 0.0),
        ("rating_average", 5, 5.0),
        ("rating_count", "12.0", 12),
        ("rating_count", float("nan"), 0),
        ("in_stock", "No", False),
        ("attributes", {"b": 1, "a": "红"}, '{"a": "红", "b": 1}'),
        ("title", "  Kleid für 夏天 👗 ", "Kleid für 夏天 👗"),
    ],
)
def test_products_that_are_kept(column, cell, value):
    assert values(PRODUCT_COLUMNS, GOOD_PRODUCT | {column: cell})[column] == value


@pytest.mark.parametrize("cell", [float("nan"), "nan", "", None])
def test_a_price_that_is_missing_is_unknown_however_it_was_written(cell):
    assert np.isnan(values(PRODUCT_COLUMNS, GOOD_PRODUCT | {"price": cell})["price"])


@pytest.mark.parametrize(
    ("column", "cell", "reason"),
    [
        ("user_id", "", "the cell is empty"),
        ("session_id", None, "the cell is empty"),
        ("kind", "buy", "unknown kind; known: impression, view, click, cart, favourite, purchase"),
        ("kind", "", "the cell is empty"),
        ("timestamp", "", "the cell is empty"),
        ("timestamp", "noon", "not a time"),
        ("timestamp", 9e18, "more than 1 day(s) in the future"),  # as nanoseconds, 2255
        ("timestamp", "9999-12-31", "more than 1 day(s) in the future"),  # 2.5e17 microseconds
        ("timestamp", 1_767_348_000_000_000, "looks like microseconds since 1970; divide by 1,000 for"),
        ("timestamp", "1767348000123456", "looks like microseconds"),
        ("timestamp", 1_767_348_000_000_000_000, "looks like nanoseconds since 1970; divide by 1,000,000 for"),
        ("timestamp", -5, "before 1990"),
        ("position", -1, "expected a number from 0 to 1,000,000"),
        ("position", 1e12, "expected a number from 0 to 1,000,000"),
        ("position", "first", "expected a whole number"),
        ("query", "q" * 10_001, "longer than 10,000 characters"),
    ],
)
def test_events_that_are_refused(column, cell, reason):
    found = reasons(EVENT_COLUMNS, GOOD_EVENT | {column: cell})
    assert list(found) == [column]
    assert reason in found[column]


def test_broken_bytes_are_told_with_their_column_and_row():
    title = pa.array([b"red", "红".encode("gb18030"), b"\xff"], pa.binary())
    batch = Batch(pa.table({"title": title}), np.array([11, 12, 13]), frozenset({"title"}))
    with pytest.raises(DataError, match="column 'title', row 12: a column of type binary is not UTF-8 text"):
        check_cells(batch, PRODUCT_COLUMNS[1:2])


def test_an_event_may_be_an_hour_ahead_but_not_two_days():
    for ahead, good in ((3600, True), (2 * DAY, False)):
        assert (reasons(EVENT_COLUMNS, GOOD_EVENT | {"timestamp": time.time() + ahead}) == {}) == good


def test_kinds_are_read_in_any_case():
    assert values(EVENT_COLUMNS, GOOD_EVENT | {"kind": " Click"})["kind"] == "click"


def test_one_row_may_have_several_faults_and_its_neighbours_none():
    batch = batch_of([GOOD_EVENT, GOOD_EVENT | {"kind": "buy", "timestamp": "noon"}, GOOD_EVENT])
    checked = check_cells(batch, EVENT_COLUMNS)
    assert kept_rows(checked, batch).tolist() == [True, False, True]
    told = [(item["row"], item["column"], item["value"]) for item in reported("events", "events.csv", batch, checked)]
    assert sorted(told) == [(2, "kind", "buy"), (2, "timestamp", "noon")]


def test_what_the_reader_could_not_read_is_refused_and_told():
    batch = batch_of([GOOD_PRODUCT, GOOD_PRODUCT], [Unread(2, "brand", "{}", "expected one value")])
    checked = check_cells(batch, PRODUCT_COLUMNS)
    assert kept_rows(checked, batch).tolist() == [True, False]
    assert reported("products", "f", batch, checked) == [
        {"table": "products", "file": "f", "row": 2, "column": "brand", "value": "{}", "reason": "expected one value"}
    ]


def test_long_values_are_cut_in_the_report():
    batch = batch_of([GOOD_PRODUCT | {"product_id": "x" * 600}])
    told = reported("products", "f", batch, check_cells(batch, PRODUCT_COLUMNS))
    assert [item["value"] for item in told] == ["x" * 200]


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["productid", "title"], "the nearest it has is 'productid': rename it"),
        (["Product ID", "title"], "the nearest it has is 'Product ID': rename it"),
        (["title"], "add it"),
        (["product_id;title;price"], "not separated by commas"),
    ],
)
def test_a_missing_column_names_the_nearest(names, hint):
    with pytest.raises(DataError, match="has no column 'product_id'") as caught:
        require_columns("products.csv", batch_of([dict.fromkeys(names, "x")]), PRODUCT_COLUMNS)
    assert hint in str(caught.value)


def test_first_only_refuses_repeats_of_kept_rows_over_batches():
    seen = set()
    keep = np.array([False, True, True, True])
    # "a" on a row that was refused does not count as seen.
    assert first_only(["a", "a", "b", "a"], keep, seen).tolist() == [False, False, False, True]
    assert first_only(["b", "c"], np.array([True, True]), seen).tolist() == [True, False]
