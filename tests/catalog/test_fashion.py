"""The adapter of the Kaggle data set, on a small copy of its layout and on the real file where it is."""

import io
import json
import os
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog.errors import DataError
from catalog.ingest import IngestConfig, ingest
from catalog.sources.fashion import COLUMNS, convert

STYLES = [
    "1,Men,Apparel,Topwear,Shirts,Blue,Summer,2012,Casual,Peter England Men Blue Shirt",
    "2,Women,Footwear,Shoes,Heels,Red,NA,,NA,Catwalk Women Red Heels, size 5, with strap",  # bare commas in the name
    "3,Women,Accessories,Watches,Watches,NA,Winter,2016,Casual,NA",
    "4,Men,Apparel",
]


def jpeg():
    buffer = io.BytesIO()
    Image.new("RGB", (60, 80), "blue").save(buffer, "JPEG")
    return buffer.getvalue()


def files(lines=STYLES):
    return {"styles.csv": "\n".join([",".join(COLUMNS), *lines]).encode(), "images/1.jpg": jpeg(), "images/2.jpg": b"x"}


def as_folder(path, contents):
    for name, content in contents.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def as_zip(path, contents, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(prefix + name, content)
    return path


@pytest.fixture(params=["folder", "zip", "nested zip"])
def source(request, tmp_path):
    if request.param == "folder":
        return as_folder(tmp_path / "unpacked", files())
    return as_zip(tmp_path / "kaggle.zip", files(), "myntradataset/" if request.param == "nested zip" else "")


def products(raw):
    return pq.read_table(raw / "products.parquet").to_pylist()


def test_columns_become_the_shops(source, tmp_path):
    convert(source, tmp_path / "raw")
    first, second, third, fourth = products(tmp_path / "raw")
    assert json.loads(first.pop("attributes")) == {
        "gender": "Men", "base_colour": "Blue", "season": "Summer", "year": "2012", "usage": "Casual",
    }  # fmt: skip
    assert first == {
        "product_id": "1", "title": "Peter England Men Blue Shirt", "description": "", "brand": "",
        "category": "Apparel > Topwear > Shirts", "image": jpeg(),
    }  # fmt: skip
    assert second["title"] == "Catwalk Women Red Heels, size 5, with strap"
    assert json.loads(second["attributes"]) == {"gender": "Women", "base_colour": "Red"}
    assert third["title"] == "Women Watches"
    assert third["image"] is None
    assert (fourth["product_id"], fourth["title"], fourth["category"]) == ("4", "", "Apparel")


def test_a_line_that_is_cut_off_is_refused_at_ingest_and_the_broken_picture_told(source, tmp_path):
    convert(source, tmp_path / "raw")
    (tmp_path / "raw" / "events.csv").write_text(
        "user_id,session_id,timestamp,kind,product_id\nu,s,2026-01-01,view,1\n"
    )
    shop = ingest(tmp_path / "raw", tmp_path / "tables", IngestConfig(max_reject_share=0.25))
    assert shop.products["product_id"].to_pylist() == ["1", "2", "3"]
    assert shop.products["image_row"].to_pylist() == [0, -1, -1]
    rejects = pq.read_table(tmp_path / "tables" / "rejects.parquet").to_pylist()
    assert [(item["row"], item["column"]) for item in rejects] == [(4, "title"), (2, "image")]


def test_a_brand_is_what_ten_titles_start_with(tmp_path):
    lines = [f"{row},Men,A,B,C,Blue,Summer,2012,Casual,Nike Men's Shoe {row}" for row in range(10)]
    lines += [f"{row},Girls,A,B,C,Blue,Summer,2012,Casual,Nike Air Girls Shoe" for row in range(10, 19)]
    convert(as_folder(tmp_path / "unpacked", files(lines)), tmp_path / "raw")
    assert [item["brand"] for item in products(tmp_path / "raw")] == ["Nike"] * 10 + [""] * 9


def test_a_limit_takes_a_seeded_subset_in_file_order(tmp_path):
    lines = [f"{row},Men,A,B,C,Blue,Summer,2012,Casual,Shoe {row}" for row in range(100, 400)]
    folder = as_folder(tmp_path / "unpacked", files(lines))

    def ids(limit, seed):
        convert(folder, tmp_path / "raw", limit, seed)
        return [item["product_id"] for item in products(tmp_path / "raw")]

    chosen = ids(50, 1)
    assert len(set(chosen)) == 50
    assert chosen == sorted(chosen)
    assert ids(50, 1) == chosen
    assert ids(50, 2) != chosen
    assert len(ids(1000, 1)) == 300


@pytest.mark.parametrize("name", ["../1", "/etc/passwd"])
def test_an_id_never_leads_out_of_the_folder(tmp_path, name):
    line = f"{name},Men,A,B,C,Blue,Summer,2012,Casual,Shoe"
    folder = as_folder(tmp_path / "unpacked", files([line]) | {"1.jpg": b"secret"})
    convert(folder, tmp_path / "raw")
    assert products(tmp_path / "raw")[0]["image"] is None


def test_what_is_not_the_data_set(tmp_path):
    with pytest.raises(DataError, match="neither a folder nor a zip"):
        convert(tmp_path / "nowhere.zip", tmp_path / "raw")
    with pytest.raises(DataError, match=r"holds no styles\.csv"):
        convert(as_zip(tmp_path / "other.zip", {"a.csv": b""}), tmp_path / "raw")
    with pytest.raises(DataError, match=r"holds no styles\.csv"):
        convert(as_folder(tmp_path / "empty", {"a": b""}), tmp_path / "raw")
    with pytest.raises(DataError, match=r"has the columns \['id'\]; expected"):
        convert(as_folder(tmp_path / "wrong", {"styles.csv": b"id\n1\n"}), tmp_path / "raw")
    with pytest.raises(DataError, match="not UTF-8"):
        convert(as_folder(tmp_path / "latin", {"styles.csv": "id,größe".encode("latin1")}), tmp_path / "raw")
    assert not (tmp_path / "raw" / "products.parquet").exists()


def test_the_real_catalogue(tmp_path):
    default = Path(__file__).parents[2].parent / "shared" / "data" / "fashion"
    folder = Path(os.environ.get("TANDEM_FASHION_DATA", default))
    archive = folder / "fashion-product-images-small.zip"
    if not archive.exists():
        pytest.skip(f"{archive} is not there; TANDEM_FASHION_DATA names its folder")
    convert(archive, tmp_path / "raw", limit=2_000, seed=3)
    first = products(tmp_path / "raw")[0]["product_id"]
    (tmp_path / "raw" / "events.csv").write_text(
        f"user_id,session_id,timestamp,kind,product_id\nu,s,2026-01-01,view,{first}\n"
    )
    shop = ingest(tmp_path / "raw", tmp_path / "tables", IngestConfig(max_reject_share=0.0))
    assert shop.products.num_rows == 2_000
    assert len(shop.images) > 1_900
    brands = shop.products["brand"].to_pylist()
    assert sum(map(bool, brands)) > 0.8 * len(brands)
