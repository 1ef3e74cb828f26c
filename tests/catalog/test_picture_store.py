"""Pictures of a catalogue -> one array; nothing outside the shop's folder is read."""

import hashlib
import io
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from catalog.errors import DataError
from catalog.picture_store import Source, holds_bytes, read_picture_file, sources_in_parquet, store_pictures
from catalog.pictures import PictureError


def png(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("workers", [1, 3])
def test_distinct_pictures_are_stored_once_in_order(tmp_path, workers):
    (tmp_path / "blue.png").write_bytes(png("blue"))
    sources = [
        Source(0, png("red")),
        Source(1, "blue.png"),
        Source(3, png("red")),
        Source(4, b"broken"),
        Source(5, png("blue")),
    ]
    out = tmp_path / "images.npy"
    stored = store_pictures(sources, 5, 7, tmp_path, out, 16, workers)
    assert stored.image_row.tolist() == [0, 1, -1, 0, -1, 1, -1]
    red, blue = (hashlib.sha256(png(colour)).hexdigest() for colour in ("red", "blue"))
    assert stored.sha256 == [red, blue, "", red, "", blue, ""]
    assert [(product, value) for product, value, _ in stored.broken] == [(4, "6 bytes")]
    pixels = np.load(out, mmap_mode="r")
    assert pixels.shape == (2, 16, 16, 3)
    assert pixels.dtype == np.uint8
    assert (pixels[0] == [255, 0, 0]).all()
    assert (pixels[1] == [0, 0, 255]).all()


def test_no_picture_at_all_is_an_empty_array(tmp_path):
    store_pictures([], 0, 3, tmp_path, tmp_path / "images.npy", 32, 1)
    assert np.load(tmp_path / "images.npy").shape == (0, 32, 32, 3)


def test_files_are_found_in_images_or_beside_the_tables(tmp_path):
    shop = tmp_path / "shop"
    (shop / "images" / "deep").mkdir(parents=True)
    (shop / "images" / "deep" / "a.png").write_bytes(b"a")
    (shop / "b.png").write_bytes(b"b")
    assert read_picture_file("deep/a.png", shop) == b"a"
    assert read_picture_file("images/deep/a.png", shop) == b"a"
    assert read_picture_file("b.png", shop) == b"b"


def test_the_images_folder_may_be_a_link_to_another_disk(tmp_path):
    shop, disk = tmp_path / "shop", tmp_path / "disk"
    shop.mkdir()
    disk.mkdir()
    (disk / "a.png").write_bytes(b"a")
    (shop / "images").symlink_to(disk)
    assert read_picture_file("a.png", shop) == b"a"


@pytest.mark.parametrize(
    "name", ["../secret.png", "../../secret.png", "images/../../secret.png", "{absolute}", "link.png"]
)
def test_nothing_outside_the_folder_is_read(tmp_path, name):
    shop = tmp_path / "shop"
    (shop / "images").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png("red"))
    (shop / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(PictureError, match=r"outside the shop's folder"):
        read_picture_file(name.format(absolute=tmp_path / "secret.png"), shop)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.png", "is not there"),
        ("images", "is not there"),
        ("https://shop.example/a.png", "URL"),
        ("x" * 5000, "cannot be read"),
        ("a\0b.png", "cannot be read"),
        ("pipe.png", "is not there"),
    ],
)
def test_names_that_lead_nowhere(tmp_path, name, message):
    (tmp_path / "images").mkdir()
    os.mkfifo(tmp_path / "pipe.png")  # reading it would wait for ever
    with pytest.raises(PictureError, match=message):
        read_picture_file(name, tmp_path)


def test_pictures_inside_a_parquet_file_are_streamed_for_kept_rows_only(tmp_path):
    cells = [b"1", None, b"3", b"", b"5"] * 200
    pq.write_table(pa.table({"image": pa.array(cells, pa.binary())}), tmp_path / "p.parquet", row_group_size=70)
    assert holds_bytes(tmp_path / "p.parquet")
    rows = np.arange(1, 1001, 2)  # the odd data rows
    found = [(source.product, source.content) for source in sources_in_parquet(tmp_path / "p.parquet", rows, rows * 10)]
    assert found == [(row * 10, cells[row - 1]) for row in rows.tolist() if cells[row - 1]]


def test_names_in_a_parquet_file_are_no_pictures_inside_and_numbers_neither(tmp_path):
    pq.write_table(pa.table({"image": ["a.png"]}), tmp_path / "names.parquet")
    assert not holds_bytes(tmp_path / "names.parquet")
    assert not holds_bytes(tmp_path / "names.csv")
    pq.write_table(pa.table({"image": [[1, 2]]}), tmp_path / "lists.parquet")
    with pytest.raises(DataError, match="column 'image' has type list"):
        holds_bytes(tmp_path / "lists.parquet")
