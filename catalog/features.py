"""Behaviour features and point-in-time histories: the validated tables -> a FeatureStore.

Joins, windows and counts are Ibis expressions (DuckDB reads the Parquet files here; Spark runs the same expressions at
scale); numpy receives the finished columns. What was known when is said in `catalog.feature_store.FeatureStore`.
"""

import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import ibis
import ibis.expr.types as ir
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field, field_validator

from catalog.behaviour_log import BehaviourLog, read_log, read_table
from catalog.config import Config, Operational
from catalog.episodes import Episodes, find_episodes, strength_order
from catalog.errors import DataError
from catalog.feature_store import FeatureStore, Int64s, Strings
from catalog.files import atomic_directory
from catalog.gaps import LONG_DAYS, find_gaps
from catalog.progress import console
from catalog.schema import KIND_WEIGHTS, KINDS
from catalog.snapshots import counter_names, daily_counts, snapshots_bytes, write_snapshots
from catalog.splits import SECONDS_PER_DAY, Slices, SplitsConfig, slice_days

_PROFILE = "column_"


class FeaturesConfig(Config):
    """What is counted, and how much each kind of event weighs."""

    counter_windows_days: tuple[int, ...] = Field(
        (7, 30),
        min_length=1,
        description="windows of the daily counters, in days, rising; the whole past comes besides",
    )
    kind_weights: dict[str, float] = Field(
        default_factory=lambda: dict(KIND_WEIGHTS),
        description="weight of each kind of event, and so their strength, in training and in the report",
    )
    memory_gb: Annotated[float, Operational()] = Field(
        2.0, ge=0.25, description="memory DuckDB may use before it spills to disk"
    )

    @field_validator("counter_windows_days")
    @classmethod
    def _rising(cls, windows: tuple[int, ...]) -> tuple[int, ...]:
        if windows[0] < 1 or any(a >= b for a, b in pairwise(windows)):
            raise ValueError(f"expected rising numbers of days from 1 on, received {windows}")
        return windows

    @field_validator("kind_weights")
    @classmethod
    def _all_kinds(cls, weights: dict[str, float]) -> dict[str, float]:
        if set(weights) != set(KINDS) or min(weights.values()) < 0:
            raise ValueError(f"expected a weight of at least 0 for each of {', '.join(KINDS)}, received {weights}")
        return weights


def build(shop_dir: Path, out_dir: Path, features: FeaturesConfig, splits: SplitsConfig) -> FeatureStore:
    """Build the features of the tables in `shop_dir` and save them in `out_dir`, whole or not at all.

    Args:
        shop_dir: the ingest stage's output; users.parquet may be missing.
        out_dir: where the FeatureStore goes.
        features: counters and weights. splits: the days of each slice.

    Returns:
        The saved store, memory-mapped.

    Raises:
        ConfigError: if the log has too few days for the slices.
        ArtifactError: if a table is missing or broken.
        DataError: if the daily snapshots are larger than the room on the disk.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".features.", dir=out_dir.parent) as spill:
        connection = ibis.duckdb.connect(temp_directory=spill, memory_limit=f"{features.memory_gb}GB")
        try:
            log = read_log(connection, shop_dir)
            slices = slice_days(log.days, splits)
            with atomic_directory(out_dir) as temporary:
                _write_store(log, shop_dir, temporary, slices, features)
        finally:
            connection.disconnect()
    return FeatureStore.load(out_dir)


def _write_store(log: BehaviourLog, shop_dir: Path, folder: Path, slices: Slices, features: FeaturesConfig) -> None:
    users = _columns(_user_columns(log, shop_dir).order_by("code"))
    created_at = _columns(log.products.order_by("product"))["created_at"]
    counts = daily_counts(log.events, log.day0).to_pyarrow()
    windows = features.counter_windows_days
    _check_room(folder, snapshots_bytes(len(created_at), slices.days, windows), _gap_note(log, counts))
    snapshots = write_snapshots(folder / "snapshots.npy", counts, len(created_at), slices.days, windows)
    episodes = find_episodes(log, slices, features.kind_weights)
    FeatureStore(
        day0=log.day0,
        slices=slices,
        user_ids=users["value"],
        user_columns={
            name.removeprefix(_PROFILE): values for name, values in users.items() if name.startswith(_PROFILE)
        },
        queries=_columns(log.queries.order_by("code"))["value"],
        launched=((created_at - log.day0) // SECONDS_PER_DAY).astype(np.int32),
        snapshots=snapshots,
        snapshot_features=counter_names(windows),
        kind_weights=features.kind_weights,
        **_arrays(episodes, log, slices, features.kind_weights, len(users["code"])),
    ).write_files(folder, written=("snapshots",))


def _check_room(folder: Path, needed: int, note: str) -> None:
    """Refuse snapshots that the disk has no room for, before the work and not after it."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"the daily snapshots (days x products x counters) take {needed / 1e9:,.1f} GB; the disk that holds "
            f"{folder.parent} has {free / 1e9:,.1f} GB free. Make room, put the workspace on another disk, bring a "
            f"shorter log, or set fewer features.counter_windows_days. {note}".rstrip()
        )
    if note:
        console.print(f"the daily snapshots take {needed / 1e9:,.1f} GB. {note}")


def _gap_note(log: BehaviourLog, counts: pa.Table) -> str:
    """What to say of a log that pauses for more than a year, each day of which makes a snapshot; "" where none does."""
    per_day = np.bincount(counts["day"].to_numpy(), weights=counts["events"].to_numpy()).astype(np.int64)
    days = np.flatnonzero(per_day)
    longest = max(find_gaps(days, per_day[days]), key=lambda gap: gap.days, default=None)
    if longest is None or longest.days <= LONG_DAYS:
        return ""
    return (
        f"The log begins on {_date(log, 0)}; {longest.days:,} days without an event lie between {longest.before:,} "
        f"event(s), the last on {_date(log, longest.start)}, and all others, from {_date(log, longest.end)}. If the "
        "clock of the former was wrong, mend them or leave them out, and ingest again"
    )


def _date(log: BehaviourLog, day: int) -> str:
    return f"{datetime.fromtimestamp(log.day0 + day * SECONDS_PER_DAY, UTC):%Y-%m-%d}"


def _user_columns(log: BehaviourLog, shop_dir: Path) -> ir.Table:
    """The users of the log: code, value (the id) and profile columns with a prefix, "" where nothing is known."""
    path = shop_dir / "users.parquet"
    if not path.is_file():
        return log.users
    known = read_table(log.connection, path, ("user_id",)).drop("file_row_number")
    known = known.select(user_id=known.user_id, **{_PROFILE + name: known[name] for name in known.columns[1:]})
    joined = log.users.left_join(known, [log.users.value == known.user_id])
    return joined.select("code", "value", **{name: joined[name].fill_null("") for name in known.columns[1:]})


def _arrays(
    episodes: Episodes, log: BehaviourLog, slices: Slices, kind_weights: Mapping[str, float], users: int
) -> dict[str, Any]:
    order = np.array(strength_order(kind_weights), np.int8)
    weights = np.array([kind_weights[kind] for kind in KINDS], np.float32)[order]
    acts = _columns(episodes.interactions.order_by("index"))
    examples = _columns(episodes.examples.order_by("example"))
    requests = _columns(episodes.requests.join(log.sessions, [("session", "code")]).order_by("request"))
    impressions = _columns(episodes.impressions.order_by("request", "position", "product"))
    user_start = _starts(acts["user"], users)
    request_day = (requests["timestamp"] - log.day0) // SECONDS_PER_DAY
    return {
        "user_start": user_start,
        "interaction_user": acts["user"].astype(np.int32),
        "interaction_product": acts["product"].astype(np.int32),
        "interaction_kind": acts["kind"].astype(np.int8),
        "interaction_timestamp": acts["timestamp"],
        "interaction_query": acts["query"].astype(np.int32),
        "interaction_weight": weights[acts["strength"]],
        "interaction_target": acts["target"],
        "example_user": examples["user"].astype(np.int32),
        "example_query": examples["query"].astype(np.int32),
        "example_timestamp": examples["timestamp"],
        "example_history_end": user_start[examples["user"]] + examples["history_count"],
        "example_product": examples["product"].astype(np.int32),
        "example_kind": order[examples["strength"]],
        "example_weight": weights[examples["strength"]],
        "example_new": examples["new"],
        "example_slice": examples["slice"].astype(np.int8),
        "example_day": ((examples["timestamp"] - log.day0) // SECONDS_PER_DAY).astype(np.int32),
        "example_request": examples["request"].astype(np.int32),
        "request_user": requests["user"].astype(np.int32),
        "request_session": requests["value"],
        "request_query": requests["query"].astype(np.int32),
        "request_timestamp": requests["timestamp"],
        "request_history_end": user_start[requests["user"]] + requests["history_count"],
        "request_slice": slices.codes(request_day),
        "request_day": request_day.astype(np.int32),
        "impression_start": _starts(impressions["request"], len(requests["request"])),
        "impression_product": impressions["product"].astype(np.int32),
        "impression_position": impressions["position"].astype(np.int32),
        "choices": _choice_counts(episodes.choices),
        "pages_logged": episodes.pages_logged,
    } | {f"impression_{label}": impressions[label] for label in ("click", "cart", "purchase")}


def _choice_counts(choices: ir.Table) -> dict[str, tuple[int, int]]:
    """The counts of `FeatureStore.choices`."""
    counts: dict[str, tuple[int, int]] = {}
    for row in choices.to_pyarrow().to_pylist():
        for group in (KINDS[row["kind"]], "search" if row["search"] else "recommendation"):
            count, paged = counts.get(group, (0, 0))
            counts[group] = (count + row["count"], paged + row["paged"])
    return counts


def _starts(groups: npt.NDArray[Any], number: int) -> Int64s:
    """Where each of `number` groups starts in the sorted `groups`, and the end."""
    return np.searchsorted(groups, np.arange(number + 1)).astype(np.int64)


def _columns(table: ir.Table) -> dict[str, npt.NDArray[Any] | Strings]:
    result = table.to_pyarrow()
    return {name: result[name].to_numpy() for name in result.column_names}
