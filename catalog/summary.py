"""What came in, in numbers a person can read: summary.json, and the same as a table on the terminal."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.table import Table

from catalog.files import read_json, read_npy, read_parquet
from catalog.grades import scaled_grades
from catalog.intake import Run

_SCRIPTS = (
    ("Japanese", r"[\p{Hiragana}\p{Katakana}]"),
    ("Korean", r"\p{Hangul}"),
    ("Chinese", r"\p{Han}"),
    ("Cyrillic", r"\p{Cyrillic}"),
    ("Arabic", r"\p{Arabic}"),
    ("Greek", r"\p{Greek}"),
    ("Hebrew", r"\p{Hebrew}"),
    ("Thai", r"\p{Thai}"),
    ("Devanagari", r"\p{Devanagari}"),
    ("Latin", r"\p{Latin}"),
    ("other", r"^"),
)
"""Languages told by their script: a title counts for the first that it holds a letter of."""

_REASONS_SHOWN = 15
_FILES_SHOWN = 3
_RARE, _FAR = 0.01, 3.0  # a highest grade of fewer rows, more times the next one, may be a slip that scales all others


def write_summary(run: Run) -> None:
    """Write summary.json beside the tables that `run` wrote."""
    products = read_parquet(run.folder / "products.parquet")
    images = read_npy(run.folder / "images.npy", mmap=True)
    broken = sum(item["rows"] for item in run.rejects.by_reason("products") if item["column"] == "image")
    summary = {
        "tables": {
            name: {
                "files": report.files,
                "rows": report.rows,
                "kept": report.kept,
                "rejected": report.rows - report.kept,
                "ignored_columns": sorted(report.ignored_columns),
                "missing_columns": report.missing_columns,
            }
            for name, report in run.reports.items()
            if report.files
        },
        "products": _describe_products(products) | {"events_before_created_at": run.early},
        "pictures": {"distinct": len(images), "broken": broken, "size": images.shape[1]},
        "grades": _describe_grades(run.folder / "judgments.parquet"),
        "events": _describe_events(run.folder / "events.parquet"),
        "rejects": run.rejects.by_reason(),
    }
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (run.folder / "summary.json").write_text(text, encoding="utf-8")


def summary_table(shop_dir: Path) -> Table:
    """The summary of one ingest as a table to print.

    Raises:
        ArtifactError: when `shop_dir` holds no readable summary.json.
    """
    summary = read_json(shop_dir / "summary.json")
    table = Table(title=f"{shop_dir}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, counts in summary["tables"].items():
        table.add_row(name, _count_line(counts))
        for column, files in counts["missing_columns"].items():
            more = f" and {len(files) - _FILES_SHOWN:,} more" if len(files) > _FILES_SHOWN else ""
            parts = _plain(f"no {column!r} in {', '.join(files[:_FILES_SHOWN])}{more}; other parts have it")
            table.add_row(f"[red]{name}[/red]", f"{parts}, and there it counts as empty")
    products, pictures, events = summary["products"], summary["pictures"], summary["events"]
    table.add_section()
    shares = ", ".join(f"{name.replace('_', ' ')} {share:.1%}" for name, share in products["share_with"].items())
    table.add_row("products with", shares)
    table.add_row("titles in", ", ".join(f"{name} {share:.1%}" for name, share in products["scripts"].items()))
    if len(products["currencies"]) > 1:
        prices = ", ".join(f"{_plain(name)} {count:,}" for name, count in products["currencies"].items())
        table.add_row("[red]prices in[/red]", f"{prices}: they are compared as numbers; bring them in one currency")
    if early := products["events_before_created_at"]:
        table.add_row("[red]launch[/red]", f"{early:,} with an event before created_at: launched at their first event")
    size = pictures["size"]
    broken = f", [red]{pictures['broken']:,} broken[/red]" if pictures["broken"] else ""
    table.add_row("pictures", f"{pictures['distinct']:,} distinct, stored at {size} x {size}{broken}")
    if grades := summary["grades"]:
        table.add_row("[red]grades[/red]" if grades["doubtful"] else "grades", _grades_line(grades))
    table.add_section()
    table.add_row("time", f"{events['first']} to {events['last']}")
    table.add_row("events", ", ".join(f"{kind} {count:,}" for kind, count in events["kinds"].items()))
    table.add_row(
        "from", f"{events['users']:,} users, {events['sessions']:,} sessions, {events['queries']:,} distinct queries"
    )
    if summary["rejects"]:
        table.add_section()
    for item in summary["rejects"][:_REASONS_SHOWN]:
        place = f"{item['table']}.{item['column']}" if item["column"] else item["table"]
        cost = "without picture" if item["column"] == "image" else "refused"
        table.add_row(
            f"[red]{item['rows']:,} {cost}[/red]", f"{place}: {_plain(item['reason'])}; {_plain(item['example'])}"
        )
    if len(summary["rejects"]) > _REASONS_SHOWN:
        table.add_row("", f"and {len(summary['rejects']) - _REASONS_SHOWN} more reasons in summary.json")
    return table


def _count_line(counts: dict[str, Any]) -> str:
    line = f"{counts['kept']:,} of {counts['rows']:,} rows kept, from {', '.join(counts['files'])}"
    if counts["ignored_columns"]:
        line += f"; columns not used: {', '.join(counts['ignored_columns'])}"
    return _plain(line)


def _grades_line(grades: dict[str, Any]) -> str:
    line = f"0 to {grades['highest']:g}"
    if grades["scaled_to"] != grades["highest"]:
        line += f", scaled so that {grades['highest']:g} counts as {grades['scaled_to']:g}"
    if grades["doubtful"]:
        line += (
            f"; but {grades['with_highest']:,} of {grades['count']:,} rows have it, and the next is "
            f"{grades['next']:g}: if it was typed wrong, mend it, for it makes all others small"
        )
    return line


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _describe_products(products: pa.Table) -> dict[str, Any]:
    count = products.num_rows
    filled = {
        "picture": pc.greater_equal(products["image_row"], 0),
        "description": pc.not_equal(products["description"], ""),
        "category": pc.not_equal(products["category"], ""),
        "brand": pc.not_equal(products["brand"], ""),
        "attributes": pc.not_equal(products["attributes"], "{}"),
        "price": pc.is_finite(products["price"]),
        "rating": pc.is_finite(products["rating_average"]),
        "review_text": pc.not_equal(products["review_text"], ""),
        "in_stock": products["in_stock"],
    }
    return {
        "count": count,
        "share_with": {name: pc.sum(mask).as_py() / count for name, mask in filled.items()},
        "scripts": _scripts(products["title"]),
        "currencies": _currencies(products),
    }


def _currencies(products: pa.Table) -> dict[str, int]:
    """How many priced products there are in each currency that is named, the most frequent first."""
    named = products.filter(pc.and_(pc.is_finite(products["price"]), pc.not_equal(products["currency"], "")))
    counts = {item["values"]: item["counts"] for item in pc.value_counts(named["currency"]).to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _scripts(titles: pa.ChunkedArray) -> dict[str, float]:
    total, shares = len(titles), {}
    for name, pattern in _SCRIPTS:
        matches = pc.match_substring_regex(titles, pattern)
        if found := pc.sum(matches).as_py():
            shares[name] = found / total
        titles = titles.filter(pc.invert(matches))
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _describe_grades(path: Path) -> dict[str, Any] | None:
    """The scale of the judgments' grades; `doubtful` where a few rows far above all others set it. None without any."""
    if not path.exists():
        return None
    grades = read_parquet(path, ["grade"])["grade"].to_numpy()
    values, counts = np.unique(grades, return_counts=True)
    if not len(values):
        return None
    highest, scaled = float(values[-1]), float(scaled_grades(grades).max())
    following = float(values[-2]) if len(values) > 1 else highest
    rare, far = counts[-1] < _RARE * len(grades), highest > _FAR * following > 0
    return {
        "count": len(grades),
        "highest": highest,
        "with_highest": int(counts[-1]),
        "next": following,
        "scaled_to": scaled,
        "doubtful": bool(rare and far and scaled != highest),
    }


def _describe_events(path: Path) -> dict[str, Any]:
    with duckdb.connect() as connection:
        events = connection.read_parquet(str(path), hive_partitioning=False)
        counts = events.aggregate(
            "count(*) AS count, count(DISTINCT user_id) AS users, count(DISTINCT (user_id, session_id)) AS sessions, "
            "count(DISTINCT nullif(query, '')) AS queries, "
            "epoch(min(timestamp))::BIGINT AS first, epoch(max(timestamp))::BIGINT AS last"
        ).fetchall()[0]
        kinds = events.aggregate("kind, count(*) AS count", "kind").order("count DESC, kind").fetchall()
    summary: dict[str, Any] = dict(zip(("count", "users", "sessions", "queries", "first", "last"), counts, strict=True))
    for name in ("first", "last"):
        moment = pa.scalar(summary[name], pa.timestamp("s", tz="UTC")).as_py()
        summary[name] = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    return summary | {"kinds": dict(kinds)}
