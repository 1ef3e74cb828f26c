"""The four tables: checked batches -> one validated Parquet file each, and the pictures as one array."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.checks import Checked, Fault, Mask, first_only
from catalog.gaps import stray_gap
from catalog.intake import Extra, Run, checked_batches, require_files, stop
from catalog.picture_store import Source, holds_bytes, sources_in_parquet, store_pictures
from catalog.schema import (
    EVENT_COLUMNS,
    EVENTS_SCHEMA,
    JUDGMENT_COLUMNS,
    JUDGMENTS_SCHEMA,
    PRODUCT_COLUMNS,
    PRODUCTS_SCHEMA,
    user_table_columns,
)
from catalog.splits import SECONDS_PER_DAY

_SORT_MEMORY = "1GB"  # beyond it DuckDB sorts on disk
_WRITTEN_ROWS = 8192  # products at a time: their longest text must fit in one Arrow array of 32-bit offsets
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_PRODUCT = (
    "no such product in the products table (or its row was refused); keep one that is no longer sold there, with "
    "in_stock false"
)
_WITHOUT_POINT, _WITH_POINT = (
    f'no such product in the products table, but the same {there} ".0" at the end; write ids in both as whole numbers'
    for there in ("without", "with")
)


@dataclass(frozen=True, eq=False)
class Products:
    """Products that passed, in reading order, before their pictures are known.

    Attributes:
        columns: PRODUCT_COLUMNS, typed; created_at null where unknown.
        origins: by file: the data rows kept, ascending; the products of one file follow the products of the one before.
    """

    columns: pa.Table
    origins: list[tuple[Path, npt.NDArray[np.int64]]]

    @property
    def ids(self) -> pa.ChunkedArray:
        """[products] product_id, in reading order."""
        return self.columns["product_id"]


def check_products(run: Run) -> Products:
    """Read and check the products; of rows with the same product_id the first is kept."""
    require_files(run, "products")
    tables: list[pa.Table] = []
    origins: dict[Path, list[npt.NDArray[np.int64]]] = {}
    for kept in checked_batches(run, "products", PRODUCT_COLUMNS, _first_of(("product_id",))):
        tables.append(kept.columns)
        origins.setdefault(kept.path, []).append(kept.rows)
    return Products(pa.concat_tables(tables), [(path, np.concatenate(rows)) for path, rows in origins.items()])


def write_users(run: Run, profile: tuple[str, ...]) -> None:
    """Check and write the users with the declared profile columns, if the shop brings them."""
    if profile:
        require_files(run, "users")
    columns = user_table_columns(profile)
    tables = [kept.columns for kept in checked_batches(run, "users", columns, _first_of(("user_id",)))]
    if tables:
        pq.write_table(pa.concat_tables(tables), run.folder / "users.parquet", compression="zstd")


def write_judgments(run: Run, products: Products) -> None:
    """Check and write the judgments, if the shop brings them."""
    known, first = _known_product(products.ids), _first_of(("query", "product_id"))

    def extra(checked: Checked, keep: Mask) -> None:
        before = len(checked.faults)
        known(checked, keep)
        unknown = np.logical_or.reduce([fault.rows for fault in checked.faults[before:]])
        first(checked, keep & ~unknown)

    tables = [kept.columns for kept in checked_batches(run, "judgments", JUDGMENT_COLUMNS, extra)]
    if tables:
        table = pa.concat_tables(tables).select(JUDGMENTS_SCHEMA.names).cast(JUDGMENTS_SCHEMA)
        pq.write_table(table, run.folder / "judgments.parquet", compression="zstd")


def write_events(run: Run, products: Products) -> datetime:
    """Check the events and write them sorted by (timestamp, input order); returns midnight UTC of the first day.

    A few events that lie years before all others have the time of a wrong clock, and are refused.
    """
    require_files(run, "events")
    unsorted = run.folder / "unsorted.parquet"
    schema = pa.schema([*EVENTS_SCHEMA, ("input_order", pa.int64()), ("file", pa.string()), ("row", pa.int64())])
    per_day: Counter[int] = Counter()
    count = 0
    with pq.ParquetWriter(unsorted, schema, compression="lz4") as writer:
        for kept in checked_batches(run, "events", EVENT_COLUMNS, _known_product(products.ids)):
            table = kept.columns.select(EVENTS_SCHEMA.names)
            table = table.append_column("input_order", pa.array(np.arange(count, count + len(kept.rows))))
            table = table.append_column("file", pa.repeat(str(kept.path.relative_to(run.source)), len(kept.rows)))
            table = table.append_column("row", pa.array(kept.rows))
            writer.write_table(table.cast(schema))
            count += len(kept.rows)
            per_day.update(_day_numbers(table["timestamp"]))
    first_day = _refuse_strays(run, unsorted, per_day)
    _sort_events(unsorted, run.folder / "events.parquet", first_day, run.workers)
    unsorted.unlink()
    return first_day


def _day_numbers(times: pa.ChunkedArray) -> dict[int, int]:
    """Events of each day that has any; day 0 is 1970-01-01."""
    days, events = np.unique(times.cast(pa.int64()).to_numpy() // (SECONDS_PER_DAY * 1_000_000), return_counts=True)
    return dict(zip(days.tolist(), events.tolist(), strict=True))


def _refuse_strays(run: Run, unsorted: Path, per_day: Counter[int]) -> datetime:
    """Tell the events before the log, as `stray_gap` finds them; returns midnight UTC of the log's first day."""
    days = np.array(sorted(per_day), np.int64)
    gap = stray_gap(days, np.array([per_day[day] for day in days.tolist()], np.int64))
    if gap is None:
        return _midnight(int(days[0]))
    first_day = _midnight(gap.end)
    strays = pq.read_table(
        unsorted,
        columns=["file", "row", "timestamp"],
        filters=pc.field("timestamp") < pa.scalar(first_day, EVENTS_SCHEMA.field("timestamp").type),
        partitioning=None,
    )
    reason = (
        f"a wrong clock: {gap.days:,} days without any event lie between this time and the log, which begins on "
        f"{first_day:%Y-%m-%d}; mend the time"
    )
    for file in strays["file"].unique().to_pylist():
        here = strays.filter(pc.equal(strays["file"], file))
        values = [f"{time:%Y-%m-%d %H:%M:%S} UTC" for time in here["timestamp"].to_pylist()]
        count = here.num_rows
        run.rejects.add("events", file, here["row"].to_pylist(), ["timestamp"] * count, values, [reason] * count)
    run.reports["events"].kept -= strays.num_rows
    return first_day


def _midnight(day: int) -> datetime:
    return _EPOCH + timedelta(days=day)


def write_products(run: Run, products: Products, first_day: datetime, image_size: int, max_broken_share: float) -> None:
    """Decode the pictures and write images.npy and the products, sorted by product_id.

    Raises:
        DataError: when more than `max_broken_share` of the pictures cannot be used.
    """
    table = products.columns
    pictures = run.folder / "images.npy"
    stored = store_pictures(
        _sources(products), _count_pictures(products), table.num_rows, run.source, pictures, image_size, run.workers
    )
    _report_broken(run, products, stored.broken)
    _enforce_pictures(run, len(stored.broken), int((stored.image_row >= 0).sum()), max_broken_share)
    launched, run.early = _launched(table, run.folder / "events.parquet", first_day)
    table = table.set_column(table.column_names.index("created_at"), "created_at", launched)
    table = table.append_column("image_row", pa.array(stored.image_row))
    table = table.append_column("image_sha256", pa.array(stored.sha256, pa.string()))
    _write_sorted_products(table.select(PRODUCTS_SCHEMA.names).cast(PRODUCTS_SCHEMA), run.folder / "products.parquet")


def _enforce_pictures(run: Run, broken: int, used: int, max_share: float) -> None:
    named = broken + used
    if broken > max_share * named:
        stop(
            run,
            "products",
            f"products: {broken:,} of {named:,} pictures ({broken / named:.1%}) cannot be used; at most "
            f"{max_share:.1%} may be. Put the files into images/ under the names in the column `image`; or leave the "
            "column out, or raise ingest.max_broken_picture_share.",
        )


def _launched(products: pa.Table, events: Path, first_day: datetime) -> tuple[pa.ChunkedArray, int]:
    """created_at, or the first event where that is earlier, or the log's first day where neither is known.

    Returns:
        [products] times, and how many have an event before their created_at.
    """
    with duckdb.connect() as connection:
        firsts = connection.read_parquet(str(events), hive_partitioning=False).aggregate(
            "product_id, min(timestamp) AS first", "product_id"
        )
        met = firsts.to_arrow_table()
    place = pc.index_in(products["product_id"], value_set=met["product_id"])
    first = met["first"].take(place).cast(PRODUCTS_SCHEMA.field("created_at").type)
    created = products["created_at"]
    early = pc.fill_null(pc.less(first, created), False)
    launched = pc.fill_null(pc.if_else(early, first, created), pa.scalar(first_day, created.type))
    return launched, pc.sum(early).as_py() or 0


def _write_sorted_products(table: pa.Table, target: Path) -> None:
    """Write products by product_id; a column's texts may take more than the 2 GiB that one array of strings can."""
    wide = [field.with_type(pa.large_string()) if field.type == pa.string() else field for field in table.schema]
    table = table.cast(pa.schema(wide)).combine_chunks()
    order = pc.sort_indices(table["product_id"])
    with pq.ParquetWriter(target, PRODUCTS_SCHEMA, compression="zstd") as writer:
        for start in range(0, len(order), _WRITTEN_ROWS):
            writer.write_table(table.take(order.slice(start, _WRITTEN_ROWS)).cast(PRODUCTS_SCHEMA))


def _sources(products: Products) -> Iterator[Source]:
    start = 0
    for path, rows in products.origins:
        end = start + len(rows)
        if holds_bytes(path):
            yield from sources_in_parquet(path, rows, np.arange(start, end))
        else:
            names = products.columns["image"].slice(start, len(rows)).to_pylist()
            yield from (Source(product, name) for product, name in enumerate(names, start) if name)
        start = end


def _count_pictures(products: Products) -> int:
    inside = sum(len(rows) for path, rows in products.origins if holds_bytes(path))
    return inside + (pc.sum(pc.not_equal(products.columns["image"], "")).as_py() or 0)


def _report_broken(run: Run, products: Products, broken: list[tuple[int, str, str]]) -> None:
    starts = np.cumsum([0, *(len(rows) for _, rows in products.origins)])
    for number, (path, rows) in enumerate(products.origins):
        here = [item for item in broken if starts[number] <= item[0] < starts[number + 1]]
        run.rejects.add(
            "products",
            str(path.relative_to(run.source)),
            [int(rows[product - starts[number]]) for product, _, _ in here],
            ["image"] * len(here),
            [value for _, value, _ in here],
            [reason for _, _, reason in here],
        )


def _sort_events(source: Path, target: Path, first_day: datetime, workers: int) -> None:
    settings = {"threads": workers, "memory_limit": _SORT_MEMORY, "temp_directory": str(source.parent)}
    columns = ", ".join(EVENTS_SCHEMA.names)
    with duckdb.connect(config=settings) as connection:
        connection.execute(
            f"COPY (SELECT {columns} FROM read_parquet($source, hive_partitioning = false) "
            "WHERE epoch_us(timestamp) >= $first ORDER BY timestamp, input_order) "
            f"TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)",
            {"source": str(source), "first": (first_day - _EPOCH) // timedelta(microseconds=1)},
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _first_of(key: tuple[str, ...]) -> Extra:
    """Refuse rows whose key stood on an earlier row that was kept."""
    seen: set[object] = set()

    def extra(checked: Checked, keep: Mask) -> None:
        keys = zip(*(checked.columns[name].to_pylist() for name in key), strict=True)
        reason = f"an earlier row has the same {' and '.join(key)}; the first is kept"
        checked.faults.append(Fault(key[0], first_only(keys, keep, seen), reason))

    return extra


def _known_product(ids: pa.Array) -> Extra:
    """Refuse rows about products that are not in the catalogue, and say of which it has the id but for a ".0"."""

    def extra(checked: Checked, keep: Mask) -> None:
        named = checked.columns["product_id"]
        unknown = keep & ~pc.is_in(named, value_set=ids).to_numpy(zero_copy_only=False)
        missed = named.filter(pa.array(unknown))
        whole = pc.is_in(pc.replace_substring_regex(missed, r"\.0$", ""), value_set=ids)
        broken = pc.is_in(pc.binary_join_element_wise(missed, ".0", ""), value_set=ids)
        for reason, fits in ((_WITHOUT_POINT, whole), (_WITH_POINT, broken)):
            rows = np.zeros(len(unknown), np.bool_)
            rows[unknown] = fits.to_numpy(zero_copy_only=False)
            checked.faults.append(Fault("product_id", rows, reason))
        told = checked.faults[-2].rows | checked.faults[-1].rows
        checked.faults.append(Fault("product_id", unknown & ~told, _UNKNOWN_PRODUCT))

    return extra
