"""The Kaggle data set "Fashion Product Images (Small)" -> raw/products.parquet, pictures inside.

https://www.kaggle.com/datasets/paramaggarwal/fashion-product-images-small: styles.csv and images/<id>.jpg, as the zip
that Kaggle sends or as a folder. It has products only: no prices, shoppers or searches (`catalog.simulate` makes some).
"""

import csv
import io
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import DataError
from catalog.files import atomic_path
from catalog.parsing import to_objects
from catalog.progress import track

COLUMNS = (
    "id",
    "gender",
    "masterCategory",
    "subCategory",
    "articleType",
    "baseColour",
    "season",
    "year",
    "usage",
    "productDisplayName",
)
_CATEGORY = ("masterCategory", "subCategory", "articleType")
_NAMELESS = ("gender", "baseColour", "articleType")
_ATTRIBUTES = {"gender": "gender", "base_colour": "baseColour", "season": "season", "year": "year", "usage": "usage"}

_ROW_GROUP = 1_000  # products written at a time

_BRAND = re.compile(r"^(.+?) (?:men|women|boys?|girls?|unisex|kids|mens|womens)(?:'s)?\b", re.IGNORECASE)
"""Titles read "<brand> <gender> <the rest>": the words before the gender are taken for the brand ..."""

_BRAND_TITLES = 10
"""... if that many titles start with them: fewer are product lines ("Wrangler Single") and slips."""

_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("attributes", pa.string()),
        ("image", pa.binary()),
    ]
)


@dataclass(frozen=True)
class _Archive:
    """The data set, wherever it is: the bytes of styles.csv, and of the picture of a product (None = has none)."""

    styles: bytes
    picture: Callable[[str], bytes | None]


def convert(source: Path, raw_dir: Path, limit: int | None = None, seed: int = 0) -> None:
    """Write raw_dir/products.parquet.

    title is productDisplayName (gender, colour and type where that is "NA"); category is "masterCategory > subCategory
    > articleType"; attributes are gender, base_colour, season, year and usage; brand is what the title starts with
    where many titles do. "NA" and empty cells are unknown.
    Lines with too few fields go through as they are, for ingest to refuse with their reason.

    Args:
        source: the zip file, or the folder that it unpacks to.
        raw_dir: where products.parquet goes.
        limit: take a random subset of so many products, in file order.
        seed: of that subset.

    Raises:
        DataError: when `source` is not that data set.
    """
    with _open(source) as archive:
        styles = _read_styles(archive.styles, source)
        brands = Counter(filter(None, (_leading_words(row["productDisplayName"]) for row in styles)))
        if limit is not None and limit < len(styles):
            chosen = np.sort(np.random.default_rng(seed).choice(len(styles), size=limit, replace=False))
            styles = [styles[index] for index in chosen]
        with atomic_path(raw_dir / "products.parquet") as path, pq.ParquetWriter(path, _SCHEMA) as writer:
            products = track(styles, "products", len(styles))
            for rows in _chunks(products):
                writer.write_table(_table(rows, brands, archive.picture))


def _table(rows: list[dict[str, str]], brands: Counter[str], picture: Callable[[str], bytes | None]) -> pa.Table:
    attributes = [{name: row[column] or None for name, column in _ATTRIBUTES.items()} for row in rows]
    leading = [_leading_words(row["productDisplayName"]) for row in rows]
    columns = {
        "product_id": [row["id"] for row in rows],
        "title": [row["productDisplayName"] for row in rows],
        "description": [""] * len(rows),
        "category": [" > ".join(row[name] for name in _CATEGORY if row[name]) for row in rows],
        "brand": [words if brands[words] >= _BRAND_TITLES else "" for words in leading],
        "attributes": to_objects(pa.array(attributes))[0],
        "image": [picture(row["id"]) for row in rows],
    }
    return pa.table(columns, schema=_SCHEMA)


def _leading_words(title: str) -> str:
    match = _BRAND.match(title)
    return match.group(1) if match else ""


def _chunks(rows: Iterator[dict[str, str]]) -> Iterator[list[dict[str, str]]]:
    chunk: list[dict[str, str]] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROW_GROUP:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _read_styles(content: bytes, source: Path) -> list[dict[str, str]]:
    """Rows of styles.csv. Kaggle's file has names with bare commas: what is beyond the last column belongs to it."""
    try:
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: styles.csv is not UTF-8 text: {error}; take the file as Kaggle sends it") from error
    header = tuple(next(lines, []))
    if header != COLUMNS:
        raise DataError(f"{source}: styles.csv has the columns {list(header)}; expected {list(COLUMNS)}")
    rows = []
    for cells in filter(None, lines):
        name = ",".join(cells[len(COLUMNS) - 1 :])
        padded = [*cells[: len(COLUMNS) - 1], *[""] * (len(COLUMNS) - 1 - len(cells)), name]
        cleaned = ("" if cell.strip() == "NA" else cell.strip() for cell in padded)
        row = dict(zip(COLUMNS, cleaned, strict=True))
        if name.strip() == "NA":  # a handful of products have no name: theirs is what the columns say
            row["productDisplayName"] = " ".join(row[part] for part in _NAMELESS if row[part])
        rows.append(row)
    return rows


@contextmanager
def _open(source: Path) -> Iterator[_Archive]:
    if source.is_dir():
        styles = min(source.rglob("styles.csv"), key=lambda path: len(path.parts), default=None)
        if styles is None:
            raise DataError(f"{source} holds no styles.csv; expected the unpacked Kaggle data set")
        yield _Archive(styles.read_bytes(), lambda product: _read_file(styles.parent / "images", product))
        return
    try:
        archive = zipfile.ZipFile(source)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{source} is neither a folder nor a zip file ({error}); expected the Kaggle data set"
        ) from error
    with archive:
        names = set(archive.namelist())
        listed = min((name for name in names if name.split("/")[-1] == "styles.csv"), key=len, default=None)
        if listed is None:
            raise DataError(f"{source} holds no styles.csv; expected the zip as Kaggle sends it")
        folder = listed.removesuffix("styles.csv") + "images/"

        def picture(product: str) -> bytes | None:
            name = f"{folder}{product}.jpg"
            return archive.read(name) if name in names else None

        yield _Archive(archive.read(listed), picture)


def _read_file(folder: Path, product: str) -> bytes | None:
    path = folder / f"{product}.jpg"
    if not product.isdigit() or not path.is_file():  # the id comes from a file: nothing but a number names a picture
        return None
    return path.read_bytes()
