"""The four tables of a shop: their columns and units, and the one object that passes between stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.files import read_npy, read_parquet, read_parquet_metadata

KINDS = ("impression", "view", "click", "cart", "favourite", "purchase")
"""What a shopper did with a product; an event's kind id is the index here."""

KIND_WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"impression": 0.0, "view": 0.5, "click": 1.0, "favourite": 2.0, "cart": 3.0, "purchase": 5.0}
)
"""How much each kind says; the strongest kind of an episode is the one with the largest weight."""

TEXT_FIELDS = ("title", "brand", "category", "attributes", "description", "review_text")
"""The text fields of a product, in the order in which towers and BM25 read them."""

TEXT_PUNCTUATION = '{}[]":,>|/'
"""Characters of JSON and of category paths that `product_text` replaces by spaces."""

ColumnType = Literal["id", "text", "number", "count", "flag", "time", "kind", "object", "picture"]


@dataclass(frozen=True)
class Column:
    """One column of a raw table.

    Attributes:
        name: as it must stand in the file.
        type: id, text (UTF-8), number (float), count (integer), flag (true/false), time (ISO 8601 or epoch seconds or
            milliseconds; naive means UTC), kind (one of KINDS), object (JSON object), picture (file name or bytes).
        required: whether every cell must be filled.
        expected: whether the file must have the column; required columns always.
        low, high: the numbers allowed, both included.
        max_length: the longest text allowed, in characters.
        days_ahead: how far in the future a time may lie (a clock or a time zone may be off by a day).
    """

    name: str
    type: ColumnType
    required: bool = False
    expected: bool = False
    low: float = -float("inf")
    high: float = float("inf")
    max_length: int = 1_000_000
    days_ahead: int = 1


def _id(name: str, required: bool = True) -> Column:
    return Column(name, "id", required, max_length=512)


PRODUCT_COLUMNS = (
    _id("product_id"),
    Column("title", "text", required=True, max_length=10_000),
    Column("description", "text"),
    Column("category", "text", max_length=10_000),
    Column("brand", "text", max_length=10_000),
    Column("attributes", "object"),
    Column("price", "number", low=0.0, high=1e12),
    Column("currency", "text", max_length=16),
    Column("image", "picture"),
    Column("in_stock", "flag"),
    Column("created_at", "time", days_ahead=731),
    Column("rating_average", "number", low=0.0, high=5.0),
    Column("rating_count", "count", low=0, high=1e12),
    Column("review_text", "text"),
)
EVENT_COLUMNS = (
    _id("user_id"),
    _id("session_id"),
    Column("timestamp", "time", required=True),
    Column("kind", "kind", required=True),
    _id("product_id"),
    Column("query", "text", max_length=10_000),
    Column("position", "count", low=0, high=1e6),
    Column("device", "text", max_length=512),
)
JUDGMENT_COLUMNS = (
    Column("query", "text", required=True, max_length=10_000),
    _id("product_id"),
    Column("grade", "number", required=True, low=0.0, high=1e3),
)


def user_table_columns(profile: tuple[str, ...]) -> tuple[Column, ...]:
    """The columns of the users table: the id and the profile columns that the config declares."""
    return (_id("user_id"), *(Column(name, "text", expected=True, max_length=512) for name in profile))


_TIME = pa.timestamp("us", tz="UTC")

PRODUCTS_SCHEMA = pa.schema(
    [
        ("product_id", pa.string()),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category", pa.string()),
        ("brand", pa.string()),
        ("attributes", pa.string()),
        ("price", pa.float64()),
        ("currency", pa.string()),
        ("in_stock", pa.bool_()),
        ("created_at", _TIME),
        ("rating_average", pa.float64()),
        ("rating_count", pa.int64()),
        ("review_text", pa.string()),
        ("image_row", pa.int32()),
        ("image_sha256", pa.string()),
    ]
)
"""Validated products; the row number is the `product_row` of every later stage. NaN and "" mean unknown."""

EVENTS_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("timestamp", _TIME),
        ("kind", pa.string()),
        ("product_id", pa.string()),
        ("query", pa.string()),
        ("position", pa.int32()),
        ("device", pa.string()),
    ]
)
"""Validated events, sorted by time. Position 0 means none, query "" a recommendation or none."""

JUDGMENTS_SCHEMA = pa.schema([("query", pa.string()), ("product_id", pa.string()), ("grade", pa.float32())])
"""Validated judgments: relevance of a product to a query, as people judged it."""

REJECTS_SCHEMA = pa.schema(
    [
        ("table", pa.string()),
        ("file", pa.string()),
        ("row", pa.int64()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("reason", pa.string()),
    ]
)
"""What ingest refused; `row` counts data rows of the file from 1. Column `image` costs a product only its picture."""

_PUNCTUATION_TO_SPACE = str.maketrans(dict.fromkeys(TEXT_PUNCTUATION, " "))


def product_text(fields: Mapping[str, str]) -> str:
    """The text of a product that towers and BM25 read.

    Args:
        fields: a product's columns; TEXT_FIELDS that are missing count as "".

    Returns:
        The text fields in TEXT_FIELDS order joined by one space, with TEXT_PUNCTUATION replaced by spaces.
    """
    return " ".join(fields.get(name, "") for name in TEXT_FIELDS).translate(_PUNCTUATION_TO_SPACE)


def product_texts(products: pa.Table) -> list[str]:
    """`product_text` of every row of a validated products table."""
    columns = [products[name].to_pylist() for name in TEXT_FIELDS]
    return [" ".join(values).translate(_PUNCTUATION_TO_SPACE) for values in zip(*columns, strict=True)]


@dataclass(frozen=True, eq=False)
class ShopData:
    """A shop's validated tables, as `catalog.ingest` writes them.

    Attributes:
        products: PRODUCTS_SCHEMA, sorted by product_id; the row number is the product_row.
        events_path: the log, EVENTS_SCHEMA, sorted by (timestamp, input order); `events` reads it.
        users: user_id and the declared profile columns as strings, or None.
        judgments: JUDGMENTS_SCHEMA, or None.
        images: [pictures, size, size, 3] uint8 RGB, memory-mapped; products.image_row points into it.
    """

    products: pa.Table
    events_path: Path
    users: pa.Table | None
    judgments: pa.Table | None
    images: npt.NDArray[np.uint8]

    @classmethod
    def load(cls, folder: Path) -> "ShopData":
        """Read the tables of one ingest.

        Raises:
            ArtifactError: when a table is missing or broken.
        """
        read_parquet_metadata(folder / "events.parquet")
        users, judgments = folder / "users.parquet", folder / "judgments.parquet"
        return cls(
            products=read_parquet(folder / "products.parquet"),
            events_path=folder / "events.parquet",
            users=read_parquet(users) if users.exists() else None,
            judgments=read_parquet(judgments) if judgments.exists() else None,
            images=read_npy(folder / "images.npy", mmap=True),
        )

    @property
    def events(self) -> pa.Table:
        """The whole log, read into memory at each call."""
        return read_parquet(self.events_path)

    def __repr__(self) -> str:
        pictured = pc.sum(pc.greater_equal(self.products["image_row"], 0)).as_py() or 0
        parts = [
            f"{self.products.num_rows:,} products ({pictured:,} with one of {len(self.images):,} pictures)",
            _log_line(self.events_path),
        ]
        if self.users is not None:
            profile = ", ".join(self.users.column_names[1:]) or "no profile columns"
            parts.append(f"{self.users.num_rows:,} profiles ({profile})")
        if self.judgments is not None:
            queries = pc.count_distinct(self.judgments["query"]).as_py()
            parts.append(f"{self.judgments.num_rows:,} judgments of {queries:,} queries")
        return f"ShopData({'; '.join(parts)})"


def _log_line(path: Path) -> str:
    """How many events and of which days, from the file's metadata."""
    log = read_parquet_metadata(path)
    place = EVENTS_SCHEMA.names.index("timestamp")
    times = [log.row_group(group).column(place).statistics for group in range(log.num_row_groups)]
    if not log.num_rows:
        return "0 events"
    first, last = min(group.min for group in times), max(group.max for group in times)
    return f"{log.num_rows:,} events from {first:%Y-%m-%d} to {last:%Y-%m-%d}"
