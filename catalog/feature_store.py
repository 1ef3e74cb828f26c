"""What the models learn from: histories, episodes, shown pages and daily counters, as arrays on disk."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import ArtifactError
from catalog.files import atomic_directory, read_npy, read_parquet, write_parquet
from catalog.schema import KIND_WEIGHTS, KINDS
from catalog.splits import SLICE_NAMES, Slices
from catalog.store_manifest import read_manifest, write_manifest

Strings = npt.NDArray[np.object_]
Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_DTYPES: dict[object, type[np.generic]] = {
    Bools: np.bool_,
    Int8s: np.int8,
    Int32s: np.int32,
    Int64s: np.int64,
    Floats: np.float32,
}


@dataclass(frozen=True, eq=False, repr=False)
class FeatureStore:
    """Point-in-time features of one shop's log. Arrays with one prefix run parallel.

    Users, queries and products are numbers: positions in `user_ids`, `queries` and the rows of products.parquet.
    Time is whole seconds since 1970, rounded down; "before t" is strictly before, in seconds.

    What a model may read about an example or a request, its *inputs*: the query, the user's columns, the timestamp,
    `interactions[:history_end]` (product, kind, timestamp) and `snapshots[day]`. All of it was known before the
    timestamp. Its *labels* are kind, weight and product, or click, cart and purchase: they happened at or after it,
    and before the end of the slice, so nothing that happens in a later slice touches an earlier one.

    Attributes:
        day0: midnight UTC before the first event, in seconds.
        slices: the days of each slice.
        user_ids: [U] str. user_columns: name -> [U] str, "" where unknown.
        queries: [Q] str, unique, as logged, none empty.
        launched: [N] the day number of created_at; negative before the log.
        snapshots: [D + 1, N, F] counters at the start of day d, from events of days before d.
        snapshot_features: F names: f"{kind}_{w}d" for each window w and in it each kind, then f"{kind}_all".
        user_start: [U + 1] interactions of user u are [user_start[u], user_start[u + 1]).
        interaction_*: [E] every event but impressions, by (user, timestamp, input order).
            query: -1 none. kind: index in KINDS.
            weight: of the strongest kind of its episode (a label, never an input).
            target: may be predicted from the position before it: it opens its episode, the product is new to the
                user, and it is strictly later than the user's event before it (so a user's first event is none).
        example_*: [X] one an episode (one user, session and product), by (timestamp, user, episode start).
            query: of the episode's first event, -1 = none: a recommendation.
            timestamp: for a search, when its page was shown (if the page was not logged, the first event of that
                query in the session); else the episode's start.
            history_end: the history is interactions[user_start[user]:history_end].
            kind, weight: the strongest of the episode. new: the product is not in the history.
            slice: 0 towers, 1 rerank, 2 validation, 3 test; -1 if query and episode start lie in different slices.
            day: of the timestamp. request: the page it came from, -1 = none.
        request_*: [R] one a shown or presumed page, by (timestamp, user, session, query). session: [R] str.
        impression_start: [R + 1] impressions of request r are [impression_start[r], impression_start[r + 1]).
        impression_*: [I] by (request, position, product), each product once a page. position: 1-based, 0 unknown.
            click, cart, purchase: an event of the same user, session, query (but for case and blanks) and product at
            or after the page; where several such pages showed the product, the latest at or before the event has the
            label. An event without a query may also count for the latest page that its episode was on.
        choices: how many choices there are, and how many came from a page: of "click", "cart" and "purchase", and of
            "search" and "recommendation" (what has no query and came from no page is one).
        pages_logged: False for a log without impressions. Then the pages are presumed: of each search at its first
            event, and of each episode that begins without a query, with a product that is new to the user, at its
            start. They hold what was clicked, carted or bought from them before their slice ended, at an unknown
            position; an event without a query counts for the page of its episode.
        kind_weights: of every one of KINDS.
    """

    day0: int
    slices: Slices
    user_ids: Strings
    user_columns: dict[str, Strings]
    queries: Strings
    launched: Int32s
    snapshots: Floats
    snapshot_features: tuple[str, ...]
    user_start: Int64s
    interaction_user: Int32s
    interaction_product: Int32s
    interaction_kind: Int8s
    interaction_timestamp: Int64s
    interaction_query: Int32s
    interaction_weight: Floats
    interaction_target: Bools
    example_user: Int32s
    example_query: Int32s
    example_timestamp: Int64s
    example_history_end: Int64s
    example_product: Int32s
    example_kind: Int8s
    example_weight: Floats
    example_new: Bools
    example_slice: Int8s
    example_day: Int32s
    example_request: Int32s
    request_user: Int32s
    request_session: Strings
    request_query: Int32s
    request_timestamp: Int64s
    request_history_end: Int64s
    request_slice: Int8s
    request_day: Int32s
    impression_start: Int64s
    impression_product: Int32s
    impression_position: Int32s
    impression_click: Bools
    impression_cart: Bools
    impression_purchase: Bools
    pages_logged: bool = True
    kind_weights: Mapping[str, float] = field(default_factory=lambda: KIND_WEIGHTS)
    choices: dict[str, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in _array_dtypes().items():
            if (received := getattr(self, name).dtype) != dtype:
                raise ValueError(f"{name}: expected {np.dtype(dtype)}, received {received}")
        for name, expected in self._expected_shapes().items():
            if (shape := getattr(self, name).shape) != expected:
                raise ValueError(f"{name}: expected shape {expected}, received {shape}")

    def _expected_shapes(self) -> dict[str, tuple[int, ...]]:
        sizes = {
            "interaction": len(self.interaction_user),
            "example": len(self.example_user),
            "request": len(self.request_user),
            "impression": len(self.impression_product),
        }
        shapes: dict[str, tuple[int, ...]] = {
            item.name: (sizes[prefix],) for item in fields(self) if (prefix := item.name.split("_")[0]) in sizes
        }
        shapes["impression_start"] = (sizes["request"] + 1,)
        shapes["user_start"] = (len(self.user_ids) + 1,)
        shapes["snapshots"] = (self.slices.days + 1, len(self.launched), len(self.snapshot_features))
        return shapes

    @property
    def n_products(self) -> int:
        """Products of the catalogue, N; row N stands for an absent one."""
        return len(self.launched)

    @property
    def weights(self) -> npt.NDArray[np.float64]:
        """`kind_weights` in the order of KINDS."""
        return np.array([self.kind_weights[kind] for kind in KINDS], np.float64)

    def day(self, timestamps: npt.ArrayLike) -> Int32s:
        """Day number of each time in seconds: the snapshot that was known then, up to the last one."""
        return ((np.asarray(timestamps, np.int64) - self.day0) // 86_400).astype(np.int32)

    def history(self, users: npt.ArrayLike, ends: npt.ArrayLike, length: int) -> tuple[Int32s, Int32s, Int64s]:
        """The last `length` interactions of each user before `ends`, oldest first, padded on the left.

        Args:
            users: [B] int32.
            ends: [B] int64, positions in the interactions as in `example_history_end`.
            length: H, at least 1.

        Returns:
            rows [B, H] int32, `n_products` where padded; kinds [B, H] int32, index in KINDS + 1, 0 where padded;
            timestamps [B, H] int64 in seconds, 0 where padded.

        Raises:
            ValueError: if an end lies outside its user's interactions.
        """
        users, ends = np.asarray(users, np.int64), np.asarray(ends, np.int64)
        starts = self.user_start[users]
        outside = (ends < starts) | (ends > self.user_start[users + 1])
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            raise ValueError(
                f"history end {ends[first]} of user {users[first]} lies outside the user's interactions "
                f"[{starts[first]}, {self.user_start[users[first] + 1]}]"
            )
        position = ends[:, None] + np.arange(-length, 0)
        rows = np.full(position.shape, self.n_products, np.int32)
        kinds = np.zeros(position.shape, np.int32)
        timestamps = np.zeros(position.shape, np.int64)
        known = position >= starts[:, None]
        taken = position[known]
        rows[known] = self.interaction_product[taken]
        kinds[known] = self.interaction_kind[taken].astype(np.int32) + 1
        timestamps[known] = self.interaction_timestamp[taken]
        return rows, kinds, timestamps

    def __repr__(self) -> str:
        first_day = datetime.fromtimestamp(self.day0, UTC).date()
        ranges = ", ".join(f"{name} {a}-{b - 1}" for name, (a, b) in zip(SLICE_NAMES, self.slices.ranges, strict=True))
        examples, clicks = len(self.example_user), int(np.count_nonzero(self.impression_click))
        searches = int(np.count_nonzero(self.example_query >= 0))
        pages, shown = ("pages", "impressions") if self.pages_logged else ("presumed pages", "choices")
        return (
            f"FeatureStore({self.n_products:,} products, {len(self.user_ids):,} users, {len(self.queries):,} queries; "
            f"{len(self.interaction_user):,} interactions in {examples:,} episodes ({searches:,} from searches); "
            f"{len(self.request_user):,} {pages} with {len(self.impression_product):,} {shown}, {clicks:,} clicked; "
            f"days from {first_day}: {ranges}; {len(self.snapshot_features)} counters; "
            f"user columns: {', '.join(self.user_columns) or 'none'})"
        )

    def save(self, directory: Path) -> None:
        """Write the store as one directory, whole or not at all."""
        with atomic_directory(directory) as temporary:
            self.write_files(temporary)

    def write_files(self, folder: Path, written: Collection[str] = ()) -> None:
        """Write every array but those of `written`, which are there already, and last the manifest.

        The folder itself is what appears whole or not at all: use it inside `atomic_directory`.
        """
        for name in _array_dtypes():
            if name not in written:
                np.save(folder / f"{name}.npy", getattr(self, name))
        users = {"user_id": self.user_ids} | {f"column_{name}": values for name, values in self.user_columns.items()}
        write_parquet(folder / "users.parquet", _string_table(users))
        write_parquet(folder / "queries.parquet", _string_table({"query": self.queries}))
        write_parquet(folder / "sessions.parquet", _string_table({"session_id": self.request_session}))
        facts = {
            "day0": self.day0,
            "slices": asdict(self.slices),
            "snapshot_features": list(self.snapshot_features),
            "pages_logged": self.pages_logged,
            "kind_weights": dict(self.kind_weights),
            "choices": self.choices,
        }
        write_manifest(folder, facts)

    @classmethod
    def load(cls, directory: Path, mmap: bool = True) -> "FeatureStore":
        """Open a saved store; with `mmap` the arrays stay on disk until they are read.

        Raises:
            ArtifactError: if a file is missing, truncated or altered, or another version of the code wrote it.
        """
        manifest = read_manifest(directory)
        users = read_parquet(directory / "users.parquet")
        arrays = {name: read_npy(directory / f"{name}.npy", mmap=mmap) for name in _array_dtypes()}
        try:
            return cls(
                day0=manifest["day0"],
                slices=Slices(**{name: tuple(manifest["slices"][name]) for name in SLICE_NAMES}),
                snapshot_features=tuple(manifest["snapshot_features"]),
                pages_logged=manifest["pages_logged"],
                kind_weights=manifest["kind_weights"],
                choices={group: (count, paged) for group, (count, paged) in manifest["choices"].items()},
                user_ids=_strings(users["user_id"]),
                user_columns={name.removeprefix("column_"): _strings(users[name]) for name in users.column_names[1:]},
                queries=_strings(read_parquet(directory / "queries.parquet")["query"]),
                request_session=_strings(read_parquet(directory / "sessions.parquet")["session_id"]),
                **arrays,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"{directory}: not a usable feature store ({error}); build the features again"
            ) from error


def _array_dtypes() -> dict[str, type[np.generic]]:
    return {item.name: _DTYPES[item.type] for item in fields(FeatureStore) if item.type in _DTYPES}


def _string_table(columns: dict[str, Strings]) -> pa.Table:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _strings(column: "pa.ChunkedArray[Any]") -> Strings:
    # Objects, not numpy's fixed-width text: one long query must not widen every row.
    return column.to_numpy()
