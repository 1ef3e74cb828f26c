"""From a shop's files to validated tables: what is kept, what is refused, and what happens when things go wrong."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from rich.console import Console

from catalog import ingest as ingest_module
from catalog import readers, tables
from catalog.config import parse_config
from catalog.errors import ConfigError, DataError, TandemError
from catalog.ingest import IngestConfig, ingest, summary_table, write_examples
from catalog.schema import EVENTS_SCHEMA, PRODUCTS_SCHEMA

EVENTS_HEADER = "user_id,session_id,timestamp,kind,product_id\n"
LOOSE = IngestConfig(max_reject_share=1.0, image_size=16)


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def raw(tmp_path):
    """A shop of three products and three events."""
    folder = tmp_path / "raw"
    (folder / "images").mkdir(parents=True)
    (folder / "images" / "red.png").write_bytes(png("red"))
    (folder / "products.csv").write_text("product_id,title,image\np2,Red dress,red.png\np1,蓝色衬衫,\np3,Hat,red.png\n")
    (folder / "events.csv").write_text(
        EVENTS_HEADER
        + "u1,s1,2026-01-02T10:00:00Z,click,p1\nu1,s1,2026-01-01T23:00:00Z,impression,p2\nu2,s2,1767348000,click,p3\n"
    )
    return folder


def run(raw, config=LOOSE):
    return ingest(raw, raw.parent / "tables", config)


def rejects(raw):
    return pq.read_table(raw.parent / "tables" / "rejects.parquet").to_pylist()


def summary(raw):
    return json.loads((raw.parent / "tables" / "summary.json").read_text())


def printed(raw):
    console = Console(width=200, file=io.StringIO())
    console.print(summary_table(raw.parent / "tables"))
    return console.file.getvalue()


def test_products_are_sorted_by_id_with_their_pictures(raw):
    shop = run(raw)
    assert shop.products.schema.names == PRODUCTS_SCHEMA.names
    assert shop.products.schema.types == PRODUCTS_SCHEMA.types
    assert shop.products["product_id"].to_pylist() == ["p1", "p2", "p3"]
    assert shop.products["image_row"].to_pylist() == [-1, 0, 0]
    assert shop.images.shape == (1, 16, 16, 3)
    assert (shop.images[0] == [255, 0, 0]).all()
    assert rejects(raw) == []


def test_events_are_sorted_by_time_and_ties_keep_their_order(raw):
    # 1767348000 = 2026-01-02T10:00:00Z, the moment of the first row.
    shop = run(raw)
    assert shop.events.schema.names == EVENTS_SCHEMA.names
    assert shop.events.schema.types == EVENTS_SCHEMA.types
    assert shop.events["product_id"].to_pylist() == ["p2", "p1", "p3"]
    assert shop.events["timestamp"][0].as_py() == datetime(2026, 1, 1, 23, tzinfo=UTC)
    assert shop.events["query"].to_pylist() == ["", "", ""]
    assert shop.events["position"].to_pylist() == [0, 0, 0]


def test_a_product_without_a_launch_was_there_on_the_first_day(raw):
    assert set(run(raw).products["created_at"].to_pylist()) == {datetime(2026, 1, 1, tzinfo=UTC)}


def test_the_same_shop_in_any_format_is_the_same(raw, tmp_path):
    expected = run(raw)
    rows = {
        "products": [
            {"product_id": "p2", "title": "Red dress", "image": "red.png"},
            {"product_id": "p1", "title": "蓝色衬衫"},
            {"product_id": "p3", "title": "Hat", "image": "red.png"},
        ],
        "events": [
            {"user_id": user, "session_id": session, "timestamp": at, "kind": kind, "product_id": product}
            for user, session, at, kind, product in [
                ("u1", "s1", 1767348000, "click", "p1"),
                ("u1", "s1", 1767308400, "impression", "p2"),
                ("u2", "s2", 1767348000, "click", "p3"),
            ]
        ],
    }
    for suffix in ("jsonl", "parquet"):
        other = tmp_path / suffix / "raw"
        (other / "images").mkdir(parents=True)
        (other / "images" / "red.png").write_bytes(png("red"))
        for name, items in rows.items():
            if suffix == "jsonl":
                (other / f"{name}.jsonl").write_text("\n".join(json.dumps(item, ensure_ascii=False) for item in items))
            else:
                pq.write_table(pa.Table.from_pylist(items), other / f"{name}.parquet")
        shop = run(other)
        assert shop.products.to_pandas().equals(expected.products.to_pandas())  # where NaN equals NaN
        assert shop.events.equals(expected.events)


def test_pictures_inside_a_parquet_file(raw):
    (raw / "products.csv").unlink()
    cells = pa.array([png("red"), b"broken", None], pa.binary())
    pq.write_table(
        pa.table({"product_id": ["b", "a", "c"], "title": ["t"] * 3, "image": cells}), raw / "products.parquet"
    )
    (raw / "events.csv").write_text(EVENTS_HEADER + "u,s,2026-01-01,view,a\n")
    shop = run(raw, IngestConfig(image_size=16, max_reject_share=0.0))  # a broken picture counts as no refused row
    assert shop.products["image_row"].to_pylist() == [-1, 0, -1]
    (told,) = rejects(raw)
    assert (told["file"], told["row"], told["column"], told["value"]) == ("products.parquet", 2, "image", "6 bytes")
    assert summary(raw)["pictures"] == {"distinct": 1, "broken": 1, "size": 16}


def test_a_broken_picture_costs_its_product_the_picture_only(raw):
    (raw / "images" / "half.png").write_bytes(png("red")[:40])
    (raw / "products.csv").write_text(
        "product_id,title,image\np1,a,half.png\np2,b,../../etc/passwd\np3,c,none.png\np4,d,red.png\n"
    )
    shop = run(raw, IngestConfig(image_size=16, max_reject_share=0.0, max_broken_picture_share=0.75))
    assert shop.products["image_row"].to_pylist() == [-1, -1, -1, 0]
    told = [(item["row"], item["column"], item["value"]) for item in rejects(raw)]
    assert told == [(1, "image", "half.png"), (2, "image", "../../etc/passwd"), (3, "image", "none.png")]


def test_of_two_rows_with_one_id_the_first_is_kept_and_the_other_told(raw):
    (raw / "products.csv").write_text("product_id,title\np1,first\np2,x\np1,second\np3,y\n")
    assert run(raw).products["title"].to_pylist() == ["first", "x", "y"]
    (told,) = rejects(raw)
    assert (told["row"], told["column"], told["value"]) == (3, "product_id", "p1")
    assert "earlier row has the same product_id" in told["reason"]


def test_a_refused_row_does_not_take_the_place_of_a_good_one(raw):
    (raw / "products.csv").write_text("product_id,title,price\np1,bad,-1\np1,good,2\np2,x,1\np3,y,1\n")
    assert run(raw).products["title"].to_pylist() == ["good", "x", "y"]


def test_events_about_unknown_or_refused_products_are_told(raw):
    with (raw / "events.csv").open("a") as events:
        events.write("u1,s1,2026-01-02,click,p9\n")
    assert run(raw).events.num_rows == 3
    (told,) = rejects(raw)
    assert (told["table"], told["row"], told["value"]) == ("events", 4, "p9")
    assert "no such product" in told["reason"]
    assert "keep one that is no longer sold there, with in_stock false" in told["reason"]


def test_rows_are_neither_lost_nor_doubled(raw):
    text = EVENTS_HEADER + "".join(
        f"u,s,{'2026-01-02' if row % 3 else 'noon'},{'click' if row % 5 else 'buy'},p1{',x' if row % 7 == 0 else ''}\n"
        for row in range(1, 211)
    )
    (raw / "events.csv").write_text(text)
    shop = run(raw)
    refused = {item["row"] for item in rejects(raw)}
    assert refused == {row for row in range(1, 211) if row % 3 == 0 or row % 5 == 0 or row % 7 == 0}
    assert shop.events.num_rows == 210 - len(refused)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(40)), batch=st.sampled_from([3, 17, 1000]))
def test_the_order_of_rows_and_the_size_of_batches_change_nothing(raw, order, batch):
    times = 1767348000 + np.arange(40) * 61
    table = pa.table({
        "user_id": [f"u{row % 3}" for row in range(40)], "session_id": ["s"] * 40, "timestamp": times,
        "kind": ["click"] * 40, "product_id": [f"p{row % 3 + 1}" for row in range(40)],
    })  # fmt: skip
    (raw / "events.csv").unlink(missing_ok=True)
    pq.write_table(table, raw / "events.parquet")
    expected = run(raw).events
    pq.write_table(table.take(pa.array(order)), raw / "events.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(readers, "BATCH_ROWS", batch)
        assert run(raw).events.equals(expected)


def test_rows_that_an_open_quote_swallows_count_as_refused(raw):
    rows = ["u,s,2026-01-02,click,p1\n"] * 100
    rows[49] = 'u,s,2026-01-02,click,"p1\n'
    (raw / "events.csv").write_text(EVENTS_HEADER + "".join(rows))
    shop = run(raw)
    assert shop.events.num_rows == 49
    assert summary(raw)["tables"]["events"]["rejected"] == 51
    with pytest.raises(DataError, match=r"events: 51 of 100 rows"):
        run(raw, IngestConfig())


def test_every_row_that_a_stray_quote_swallows_counts_as_refused(raw):
    # Rows 10 to 100 become one cell: `"red dress` opens it, and the quote of `tv 5"` closes it.
    queries = ["dress"] * 9 + ['"red dress'] + ["dress"] * 89 + ['tv 5" wide'] + ["dress"] * 8
    rows = [f"u,s,2026-01-02,click,p1,{query}\n" for query in queries]
    (raw / "events.csv").write_text(EVENTS_HEADER.replace("\n", ",query\n") + "".join(rows))
    assert run(raw).events["query"].to_pylist() == ["dress"] * 17
    assert summary(raw)["tables"]["events"]["rejected"] == 91
    (told,) = rejects(raw)
    assert (told["table"], told["row"], told["column"]) == ("events", 10, "")


def test_texts_of_several_lines_are_read(raw):
    text = 'Soft, warm.\n\nSizes: S, M, L\nCare: "30 degrees", line dry'
    quoted = text.replace('"', '""')
    (raw / "products.csv").write_text(
        f'product_id,title,description,review_text\np1,a,"{quoted}","{quoted}"\np2,b,,\np3,c,,\n'
    )
    shop = run(raw)
    assert shop.products["description"].to_pylist() == [text, "", ""]
    assert shop.products["review_text"].to_pylist() == [text, "", ""]
    assert rejects(raw) == []


def test_an_event_with_a_clock_years_behind_is_told_and_left_out(raw):
    days = [f"u,s,2026-01-{day:02d},click,p1\n" for day in range(1, 29)] * 10
    (raw / "events.csv").write_text(EVENTS_HEADER + "".join([*days, "u,s,1999-01-01,click,p1\n"]))
    shop = run(raw)
    assert shop.events.num_rows == 280
    assert set(shop.products["created_at"].to_pylist()) == {datetime(2026, 1, 1, tzinfo=UTC)}
    assert summary(raw)["tables"]["events"]["rejected"] == 1
    (told,) = rejects(raw)
    assert (told["file"], told["row"], told["column"]) == ("events.csv", 281, "timestamp")
    assert told["value"] == "1999-01-01 00:00:00 UTC"
    # From 2 January 1999 to 31 December 2025: 27 years of 365 days and 7 leap days, less 1 January 1999.
    assert "a wrong clock: 9,861 days without any event" in told["reason"]


def test_a_shop_that_opens_for_a_season_keeps_every_year(raw):
    days = [f"u,s,{year}-0{month}-01,click,p1\n" for year in (2023, 2024, 2025) for month in (6, 7, 8)]
    (raw / "events.csv").write_text(EVENTS_HEADER + "".join(days))
    assert run(raw).events.num_rows == 9
    assert rejects(raw) == []


def test_products_are_sorted_over_batches_and_keep_their_types(raw, monkeypatch):
    monkeypatch.setattr(readers, "BLOCK_BYTES", 64)
    monkeypatch.setattr(tables, "_WRITTEN_ROWS", 2)
    ids = [f"p{row * 3 % 10}" for row in range(10)]
    (raw / "products.csv").write_text("product_id,title\n" + "".join(f"{name},title of {name}\n" for name in ids))
    shop = run(raw)
    assert shop.products["title"].to_pylist() == [f"title of p{row}" for row in range(10)]
    assert shop.products.schema.types == PRODUCTS_SCHEMA.types


def test_a_folder_called_key_and_value_is_no_column(raw, tmp_path):
    shop = ingest(raw, tmp_path / "kind=demo" / "tables", LOOSE)
    assert shop.events["kind"].to_pylist() == ["impression", "click", "click"]
    assert shop.events.schema.types == EVENTS_SCHEMA.types
    assert shop.products.schema.names == PRODUCTS_SCHEMA.names


def test_two_picture_columns_are_an_error(raw):
    (raw / "products.csv").unlink()
    table = pa.table([["p1"], ["t"], ["a.png"], ["b.png"]], ["product_id", "title", "image", "image"])
    pq.write_table(table, raw / "products.parquet")
    with pytest.raises(DataError, match="two columns named 'image'"):
        run(raw)


def test_extra_columns_are_named_in_the_summary_and_left_out(raw):
    (raw / "products.csv").write_text("product_id,title,warehouse,ean\np1,a,7,1\np2,b,7,2\np3,c,7,3\n")
    assert "warehouse" not in run(raw).products.column_names
    assert summary(raw)["tables"]["products"]["ignored_columns"] == ["ean", "warehouse"]


def test_a_part_without_a_column_that_others_have_is_named(raw):
    header, row = EVENTS_HEADER.strip(), "u1,s1,2026-01-02T10:00:00Z,click,p1"
    (raw / "events.csv").unlink()
    (raw / "events").mkdir()
    (raw / "events" / "a.csv").write_text(f"{header},query\n{row},hat\n")
    for name in "bcdef":
        (raw / "events" / f"{name}.csv").write_text(f"{header}\n{row}\n")
    run(raw)
    missing = [f"events/{name}.csv" for name in "bcdef"]
    assert summary(raw)["tables"]["events"]["missing_columns"] == {"query": missing}
    assert summary(raw)["tables"]["products"]["missing_columns"] == {}
    told = "no 'query' in events/b.csv, events/c.csv, events/d.csv and 2 more; other parts have it, and there it counts"
    assert told in printed(raw)


@pytest.mark.parametrize(
    ("grades", "told", "doubtful"),
    [
        ([0, 1, 2, 3], "0 to 3", False),
        ([100, 95, 0], "0 to 100, scaled so that 100 counts as 3", False),
        (
            [0, 1, 2, 3] * 30 + [30],
            "0 to 30, scaled so that 30 counts as 3; but 1 of 121 rows have it, and the next",
            True,
        ),
        ([0, 1, 2, 3] * 30 + [4], "0 to 4", False),
        ([0, 1, 2, 3] * 30 + [30, 30], "0 to 30, scaled so that 30 counts as 3", False),
        ([0, 4, 8, 10] * 30 + [30], "0 to 30, scaled so that 30 counts as 3", False),
        ([0] * 120 + [5], "0 to 5, scaled so that 5 counts as 3", False),
    ],
)
def test_the_scale_of_the_grades_is_told(raw, grades, told, doubtful):
    rows = "".join(f"query {number},p1,{grade}\n" for number, grade in enumerate(grades))
    (raw / "judgments.csv").write_text(f"query,product_id,grade\n{rows}")
    run(raw)
    (line,) = (line for line in printed(raw).splitlines() if line.startswith("│ grades"))
    assert told in line
    assert ("have it" in line) == doubtful == summary(raw)["grades"]["doubtful"]


def test_a_shop_without_judgments_has_no_scale(raw):
    run(raw)
    assert summary(raw)["grades"] is None
    assert "│ grades" not in printed(raw)


@pytest.mark.parametrize(("products", "there"), [("7", "without"), ("7.0", "with")])
def test_ids_that_differ_by_a_point_and_a_zero_are_told_so(raw, products, there):
    other = "7.0" if products == "7" else "7"
    (raw / "products.csv").write_text(f"product_id,title\n{products},a\np1,b\n")
    (raw / "events.csv").write_text(f"{EVENTS_HEADER}u,s,2026-01-01,click,{other}\nu,s,2026-01-01,click,9.0\n")
    with pytest.raises(DataError, match=rf'the same {there} "\.0" at the end; write ids in both as whole numbers'):
        run(raw)
    (raw / "judgments.csv").write_text(f"query,product_id,grade\na,{other},3\na,{products},3\na,{products},2\n")
    with (raw / "events.csv").open("a") as events:
        events.write("u,s,2026-01-01,click,p1\n")
    run(raw)
    told = [(item["table"], item["value"], "whole numbers" in item["reason"]) for item in rejects(raw)]
    assert told == [
        ("judgments", other, True),
        ("judgments", "a", False),
        ("events", other, True),
        ("events", "9.0", False),
    ]


def test_users_and_judgments(raw):
    (raw / "users.jsonl").write_text('{"user_id": "u1", "age": 31, "x": 1}\n{"user_id": "u1"}\n{"user_id": 2}\n')
    (raw / "judgments.csv").write_text(
        "query,product_id,grade\nred dress,p2,3\nred dress,p2,1\nred dress,p9,1\n"
        ",p1,1\nhat,p3,nan\nhat,p3,-1\nhat,p3,2\n"
    )
    shop = run(raw, IngestConfig(max_reject_share=1.0, image_size=16, user_columns=("age",)))
    assert shop.users.to_pylist() == [{"user_id": "u1", "age": "31"}, {"user_id": "2", "age": ""}]
    assert shop.judgments.to_pylist() == [
        {"query": "red dress", "product_id": "p2", "grade": 3.0},
        {"query": "hat", "product_id": "p3", "grade": 2.0},
    ]
    told = [(item["row"], item["column"]) for item in rejects(raw) if item["table"] == "judgments"]
    assert sorted(told) == [(2, "query"), (3, "product_id"), (4, "query"), (5, "grade"), (6, "grade")]


def test_a_declared_profile_column_must_be_there(raw):
    config = IngestConfig(user_columns=("country",))
    with pytest.raises(DataError, match="has no users"):
        run(raw, config)
    (raw / "users.csv").write_text("user_id,contry\nu1,DE\n")
    with pytest.raises(DataError, match=r"no column 'country'.*nearest it has is 'contry'"):
        run(raw, config)


def test_tables_may_come_in_parts(raw):
    text = (raw / "events.csv").read_text().splitlines()
    (raw / "events.csv").unlink()
    (raw / "events").mkdir()
    for number, line in enumerate(text[1:]):
        (raw / "events" / f"day{number}.csv").write_text(f"{text[0]}\n{line}\n")
    (raw / "events" / "day9.csv").write_text(EVENTS_HEADER + "u,s,never,click,p1\n")
    assert run(raw).events.num_rows == 3
    assert [(item["file"], item["row"]) for item in rejects(raw)] == [("events/day9.csv", 1)]


def test_too_many_refused_rows_stop_the_run_with_a_table_of_reasons(raw):
    rows = (
        ["u,s,2026-01-01,impression,p1\n"] * 90 + ["u,s,2026-01-01,impression,p9\n"] * 7 + ["u,s,x,impression,p1\n"] * 3
    )
    (raw / "events.csv").write_text(EVENTS_HEADER + "".join(rows))
    with pytest.raises(DataError, match=r"events: 10 of 100 rows \(10\.0%\) were refused; at most 5\.0%") as caught:
        run(raw, IngestConfig(image_size=16))
    assert "         7  product_id       no such product" in str(caught.value)
    assert "         3  timestamp        not a time" in str(caught.value)
    assert "events.csv row 91: 'p9'" in str(caught.value)
    assert not (raw.parent / "tables").exists()
    assert pq.read_table(raw.parent / "tables.rejects.parquet").num_rows == 10
    run(raw, IngestConfig(image_size=16, max_reject_share=0.1))  # a tenth is not more than a tenth
    assert not (raw.parent / "tables.rejects.parquet").exists()


def test_a_table_of_bad_rows_alone_says_why_even_if_all_may_be_refused(raw):
    (raw / "events.csv").write_text(EVENTS_HEADER + "u,s,noon,click,p1\n" * 3)
    with pytest.raises(DataError, match=r"events has no usable row \(3 were read from events\.csv\)") as caught:
        run(raw, LOOSE)
    assert "         3  timestamp        not a time" in str(caught.value)
    assert pq.read_table(raw.parent / "tables.rejects.parquet")["row"].to_pylist() == [1, 2, 3]


def test_broken_bytes_in_parquet_are_told_with_their_file(raw):
    (raw / "products.csv").unlink()
    titles = pa.array([b"red", b"\xff"], pa.binary())
    pq.write_table(pa.table({"product_id": ["p1", "p2"], "title": titles}), raw / "products.parquet")
    with pytest.raises(DataError, match=r"raw/products\.parquet, column 'title', row 2: .* not UTF-8"):
        run(raw)


def test_a_product_with_an_event_before_created_at_was_launched_at_that_event(raw):
    (raw / "products.csv").write_text(
        "product_id,title,created_at\np1,a,2026-01-03\np2,b,2025-06-01\np3,c,2026-01-02T11:00:00Z\np4,d,2026-01-05\n"
    )
    # p1 and p3 have their first event on 2026-01-02T10:00:00Z, p2 after its launch, p4 none.
    assert run(raw).products["created_at"].to_pylist() == [
        datetime(2026, 1, 2, 10, tzinfo=UTC),
        datetime(2025, 6, 1, tzinfo=UTC),
        datetime(2026, 1, 2, 10, tzinfo=UTC),
        datetime(2026, 1, 5, tzinfo=UTC),
    ]
    assert summary(raw)["products"]["events_before_created_at"] == 2
    assert "2 with an event before created_at" in printed(raw)


def test_prices_in_several_currencies_are_told(raw):
    (raw / "products.csv").write_text(
        "product_id,title,price,currency\np1,a,10,EUR\np2,b,20,USD\np3,c,30,USD\np4,d,,GBP\np5,e,5,\n"
    )
    run(raw)
    assert summary(raw)["products"]["currencies"] == {"USD": 2, "EUR": 1}
    assert "USD 2, EUR 1: they are compared as numbers" in printed(raw)
    (raw / "products.csv").write_text("product_id,title,price,currency\np1,a,10,EUR\np2,b,20,EUR\np3,c,30,\n")
    run(raw)
    assert "compared as numbers" not in printed(raw)


def test_a_shop_whose_pictures_are_missing_is_stopped(raw):
    cells = ["a.png", "b.png", "http://c", "red.png", ""]
    lines = "".join(f"p{row},t,{cell}\n" for row, cell in enumerate(cells, 1))
    (raw / "products.csv").write_text("product_id,title,image\n" + lines)
    with pytest.raises(DataError, match=r"3 of 4 pictures \(75\.0%\) cannot be used; at most 50\.0%") as caught:
        run(raw)
    assert "         2  image            the picture's file is not there" in str(caught.value)
    assert pq.read_table(raw.parent / "tables.rejects.parquet")["value"].to_pylist() == cells[:3]
    run(raw, IngestConfig(max_reject_share=1.0, image_size=16, max_broken_picture_share=0.75))
    assert summary(raw)["pictures"]["broken"] == 3


def test_a_linked_output_folder_stays_a_link(raw):
    real = raw.parent / "other disk" / "tables"
    real.mkdir(parents=True)
    (raw.parent / "tables").symlink_to(real)
    run(raw)
    assert (raw.parent / "tables").is_symlink()
    assert (real / "events.parquet").exists()


def test_one_bad_row_more_than_allowed_in_products_stops_the_run(raw):
    lines = [f"p{row},title,{-1 if row < 2 else 1}" for row in range(20)]
    (raw / "products.csv").write_text("product_id,title,price\n" + "\n".join(lines))
    with pytest.raises(DataError, match="products: 2 of 20 rows"):
        run(raw, IngestConfig(max_reject_share=0.05))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("products.csv", None, "has no products; expected one of products.parquet"),
        ("events.csv", None, "has no events; expected one of events.parquet"),
        ("products.csv", "", "is empty"),
        ("products.csv", "product_id,title\n", "products has no usable row"),
        ("events.csv", EVENTS_HEADER, "events has no usable row"),
        ("events.csv", EVENTS_HEADER + "u,s,x,click,p1\n", "events has no usable row"),
        ("products.csv", "product_id,titel\np1,x\n", "no column 'title'.*nearest it has is 'titel'"),
        ("events.csv", "user_id,session_id,timestamp,product_id\n", "no column 'kind'"),
        ("events.csv", "user_id;session_id;timestamp;kind;product_id\n1;2;3;4;5\n", "not separated by commas"),
    ],
)
def test_files_that_cannot_be_used(raw, file, text, message):
    (raw / file).unlink()
    if text is not None:
        (raw / file).write_text(text)
    with pytest.raises(DataError, match=message):
        run(raw)
    assert not (raw.parent / "tables").exists()


def test_no_folder(tmp_path):
    with pytest.raises(DataError, match="is not a folder"):
        ingest(tmp_path / "nowhere", tmp_path / "tables", LOOSE)


def test_a_failed_run_leaves_the_last_tables_as_they_were(raw):
    run(raw)
    before = {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()}
    (raw / "events.csv").write_text("nonsense")
    with pytest.raises(DataError):
        run(raw)
    assert {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()} == before
    assert [path.name for path in raw.parent.glob(".tables*.tmp")] == []


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), tables.duckdb.IOException("write: No space left on device")],
)
def test_a_full_disk_is_said_in_words_and_leaves_nothing_half_written(raw, monkeypatch, error):
    run(raw)
    before = (raw.parent / "tables" / "events.parquet").read_bytes()

    def full(*_):
        raise error

    monkeypatch.setattr(tables, "_sort_events", full)
    with pytest.raises(TandemError, match=r"is full .*make room"):
        run(raw)
    assert (raw.parent / "tables" / "events.parquet").read_bytes() == before
    assert [path.name for path in raw.parent.glob(".tables*.tmp")] == []


def test_a_folder_that_may_not_be_written(raw, monkeypatch):
    def forbidden(*_):
        raise PermissionError(errno.EACCES, "Permission denied", "tables")

    monkeypatch.setattr(ingest_module, "write_products", forbidden)
    with pytest.raises(TandemError, match="tables may not be read or written"):
        run(raw)


def test_a_second_ingest_at_once_is_told_who_is_writing(raw):
    with FileLock(raw.parent / ".tables.lock"):
        (raw.parent / ".tables.owner").write_text("process 4711 on shop-1")
        with pytest.raises(TandemError, match=r"another ingest is writing .*process 4711 on shop-1.*wait"):
            run(raw)
    run(raw)
    assert not (raw.parent / ".tables.owner").exists()


SLOW_INGEST = """
import sys, time
from pathlib import Path
from catalog import ingest as module
write = module.write_products
def slow(*arguments):
    write(*arguments)
    print("half-way", flush=True)
    time.sleep(60)
module.write_products = slow
module.ingest(Path(sys.argv[1]), Path(sys.argv[2]), module.IngestConfig(image_size=16))
"""


def test_killed_half_way_the_old_tables_stay_and_the_next_run_clears_up(raw):
    run(raw)
    before = {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()}
    command = [sys.executable, "-c", SLOW_INGEST, str(raw), str(raw.parent / "tables")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "half-way\n"
        with pytest.raises(TandemError, match=f"process {process.pid} on"):
            run(raw)  # while the other one is at it
        os.kill(process.pid, signal.SIGKILL)
    assert {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()} == before
    assert len(list(raw.parent.glob(".tables.*.tmp"))) == 1
    run(raw)
    assert list(raw.parent.glob(".tables.*.tmp")) == []


def test_killed_between_the_two_renames_the_old_tables_come_back(raw):
    run(raw)
    moved = raw.parent / ".tables.abcd_123.old.tmp"  # as tempfile names it
    moved.mkdir()
    (raw.parent / "tables").rename(moved / "tables")
    (raw / "events.csv").unlink()
    with pytest.raises(DataError, match="has no events"):
        run(raw)
    assert (raw.parent / "tables" / "products.parquet").exists()


def test_two_runs_one_after_the_other_write_the_same(raw):
    run(raw)
    first = {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()}
    time.sleep(0.01)
    run(raw)
    assert {path.name: path.read_bytes() for path in (raw.parent / "tables").iterdir()} == first


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"image_size": 0}, "image_size: received 0"),
        ({"max_reject_share": 2}, "max_reject_share: received 2"),
        ({"user_columns": ["a b"]}, "user_columns.0: received 'a b'"),
        ({"user_columns": ["age", "age"]}, "distinct profile columns"),
        ({"image_sise": 3}, "did you mean 'image_size'"),
    ],
)
def test_settings_that_cannot_be_used(settings_, message):
    with pytest.raises(ConfigError, match=message):
        parse_config(IngestConfig, settings_, "shop.yaml")


def test_the_summary_reads_well(tmp_path):
    from rich.console import Console

    write_examples(tmp_path / "raw")
    with (tmp_path / "raw" / "events.csv").open("a") as events:
        events.write("u,s,2026-03-01,buy[red],P001,,,\n")
    ingest(tmp_path / "raw", tmp_path / "tables", LOOSE)
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(summary_table(tmp_path / "tables"))
    text = console.export_text()
    # 8 of the 12 titles are English; 11 of 12 products have a picture.
    for words in (
        "12 of 12 rows kept, from products.csv",
        "56 of 57 rows kept, from events.csv",
        "columns not used: country, language",
        "picture 91.7%",
        "Latin 66.7%, Chinese 33.3%",
        "11 distinct, stored at 16 x 16",
        "2026-02-02 08:15:00 UTC to 2026-02-19 22:13:20 UTC",
        "1 refused",
        "events.kind: unknown kind",
        "'buy[red]'",
    ):
        assert words in text, (words, text)


@pytest.mark.parametrize("out", [".", ".."])
def test_the_shop_s_own_files_are_never_replaced(raw, out):
    before = sorted(path.name for path in raw.iterdir())
    with pytest.raises(DataError, match="holds the shop's own files"):
        ingest(raw, raw / out, IngestConfig())
    assert sorted(path.name for path in raw.iterdir()) == before


def test_a_folder_of_something_else_is_never_replaced(raw, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match="files that ingest did not write"):
        ingest(raw, other, IngestConfig())
    assert (other / "thesis.txt").read_text() == "years of work"


def test_an_id_is_one_line(raw):
    (raw / "products.csv").write_text('product_id,title\n"p1\np9",two lines\np1,x\np2,y\np3,z\n')
    assert run(raw).products["product_id"].to_pylist() == ["p1", "p2", "p3"]
    (told,) = rejects(raw)
    assert "line end" in told["reason"]
