"""The validated tables with users, sessions, queries, products and kinds as numbers, in Ibis."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import ibis
import ibis.expr.types as ir

from catalog.errors import ArtifactError
from catalog.schema import KINDS
from catalog.splits import SECONDS_PER_DAY

_EVENT_COLUMNS = ("user_id", "session_id", "timestamp", "kind", "product_id", "query")


@dataclass(frozen=True)
class BehaviourLog:
    """One shop's log, ready for joins and windows over integers.

    Attributes:
        connection: the Ibis backend that holds the tables.
        events: user, session, kind, product, query (-1 none), folded (the same for queries that differ in case or
            blanks alone, -1 none), position int32; timestamp int64 s, rounded down; order int64, the event's place in
            the input.
        users, sessions, queries: code int32 from 0 in the order of the text, value string; queries also folded.
        products: product int32, created_at int64 s.
        day0: midnight UTC before the first event, in seconds. days: days from it to the last event, 0 if no event.
    """

    connection: Any
    events: ir.Table
    users: ir.Table
    sessions: ir.Table
    queries: ir.Table
    products: ir.Table
    day0: int
    days: int

    def keep(self, table: ir.Table) -> ir.Table:
        """Run `table` once and give the stored result."""
        return _keep(self.connection, table)


def read_log(connection: Any, shop_dir: Path) -> BehaviourLog:
    """Encode events.parquet and products.parquet of `shop_dir`.

    Raises:
        ArtifactError: if a table is missing or unreadable, or names a kind or a product that does not exist.
    """
    raw = read_table(connection, shop_dir / "events.parquet", (*_EVENT_COLUMNS, "position"))
    listed = read_table(connection, shop_dir / "products.parquet", ("product_id", "created_at"))
    products = _keep(
        connection,
        listed.select(
            product=listed.file_row_number.cast("int32"),
            product_id=listed.product_id,
            created_at=_seconds(listed.created_at),
        ),
    )
    users, sessions = _code(connection, raw.user_id), _code(connection, raw.session_id)
    queries = _code(connection, raw.filter(raw.query != "").query)
    queries = _keep(connection, queries.mutate(folded=_folded(queries.value)))
    events = _keep(connection, _encode(raw, users, sessions, queries, products))
    _check_all_known(raw, events, shop_dir)
    span = events.aggregate(first=events.timestamp.min(), last=events.timestamp.max()).to_pyarrow().to_pylist()[0]
    if span["first"] is None:
        day0 = days = 0
    else:
        day0 = span["first"] // SECONDS_PER_DAY * SECONDS_PER_DAY
        days = (span["last"] - day0) // SECONDS_PER_DAY + 1
    return BehaviourLog(connection, events, users, sessions, queries, products, day0, days)


def read_table(connection: Any, path: Path, columns: tuple[str, ...]) -> ir.Table:
    """A Parquet file of the ingest stage, with its rows numbered from 0 in `file_row_number`.

    Raises:
        ArtifactError: if it is missing, unreadable, or lacks one of `columns`.
    """
    if not path.is_file():
        raise ArtifactError(f"{path}: no such table; run the ingest stage first")
    try:
        # The row number is the one thing here that each backend says in its own way. A folder of the workspace that is
        # called key=value is no column.
        table = connection.read_parquet(str(path), file_row_number=True, hive_partitioning=False)
    except duckdb.Error as error:
        raise ArtifactError(f"{path}: not a readable Parquet file ({error}); run the ingest stage again") from error
    if missing := [name for name in columns if name not in table.columns]:
        raise ArtifactError(f"{path}: expected the columns {columns}, missing {missing}; run the ingest stage again")
    return table


def _encode(raw: ir.Table, users: ir.Table, sessions: ir.Table, queries: ir.Table, products: ir.Table) -> ir.Table:
    joined = (
        raw.join(users.select(user="code", user_id="value"), "user_id")
        .join(sessions.select(session="code", session_id="value"), "session_id")
        .join(products.select("product", "product_id"), "product_id")
        .left_join(queries.select("folded", query_code="code", query="value"), "query")
    )
    return joined.select(
        "user",
        "session",
        "product",
        kind=joined.kind.cases(*((name, index) for index, name in enumerate(KINDS)), else_=-1).cast("int32"),
        query=joined.query_code.fill_null(-1).cast("int32"),
        folded=joined.folded.fill_null(-1).cast("int32"),
        position=joined.position.cast("int32"),
        timestamp=_seconds(joined.timestamp),
        order=joined.file_row_number,
    ).filter(ibis._.kind >= 0)


def _check_all_known(raw: ir.Table, events: ir.Table, shop_dir: Path) -> None:
    expected, received = int(raw.count().to_pyarrow().as_py()), int(events.count().to_pyarrow().as_py())
    if expected != received:
        raise ArtifactError(
            f"{shop_dir}: {expected - received:,} of {expected:,} events name a product that products.parquet does "
            f"not have, or a kind that is none of {', '.join(KINDS)}; run the ingest stage again"
        )


def _code(connection: Any, values: ir.StringColumn) -> ir.Table:
    distinct = values.as_table().distinct()
    distinct = distinct.select(value=distinct.columns[0])
    return _keep(connection, distinct.mutate(code=ibis.row_number().over(order_by="value").cast("int32")))


def _folded(queries: ir.StringColumn) -> ir.IntegerColumn:
    """A number for each text as `catalog.splits.folded_query` has it."""
    folded = queries.re_replace(r"[\s\p{Z}]+", " ").strip().lower()
    return ibis.dense_rank().over(order_by=folded).cast("int32")


def _seconds(timestamps: ir.TimestampColumn) -> ir.IntegerColumn:
    # Rounded down before the cast, which would round to the nearest second: history is what was known before.
    return timestamps.truncate("s").epoch_seconds().cast("int64")


def _keep(connection: Any, table: ir.Table) -> ir.Table:
    return connection.create_table(ibis.util.gen_name("features"), table, temp=True)
