"""The law of time: nothing that happens at or after a moment changes what is learned about that moment.

A reference in plain Python, which looks at every event for every question, says what the features must be on small
random logs. Then the future is removed and replaced, and the past must stay as it was:

- *inputs* (query, timestamp, history, whether the product is new, the page, snapshots) of every example and page before
  t are the same whatever happens at or after t;
- *labels* (kind, weight, clicks) may look forward, to the end of their slice and no further: once a slice has ended,
  everything about it is the same whatever comes later.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from catalog.feature_store import FeatureStore
from catalog.features import FeaturesConfig, build
from catalog.schema import KIND_WEIGHTS, KINDS
from catalog.splits import SplitsConfig, slice_days

DAY = 86_400
MIDNIGHT = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
DAYS = 6
PRODUCTS = ("a", "b", "c", "d")
SPLITS = SplitsConfig(rerank_days=1, validation_days=1, test_days=1)
FEATURES = FeaturesConfig(counter_windows_days=(1, 3))
SLICES = slice_days(DAYS, SPLITS)
CHOICES = ("click", "cart", "purchase")
STRENGTH = sorted(KINDS, key=lambda kind: KIND_WEIGHTS[kind])  # no two weights are equal


@dataclass(frozen=True)
class Event:
    user: str
    session: str
    time: float  # seconds since MIDNIGHT
    kind: str
    product: str
    query: str
    position: int

    @property
    def second(self) -> int:
        return int(self.time)


# The first second and the last of every log, so that its days are the same whatever happens between; and a page, which
# makes it one with impressions.
FRAME = [Event("z", "z", time, "view", "d", "", 0) for time in (0, DAYS * DAY - 1)]
PAGE = Event("z", "z", 0, "impression", "d", "", 1)


def in_order(events: list[Event]) -> list[Event]:
    return sorted(events, key=lambda event: event.time)


# ---- The reference ---------------------------------------------------------------------------------------------------


def slice_of(second: int) -> int:
    return int(SLICES.codes(second // DAY))


def slice_end(second: int) -> int:
    return SLICES.ranges[slice_of(second)][1] * DAY


class Reference:
    """What the features of `events`, in input order, must be."""

    def __init__(self, events: list[Event]) -> None:
        self.events = events
        self.acts = [event for event in events if event.kind != "impression"]
        self.shown = [event for event in events if event.kind == "impression"]
        self.presumed = set() if self.shown else set(self.presumed_pages())

    def history(self, user: str, second: int) -> tuple[Any, ...]:
        known = [act for act in self.acts if act.user == user and act.second < second]
        return tuple((act.product, act.kind, act.second) for act in known)

    def source(self, act: Event) -> tuple[int, str] | None:
        """When the page was shown that `act` came from, and its query."""
        if not self.shown:
            page = self.page_of(act)
            return (page[3], page[2]) if page and (page, act.product) in self.presumed else None
        if act.query:
            return self.latest_page(act)
        episode = next(found for found in self.episodes() if act in found)
        before = [self.latest_page(other) for other in episode[: episode.index(act) + 1]]
        return max((page for page in before if page), default=None)

    def latest_page(self, act: Event) -> tuple[int, str] | None:
        """The latest page for the query of `act` that showed the product."""
        pages = [
            (page.second, page.query)
            for page in self.shown
            if (page.user, page.session, page.product) == (act.user, act.session, act.product)
            and page.query.lower() == act.query.lower()
            and page.second <= act.second
        ]
        return max(pages, default=None)

    def episodes(self) -> Iterator[list[Event]]:
        for key in dict.fromkeys((act.user, act.session, act.product) for act in self.acts):
            yield [act for act in self.acts if (act.user, act.session, act.product) == key]

    def asked(self, act: Event) -> int:
        """When something of the search of `act` was first touched."""
        search = (act.user, act.session, act.query)
        return min(other.second for other in self.acts if (other.user, other.session, other.query) == search)

    def page_of(self, act: Event) -> tuple[str, str, str, int] | None:
        """Without impressions: the page that an act must have come from."""
        first = self.opening(act)
        start = act if act.query else first
        if start.query:
            return (act.user, act.session, start.query, self.asked(start))
        met = [other.second for other in self.acts if (other.user, other.product) == (act.user, act.product)]
        return (act.user, act.session, "", first.second) if min(met) == first.second else None

    def opening(self, act: Event) -> Event:
        episode = (act.user, act.session, act.product)
        return next(other for other in self.acts if (other.user, other.session, other.product) == episode)

    def presumed_pages(self) -> Iterator[tuple[tuple[str, str, str, int], str]]:
        """Without impressions: each page and each product that was chosen from it before its slice ended."""
        for act in self.acts:
            page = self.page_of(act)
            if page and act.kind in CHOICES and act.second < slice_end(page[3]):
                yield page, act.product

    def label(self, episode: list[Event]) -> str:
        """The strongest kind of an episode, up to the end of the slice that it starts in."""
        end = slice_end(episode[0].second)
        return max((act.kind for act in episode if act.second < end), key=STRENGTH.index)

    def examples(self) -> Iterator[dict[str, Any]]:
        for episode in self.episodes():
            first = episode[0]
            page = self.source(first)
            second = first.second
            if first.query:
                session = [(event.user, event.session, event.query) for event in self.events]
                asked = [
                    event.second
                    for event, key in zip(self.events, session, strict=True)
                    if key == (first.user, first.session, first.query)
                ]
                second = min(asked) if page is None else page[0]
            history = self.history(first.user, second)
            crossing = slice_of(second) != slice_of(first.second)
            yield {
                "user": first.user,
                "query": first.query,
                "timestamp": second,
                "day": second // DAY,
                "history": history,
                "product": first.product,
                "new": first.product not in [product for product, _, _ in history],
                "page": None if page is None else (first.session, page[1], page[0]),
                "slice": -1 if crossing else slice_of(second),
                "kind": self.label(episode),
            }

    def interactions(self) -> Iterator[tuple[Any, ...]]:
        labels = {
            (first.user, first.session, first.product): self.label(episode)
            for episode in self.episodes()
            for first in episode[:1]
        }
        seen: set[tuple[str, str, str]] = set()
        last: dict[str, int] = {}
        for act in self.acts:
            key = (act.user, act.session, act.product)
            known = [product for product, _, _ in self.history(act.user, act.second)]
            later = act.user in last and last[act.user] < act.second
            target = key not in seen and act.product not in known and later
            seen.add(key)
            last[act.user] = act.second
            yield act.user, act.product, act.kind, act.second, act.query, KIND_WEIGHTS[labels[key]], target

    def pages(self) -> Iterator[dict[str, Any]]:
        if not self.shown:
            yield from self.pages_of_choices()
        for key in {(page.user, page.session, page.query, page.second) for page in self.shown}:
            user, session, query, second = key
            own = [page for page in self.shown if (page.user, page.session, page.query, page.second) == key]
            hits = [
                (act.product, act.kind)
                for act in self.acts
                if (act.user, act.session) == key[:2]
                and self.source(act) == (second, query)
                and act.second < slice_end(second)
            ]
            yield {
                "page": (user, session, query, second),
                "day": second // DAY,
                "slice": slice_of(second),
                "history": self.history(user, second),
                "shown": frozenset(
                    (
                        product,
                        min((page.position for page in own if page.product == product and page.position), default=0),
                        *((product, kind) in hits for kind in ("click", "cart", "purchase")),
                    )
                    for product in {page.product for page in own}
                ),
            }

    def pages_of_choices(self) -> Iterator[dict[str, Any]]:
        for key in {page for page, _ in self.presumed}:
            second = key[3]
            done = [
                (act.product, act.kind)
                for act in self.acts
                if self.page_of(act) == key and act.second < slice_end(second)
            ]
            yield {
                "page": key,
                "day": second // DAY,
                "slice": slice_of(second),
                "history": self.history(key[0], second),
                "shown": frozenset(
                    (product, 0, *((product, kind) in done for kind in CHOICES))
                    for page, product in self.presumed
                    if page == key
                ),
            }

    def snapshots(self) -> np.ndarray[Any, Any]:
        counters = np.zeros((DAYS + 1, len(PRODUCTS), 3 * len(KINDS)))
        for day in range(DAYS + 1):
            for event in self.events:
                for place, window in enumerate((1, 3, DAYS)):
                    if day - window <= event.second // DAY < day:
                        cell = place * len(KINDS) + KINDS.index(event.kind)
                        counters[day, PRODUCTS.index(event.product), cell] += 1
        return counters


# ---- The store, in the same words ------------------------------------------------------------------------------------


class Built:
    """The features that were built, with names for numbers."""

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.queries = [*store.queries, ""]
        assert store.day0 == MIDNIGHT

    def history(self, user: int, end: int) -> tuple[Any, ...]:
        rows, kinds, timestamps = (part[0] for part in self.store.history([user], [end], 60))
        return tuple(
            (PRODUCTS[row], KINDS[kind - 1], int(time) - MIDNIGHT)
            for row, kind, time in zip(rows, kinds, timestamps, strict=True)
            if row < len(PRODUCTS)
        )

    def examples(self) -> Iterator[dict[str, Any]]:
        store = self.store
        for i, request in enumerate(store.example_request):
            kind = KINDS[store.example_kind[i]]
            assert store.example_weight[i] == KIND_WEIGHTS[kind]
            user = store.example_user[i]
            if request >= 0:
                assert store.request_user[request] == user
            yield {
                "user": store.user_ids[user],
                "query": self.queries[store.example_query[i]],
                "timestamp": int(store.example_timestamp[i]) - MIDNIGHT,
                "day": int(store.example_day[i]),
                "history": self.history(user, store.example_history_end[i]),
                "product": PRODUCTS[store.example_product[i]],
                "new": bool(store.example_new[i]),
                "page": None if request < 0 else self.page(request)[1:],
                "slice": int(store.example_slice[i]),
                "kind": kind,
            }

    def page(self, request: int) -> tuple[str, str, str, int]:
        store = self.store
        user, query = store.user_ids[store.request_user[request]], self.queries[store.request_query[request]]
        return user, store.request_session[request], query, int(store.request_timestamp[request]) - MIDNIGHT

    def pages(self) -> Iterator[dict[str, Any]]:
        store = self.store
        for i in range(len(store.request_user)):
            shown = range(store.impression_start[i], store.impression_start[i + 1])
            positions = [int(store.impression_position[j]) for j in shown]
            assert positions == sorted(positions)
            products = [PRODUCTS[store.impression_product[j]] for j in shown]
            assert len(set(products)) == len(products)
            labels = (store.impression_click, store.impression_cart, store.impression_purchase)
            yield {
                "page": self.page(i),
                "day": int(store.request_day[i]),
                "slice": int(store.request_slice[i]),
                "history": self.history(store.request_user[i], store.request_history_end[i]),
                "shown": frozenset(
                    (product, position, *(bool(label[j]) for label in labels))
                    for j, product, position in zip(shown, products, positions, strict=True)
                ),
            }

    def interactions(self) -> Iterator[tuple[Any, ...]]:
        store = self.store
        for user, (start, end) in enumerate(zip(store.user_start, store.user_start[1:], strict=False)):
            assert (store.interaction_user[start:end] == user).all()
            for i in range(start, end):
                yield (
                    store.user_ids[user],
                    PRODUCTS[store.interaction_product[i]],
                    KINDS[store.interaction_kind[i]],
                    int(store.interaction_timestamp[i]) - MIDNIGHT,
                    self.queries[store.interaction_query[i]],
                    float(store.interaction_weight[i]),
                    bool(store.interaction_target[i]),
                )


# ---- Random logs -----------------------------------------------------------------------------------------------------

# Few users, sessions, queries and seconds, so that ties, midnights and repeats are the rule. Sessions "s" and "t" live
# through the whole log, so they cross every midnight and every slice.
times = st.builds(
    lambda day, second, fraction: day * DAY + second + fraction,
    st.integers(0, DAYS - 1),
    st.sampled_from([0, 1, 5, 43_200, DAY - 5, DAY - 1]),
    st.sampled_from([0.0, 0.25, 0.75]),
)
users, sessions, queries = st.sampled_from("uv"), st.sampled_from("st"), st.sampled_from(["", "red", "Red", "蓝"])
acts = st.builds(
    Event, users, sessions, times, st.sampled_from(KINDS[1:]), st.sampled_from(PRODUCTS), queries, st.just(0)
)


@st.composite
def pages_with_clicks(draw: st.DrawFn) -> list[Event]:
    """A page, and what a shopper did on it some time after."""
    user, session, query, time = draw(users), draw(sessions), draw(queries), draw(times)
    shown = draw(st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=4))
    positions = draw(st.sampled_from([range(1, 5), [0, 0, 0, 0]]))
    page = [
        Event(user, session, time, "impression", product, query, position)
        for product, position in zip(shown, positions, strict=False)
    ]
    later = draw(
        st.lists(
            st.tuples(
                st.sampled_from(shown),
                st.sampled_from(KINDS[1:]),
                st.integers(0, 12),
                st.sampled_from([query, query, query.lower(), ""]),
            ),
            max_size=3,
        )
    )
    last = DAYS * DAY - 1
    return page + [
        Event(user, session, min(time + delay, last), kind, product, asked, 0) for product, kind, delay, asked in later
    ]


logs = st.builds(
    lambda chunks, loose: [event for chunk in chunks for event in chunk] + loose,
    st.lists(pages_with_clicks(), max_size=6),
    st.lists(acts, max_size=12),
)
moments = st.sampled_from([end * DAY for _, end in SLICES.ranges[:-1]]) | st.builds(
    lambda day, second: day * DAY + second, st.integers(0, DAYS - 1), st.sampled_from([1, 2, 6, 43_201, DAY - 1, DAY])
)

# What chance brings too seldom: a page, its click and the purchase on both sides of the towers' last midnight.
EDGE = SLICES.towers[1] * DAY
BEFORE_EDGE = [
    Event("u", "s", EDGE - 5, "impression", "a", "red", 1),
    Event("u", "s", EDGE - 5, "impression", "b", "red", 2),
    Event("u", "s", EDGE - 2, "click", "a", "red", 0),
    Event("u", "s", EDGE - 1, "cart", "a", "", 0),
]
AFTER_EDGE = [
    Event("u", "s", EDGE, "purchase", "a", "", 0),
    Event("u", "s", EDGE + 1, "click", "b", "Red", 0),
]

# One folder serves all examples of a test: each builds the features anew.
SLOW = settings(
    max_examples=16,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def build_log(folder: Path, events: list[Event]) -> Built:
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    stamp = pa.timestamp("us", "UTC")
    started = pa.array([MIDNIGHT * 1_000_000] * len(PRODUCTS), pa.int64()).cast(stamp)
    pq.write_table(pa.table({"product_id": PRODUCTS, "created_at": started}), tables / "products.parquet")
    columns = {
        "user_id": pa.array([event.user for event in events]),
        "session_id": pa.array([event.session for event in events]),
        "timestamp": pa.array([int((MIDNIGHT + event.time) * 1_000_000) for event in events], pa.int64()).cast(stamp),
        "kind": pa.array([event.kind for event in events]),
        "product_id": pa.array([event.product for event in events]),
        "query": pa.array([event.query for event in events]),
        "position": pa.array([event.position for event in events], pa.int32()),
    }
    pq.write_table(pa.table(columns), tables / "events.parquet")
    return Built(build(tables, folder / "features", FEATURES, SPLITS))


def bag(records: Iterator[dict[str, Any]], without: tuple[str, ...] = ()) -> Counter[Any]:
    return Counter(tuple((key, value) for key, value in record.items() if key not in without) for record in records)


# ---- The laws --------------------------------------------------------------------------------------------------------


def assert_as_plain_python_says(built: Built, events: list[Event], length: int) -> None:
    expected = Reference(events)
    assert bag(built.examples()) == bag(expected.examples())
    assert bag(built.pages()) == bag(expected.pages())
    by_user = sorted(expected.interactions(), key=lambda act: act[0])  # stable: in the order of time for each user
    assert list(built.interactions()) == by_user
    np.testing.assert_array_equal(built.store.snapshots, expected.snapshots())
    store = built.store
    assert_strictly_before(store, store.example_user, store.example_history_end, store.example_timestamp, length)
    assert_strictly_before(store, store.request_user, store.request_history_end, store.request_timestamp, length)


def assert_strictly_before(store: FeatureStore, users: Any, ends: Any, moments: Any, length: int) -> None:
    rows, kinds, times = store.history(users, ends, length)
    assert (times < moments[:, None]).all()
    assert (np.diff(times, axis=1) >= 0).all()  # oldest first, padding (0) on the left
    assert ((rows == store.n_products) == (kinds == 0)).all()
    assert ((kinds == 0) == (times == 0)).all()


@SLOW
@example(past=BEFORE_EDGE, future=AFTER_EDGE, moment=EDGE, length=2, logged=True)
@example(past=BEFORE_EDGE, future=AFTER_EDGE, moment=EDGE, length=2, logged=False)
@given(past=logs, future=logs, moment=moments, length=st.integers(1, 5), logged=st.booleans())
def test_features_are_what_plain_python_says_and_the_future_changes_nothing_before_it(
    tmp_path: Path, past: list[Event], future: list[Event], moment: int, length: int, logged: bool
) -> None:
    past = [event for event in past if event.time < moment and (logged or event.kind != "impression")]
    future = [event for event in future if event.time >= moment and (logged or event.kind != "impression")]
    frame = [*FRAME, PAGE] if logged else FRAME
    without, whole = in_order(past + frame), in_order(past + future + frame)
    before = build_log(tmp_path, without)
    assert_as_plain_python_says(before, without, length)
    snapshots = np.array(before.store.snapshots)  # the file is replaced by the next build
    examples, pages, interactions = list(before.examples()), list(before.pages()), list(before.interactions())
    after = build_log(tmp_path, whole)
    assert_as_plain_python_says(after, whole, length)

    # Inputs: every example that began before `moment` is there with the same inputs, and every other began later.
    # A presumed page is there if something of it was chosen, before its slice ended: that is a label.
    labels = ("kind", "slice") if logged else ("kind", "slice", "page")
    kept, now = bag(iter(examples), labels), bag(after.examples(), labels)
    known = {(event.user, event.session, event.product) for event in past + FRAME if event.kind != "impression"}
    opened = {(event.user, event.session, event.product) for event in future if event.kind != "impression"} - known
    assert kept <= now
    assert (now - kept).total() == len(opened)
    if logged:
        shown = bag((inputs_of(page) for page in pages if page["page"][3] < moment), ("slice",))
        assert shown == bag((inputs_of(page) for page in after.pages() if page["page"][3] < moment), ("slice",))
    early = [without_weight(act) for act in interactions if act[3] < moment]
    assert early == [without_weight(act) for act in after.interactions() if act[3] < moment]
    full_days = moment // DAY
    np.testing.assert_array_equal(snapshots[: full_days + 1], after.store.snapshots[: full_days + 1])

    # Labels: a slice that ended by `moment` is finished.
    finished = range(sum(end * DAY <= moment for _, end in SLICES.ranges))
    ended = max((SLICES.ranges[code][1] * DAY for code in finished), default=0)
    assert bag(e for e in examples if e["slice"] in finished) == bag(
        e for e in after.examples() if e["slice"] in finished
    )
    assert bag(p for p in pages if p["slice"] in finished) == bag(p for p in after.pages() if p["slice"] in finished)
    assert [act for act in interactions if act[3] < ended] == [act for act in after.interactions() if act[3] < ended]


def inputs_of(page: dict[str, Any]) -> dict[str, Any]:
    return page | {"shown": frozenset((product, position) for product, position, *_ in page["shown"])}


def without_weight(act: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*act[:5], act[6])


@pytest.mark.parametrize("second", [0, 1, DAY - 1, DAY, 5 * DAY, DAYS * DAY - 1])
def test_the_slices_of_the_reference_are_those_of_the_days(second: int) -> None:
    # 6 days: towers 0-2, reranker 3, validation 4, test 5.
    assert slice_of(second) == (0, 0, 0, 1, 2, 3)[second // DAY]
    assert slice_end(second) == (3, 3, 3, 4, 5, 6)[second // DAY] * DAY
