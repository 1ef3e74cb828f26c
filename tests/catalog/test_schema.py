"""product_text, and the object that passes between stages."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import schema
from catalog.errors import ArtifactError
from catalog.files import write_npy, write_parquet
from catalog.schema import (
    EVENTS_SCHEMA,
    KIND_WEIGHTS,
    KINDS,
    PRODUCTS_SCHEMA,
    ShopData,
    product_text,
    product_texts,
)


def test_every_kind_has_a_weight():
    assert set(KIND_WEIGHTS) == set(KINDS)


def test_product_text_joins_fields_in_order_and_spaces_out_punctuation():
    fields = {
        "description": "Soft, warm",
        "title": "Red dress",
        "category": "Women > Dresses",
        "attributes": '{"colour": "red"}',
        "brand": "Solara",
        "review_text": "nice",
    }
    # title, brand, category, attributes, description, review_text; each of {}[]":,>|/ becomes one space.
    assert product_text(fields) == "Red dress Solara Women   Dresses   colour    red   Soft  warm nice"


def test_product_text_of_missing_fields_keeps_the_separators():
    assert product_text({"title": "杯子"}) == "杯子" + " " * 5


@pytest.fixture
def folder(tmp_path):
    products = pa.Table.from_pylist(
        [{"product_id": f"p{row}", "title": "t", "description": "", "category": "", "brand": "", "attributes": "{}",
          "review_text": "", "image_row": row - 1} for row in range(3)],
        schema=PRODUCTS_SCHEMA,
    )  # fmt: skip
    events = pa.table(
        {
            "user_id": ["u", "v"],
            "session_id": ["s", "s"],
            "timestamp": [1_767_225_600_000_000, 1_767_312_000_000_000],  # 2026-01-01 and 02
            "kind": ["click", "view"],
            "product_id": ["p0", "p1"],
            "query": ["", ""],
            "position": [0, 0],
            "device": ["", ""],
        }
    ).cast(EVENTS_SCHEMA)
    write_parquet(tmp_path / "products.parquet", products)
    write_parquet(tmp_path / "events.parquet", events)
    write_npy(tmp_path / "images.npy", np.zeros((2, 4, 4, 3), np.uint8))
    return tmp_path


def test_shop_data_tells_what_is_in_it(folder):
    shop = ShopData.load(folder)
    assert repr(shop) == ("ShopData(3 products (2 with one of 2 pictures); 2 events from 2026-01-01 to 2026-01-02)")
    assert shop.events["product_id"].to_pylist() == ["p0", "p1"]
    assert shop.users is None
    assert shop.judgments is None
    assert isinstance(shop.images, np.memmap)


def test_the_log_is_read_when_asked_for(folder, monkeypatch):
    read = []
    monkeypatch.setattr(schema, "read_parquet", lambda path: read.append(path.name) or pq.read_table(path))
    shop = ShopData.load(folder)
    assert "2 events" in repr(shop)
    assert read == ["products.parquet"]
    assert shop.events.num_rows == 2


def test_product_texts_is_product_text_of_every_row(folder):
    products = ShopData.load(folder).products
    assert product_texts(products) == [product_text(row) for row in products.to_pylist()]


def test_a_missing_table_says_which_stage_to_run_again(folder):
    (folder / "events.parquet").unlink()
    with pytest.raises(ArtifactError, match=r"events\.parquet.*run the stage"):
        ShopData.load(folder)
