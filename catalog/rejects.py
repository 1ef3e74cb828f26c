"""What ingest refused: file, row, column, value and reason of everything."""

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from catalog.schema import REJECTS_SCHEMA

_SHOWN_LENGTH = 200  # characters of a rejected value that are kept
_REASONS_SHOWN = 12


@dataclass(eq=False)
class Rejects:
    """Everything refused so far, of all tables."""

    parts: list[pa.Table] = field(default_factory=list)

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
            self.parts.append(pa.Table.from_arrays(arrays, schema=REJECTS_SCHEMA))

    def table(self) -> pa.Table:
        """All rejects, REJECTS_SCHEMA."""
        return pa.concat_tables([REJECTS_SCHEMA.empty_table(), *self.parts])

    def by_reason(self, table: str | None = None) -> list[dict[str, Any]]:
        """Counts, the most frequent first: table, column, reason, rows, and the first of them as an example."""
        rejects = self.table()
        if table is not None:
            rejects = rejects.filter(pc.equal(rejects["table"], table))
        firsts = [("row", "count"), ("file", "first"), ("row", "first"), ("value", "first")]
        groups = rejects.group_by(["table", "column", "reason"], use_threads=False).aggregate(firsts).to_pylist()
        found = [
            {name: group[name] for name in ("table", "column", "reason")}
            | {
                "rows": group["row_count"],
                "example": f"{group['file_first']} row {group['row_first']}: {group['value_first']!r}",
            }
            for group in groups
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
