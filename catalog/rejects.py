"""What ingest refused: file, row, column, value and reason of everything."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.schema import REJECTS_SCHEMA

_SHOWN_LENGTH = 200  # characters of a rejected value that are kept
_REASONS_SHOWN = 12
_WAITING_ROWS = 100_000  # rejects in memory, about, before they are written


@dataclass(eq=False)
class _Counted:
    rows: int
    example: str


class Rejects:
    """Everything refused, of all tables: a Parquet file of REJECTS_SCHEMA, and counts in memory.

    The file is whole when the object is closed, or left as a context.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._counts: dict[tuple[str, str, str], _Counted] = {}
        self._waiting: list[pa.Table] = []
        self._writer = pq.ParquetWriter(path, REJECTS_SCHEMA, compression="zstd")

    def __enter__(self) -> "Rejects":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish the file; nothing can be added any more."""
        if self._writer.is_open:
            self._write()
            self._writer.close()

    def _write(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
            self._waiting.clear()

    def add(self, table: str, file: str, rows: Any, columns: list[str], values: Any, reasons: list[str]) -> None:
        """Add one reject a row.

        Args:
            table, file: where the rows stand; the file relative to the shop's folder.
            rows: [n] data rows, from 1.
            columns: [n] the column at fault, "" for the whole row.
            values: [n] what stood there, any Arrow array or strings.
            reasons: [n].
        """
        count = len(rows)
        if count:
            cells = [[table] * count, [file] * count, rows, columns, _shown(values), reasons]
            arrays = [pa.array(items, type_) for items, type_ in zip(cells, REJECTS_SCHEMA.types, strict=True)]
            added = pa.Table.from_arrays(arrays, schema=REJECTS_SCHEMA)
            self._count(added)
            self._waiting.append(added)
            if sum(part.num_rows for part in self._waiting) >= _WAITING_ROWS:
                self._write()

    def _count(self, added: pa.Table) -> None:
        firsts = [("row", "count"), ("file", "first"), ("row", "first"), ("value", "first")]
        for group in added.group_by(["table", "column", "reason"], use_threads=False).aggregate(firsts).to_pylist():
            example = f"{group['file_first']} row {group['row_first']}: {group['value_first']!r}"
            key = (group["table"], group["column"], group["reason"])
            self._counts.setdefault(key, _Counted(0, example)).rows += group["row_count"]

    def by_reason(self, table: str | None = None) -> list[dict[str, Any]]:
        """Counts, the most frequent first: table, column, reason, rows, and the first of them as an example."""
        found = [
            {"table": name, "column": column, "reason": reason, "rows": counted.rows, "example": counted.example}
            for (name, column, reason), counted in self._counts.items()
            if table in (None, name)
        ]
        return sorted(found, key=lambda item: -item["rows"])

    def explain(self, table: str) -> str:
        """The most frequent reasons of one table, as lines of text."""
        reasons = self.by_reason(table)
        lines = ["      rows  column           reason"]
        for item in reasons[:_REASONS_SHOWN]:
            place = item["column"] or "(whole row)"
            lines.append(f"{item['rows']:>10,}  {place:<16} {item['reason']}; e.g. {item['example']}")
        if len(reasons) > _REASONS_SHOWN:
            lines.append(f"            and {len(reasons) - _REASONS_SHOWN} more reasons")
        return "\n".join(lines)


def _shown(values: Any) -> pa.Array:
    """Any values as text, cut to a length that is pleasant to read."""
    array = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, pa.string())
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    try:
        text = array.cast(pa.string())
    except pa.ArrowException:
        text = pa.array([None if value is None else repr(value) for value in array.to_pylist()], pa.string())
    return pc.utf8_slice_codeunits(pc.fill_null(text, ""), 0, _SHOWN_LENGTH)
