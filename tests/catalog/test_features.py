"""Hand-worked logs: what each example, page and counter must be."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog import behaviour_log
from catalog.config import parse_config
from catalog.errors import ArtifactError, ConfigError, DataError
from catalog.feature_store import FeatureStore
from catalog.features import FeaturesConfig, build
from catalog.schema import KIND_WEIGHTS, KINDS
from catalog.splits import SplitsConfig

START = datetime(2026, 3, 1, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
SPLITS = SplitsConfig(rerank_days=1, validation_days=1, test_days=1)
PRODUCTS = ("a", "b", "c", "d")
Event = tuple[str, str, str, str, str, str, int]
Build = Callable[..., FeatureStore]


def when(clock: str) -> datetime:
    """ "1 10:00:05.5" is day 1, five and a half seconds past ten."""
    day, time = clock.split()
    hours, minutes, seconds = time.split(":")
    return START + timedelta(days=int(day), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def seconds(clock: str) -> int:
    return int(when(clock).timestamp())


def write_tables(folder: Path, events: Sequence[Event], users: dict[str, list[str]] | None = None) -> None:
    rows = sorted(events, key=lambda event: when(event[2]))
    products = {"product_id": PRODUCTS, "created_at": [START + timedelta(days=day) for day in (-3, 0, 1, -0.5)]}
    types: dict[str, Any] = {"position": pa.int32(), "timestamp": TIME}
    names = ("user_id", "session_id", "timestamp", "kind", "product_id", "query", "position")
    columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
    columns["timestamp"] = [when(str(clock)) for clock in columns["timestamp"]]  # type: ignore[misc]
    folder.mkdir(exist_ok=True)
    pq.write_table(
        pa.table({name: pa.array(values, types.get(name, pa.string())) for name, values in columns.items()}),
        folder / "events.parquet",
    )
    pq.write_table(pa.table({n: pa.array(v) for n, v in products.items()}), folder / "products.parquet")
    if users is not None:
        pq.write_table(pa.table(users), folder / "users.parquet")


def page(user: str, session: str, clock: str, query: str, shown: str) -> list[Event]:
    return [(user, session, clock, "impression", product, query, place) for place, product in enumerate(shown, 1)]


def act(user: str, session: str, clock: str, kind: str, product: str, query: str = "") -> Event:
    return (user, session, clock, kind, product, query, 0)


# A log of four days whatever a case brings: towers day 0, reranker 1, validation 2, test 3.
FRAME = [act("zz", "z", "0 00:00:00", "view", "d"), act("zz", "z", "3 23:59:59", "view", "d")]


@pytest.fixture
def shop(tmp_path: Path) -> Build:
    def make(events: Sequence[Event], users: dict[str, list[str]] | None = None, **settings: Any) -> FeatureStore:
        write_tables(tmp_path / "tables", [*events, *FRAME], users)
        return build(tmp_path / "tables", tmp_path / "features", FeaturesConfig(**settings), SPLITS)

    return make


def episodes(store: FeatureStore, user: str = "u") -> list[dict[str, Any]]:
    """The examples of one user, readable."""
    chosen = np.flatnonzero(store.user_ids[store.example_user] == user)
    rows, _, _ = store.history(store.example_user[chosen], store.example_history_end[chosen], 10)
    queries = [*store.queries, None]
    return [
        {
            "query": queries[store.example_query[i]],
            "timestamp": int(store.example_timestamp[i]),
            "history": "".join(PRODUCTS[row] for row in history if row < len(PRODUCTS)),
            "product": PRODUCTS[store.example_product[i]],
            "kind": KINDS[store.example_kind[i]],
            "weight": float(store.example_weight[i]),
            "new": bool(store.example_new[i]),
            "slice": int(store.example_slice[i]),
            "day": int(store.example_day[i]),
            "request": int(store.example_request[i]),
        }
        for i, history in zip(chosen, rows, strict=True)
    ]


def pages(store: FeatureStore, user: str = "u") -> list[tuple[int, str, list[str]]]:
    """Time, query and products of each page; c, k and p behind a product: clicked, put in the cart, bought."""
    queries = [*store.queries, ""]
    labels = (("c", store.impression_click), ("k", store.impression_cart), ("p", store.impression_purchase))
    found = []
    for request in np.flatnonzero(store.user_ids[store.request_user] == user):
        shown = [
            PRODUCTS[store.impression_product[i]] + "".join(mark for mark, label in labels if label[i])
            for i in range(store.impression_start[request], store.impression_start[request + 1])
        ]
        found.append((int(store.request_timestamp[request]), str(queries[store.request_query[request]]), shown))
    return found


def test_one_episode_has_its_strongest_kind_and_the_history_before_the_query(shop: Build) -> None:
    store = shop(
        [
            act("u", "s1", "0 09:00:00", "view", "a"),
            *page("u", "s2", "1 10:00:00", "red", "bc"),
            act("u", "s2", "1 10:00:05", "click", "c", "red"),
            act("u", "s2", "1 10:00:09", "click", "b", "red"),
            act("u", "s2", "1 10:01:00", "purchase", "b", "red"),
            act("u", "s2", "1 10:02:00", "favourite", "b", "red"),
        ]
    )
    first, second, third = episodes(store)
    assert first["history"] == ""
    assert first["query"] is None
    assert (first["kind"], first["weight"], first["request"]) == ("view", 0.5, -1)
    # Both clicks came from the page of 10:00:00: neither sees the other, and b never sees itself.
    asked = {"query": "red", "timestamp": seconds("1 10:00:00"), "history": "a", "slice": 1, "day": 1, "new": True}
    assert second == asked | {"product": "c", "kind": "click", "weight": 1.0, "request": 0}
    assert third == asked | {"product": "b", "kind": "purchase", "weight": 5.0, "request": 0}
    assert pages(store) == [(seconds("1 10:00:00"), "red", ["bcp", "cc"])]
    assert store.request_history_end.tolist() == [store.user_start[0] + 1]


def test_interactions_carry_the_episodes_weight_and_say_what_may_be_predicted(shop: Build) -> None:
    store = shop(
        [
            act("u", "s", "0 10:00:00", "view", "a"),  # the user's first event: no position before it
            act("u", "s", "0 10:00:05", "cart", "a"),  # not the first of its episode
            act("u", "s", "0 10:01:00", "view", "b"),  # new: a target
            act("u", "s", "0 10:01:00", "view", "c"),  # in the same second as the event before it
            act("u", "t", "0 11:00:00", "click", "b"),  # b is known by now
            act("u", "t", "0 11:00:01", "click", "d"),  # new: a target
        ]
    )
    own = slice(store.user_start[0], store.user_start[1])
    assert [PRODUCTS[row] for row in store.interaction_product[own]] == list("aabcbd")
    assert store.interaction_target[own].tolist() == [False, False, True, False, False, True]
    assert store.interaction_weight[own].tolist() == [3.0, 3.0, 0.5, 0.5, 1.0, 1.0]
    assert [KINDS[kind] for kind in store.interaction_kind[own]] == ["view", "cart", "view", "view", "click", "click"]


def test_events_of_one_second_do_not_see_each_other(shop: Build) -> None:
    store = shop(
        [
            act("u", "s", "0 10:00:00.2", "view", "a"),
            act("u", "s", "0 10:00:00.9", "view", "b"),
            act("u", "s", "0 10:00:01.1", "view", "c"),
        ]
    )
    assert [episode["history"] for episode in episodes(store)] == ["", "", "ab"]
    assert store.interaction_timestamp[store.user_start[0]] == seconds("0 10:00:00")  # rounded down, not to the nearest


def test_a_product_in_two_sessions_is_two_episodes_and_new_once(shop: Build) -> None:
    store = shop([act("u", "s", "0 10:00:00", "click", "a"), act("u", "t", "0 12:00:00", "click", "a")])
    first, second = episodes(store)
    assert (first["new"], first["history"]) == (True, "")
    assert (second["new"], second["history"]) == (False, "a")


def test_new_means_absent_from_the_history(shop: Build) -> None:
    # On a second device b is viewed between the page and the click: unknown when the query was asked.
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "red", "b"),
            act("u", "t", "0 10:00:05", "view", "b"),
            act("u", "s", "0 10:00:09", "click", "b", "red"),
        ]
    )
    asked = next(episode for episode in episodes(store) if episode["query"] == "red")
    assert (asked["new"], asked["history"]) == (True, "")


def test_a_query_asked_twice_in_a_session_is_two_pages(shop: Build) -> None:
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "red", "ab"),
            act("u", "s", "0 10:00:10", "click", "a", "red"),
            *page("u", "s", "0 10:05:00", "red", "ba"),
            act("u", "s", "0 10:05:00", "click", "b", "red"),  # in the second of the page: its own
            act("u", "s", "0 10:06:00", "cart", "a", "red"),  # the latest page that showed a
            act("u", "s", "0 10:07:00", "click", "c", "red"),  # shown by neither
        ]
    )
    assert pages(store) == [
        (seconds("0 10:00:00"), "red", ["ac", "b"]),
        (seconds("0 10:05:00"), "red", ["bc", "ak"]),
    ]
    found = {episode["product"]: episode for episode in episodes(store)}
    assert [found[product]["request"] for product in "abc"] == [0, 1, -1]
    assert found["b"]["history"] == "a"
    # c came from no page that was logged: the query's first event in the session is when it was asked.
    assert (found["c"]["timestamp"], found["c"]["history"]) == (seconds("0 10:00:00"), "")


def test_pages_of_another_session_user_query_or_a_later_time_get_no_label(shop: Build) -> None:
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "red", "a"),
            *page("u", "t", "0 11:00:00", "blue", "a"),
            *page("u", "t", "0 11:00:00", "", "a"),
            *page("v", "t", "0 11:00:00", "red", "a"),
            act("u", "t", "0 11:30:00", "click", "a", "red"),
            *page("u", "t", "0 11:40:00", "red", "a"),
        ]
    )
    assert not store.impression_click.any()
    assert [episode["request"] for episode in episodes(store)] == [-1]


def test_a_recommendation_page_is_a_request_and_the_episode_starts_at_the_click(shop: Build) -> None:
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "", "ab"),
            act("u", "s", "0 10:00:10", "click", "a"),
            act("u", "s", "0 10:00:20", "click", "b"),
        ]
    )
    assert pages(store) == [(seconds("0 10:00:00"), "", ["ac", "bc"])]
    assert store.request_query.tolist() == [-1]
    second = episodes(store)[1]
    assert (second["timestamp"], second["history"], second["request"]) == (seconds("0 10:00:20"), "a", 0)


def test_without_logged_pages_a_query_was_asked_at_its_first_event(shop: Build) -> None:
    store = shop(
        [
            act("u", "s", "0 10:00:10", "click", "a", "red"),
            act("u", "s", "0 10:00:20", "click", "b", "red"),
        ]
    )
    assert [(episode["timestamp"], episode["history"]) for episode in episodes(store)] == [
        (seconds("0 10:00:10"), ""),
        (seconds("0 10:00:10"), ""),
    ]


def test_pages_of_a_log_without_impressions(shop: Build) -> None:
    store = shop(
        [
            act("u", "s", "0 09:00:00", "view", "d"),
            act("u", "s", "0 10:00:05", "view", "b", "red"),
            act("u", "s", "0 10:00:20", "click", "a", "red"),
            act("u", "s", "0 10:00:30", "purchase", "b", "red"),
            act("u", "s", "0 10:05:00", "cart", "a"),
            act("u", "s", "0 10:06:00", "click", "a", "blue"),
            act("u", "t", "0 11:00:00", "click", "c"),
            act("u", "s", "0 12:00:00", "click", "d"),
            act("u", "t", "0 13:00:00", "purchase", "a"),
            act("v", "s", "0 13:00:00", "favourite", "b"),
            act("v", "s", "0 23:59:59", "view", "a"),
            act("v", "s", "1 00:00:00", "purchase", "a"),
        ]
    )
    assert not store.pages_logged
    # d was first touched by the view at nine, the search by that of b. The cart went on with what the search had found,
    # the purchase of another session with no page at all. a is on the page of the second search too, though not new.
    assert pages(store) == [
        (seconds("0 09:00:00"), "", ["dc"]),
        (seconds("0 10:00:05"), "red", ["ack", "bp"]),
        (seconds("0 10:06:00"), "blue", ["ac"]),
        (seconds("0 11:00:00"), "", ["cc"]),
    ]
    assert (store.request_history_end - store.user_start[store.request_user]).tolist() == [0, 1, 5, 6]
    assert not store.impression_position.any()
    assert not store.snapshots[:, :, store.snapshot_features.index("impression_all")].any()
    assert "4 presumed pages with 5 choices, 4 clicked" in repr(store)
    sources = {(found["product"], found["timestamp"]): found["request"] for found in episodes(store)}
    assert sources == {
        ("d", seconds("0 09:00:00")): 0,
        ("a", seconds("0 10:00:05")): 1,
        ("b", seconds("0 10:00:05")): 1,
        ("c", seconds("0 11:00:00")): 3,
        ("a", seconds("0 13:00:00")): -1,
    }
    # Nothing was chosen from a page of v before its slice ended.
    assert [found["request"] for found in episodes(store, "v")] == [-1, -1]


def test_one_impression_makes_pages_logged_ones(shop: Build, tmp_path: Path) -> None:
    store = shop([*page("u", "s", "0 10:00:00", "red", "a"), act("u", "s", "0 10:00:20", "click", "b", "blue")])
    assert store.pages_logged
    assert pages(store) == [(seconds("0 10:00:00"), "red", ["a"])]
    for logged in (True, False):
        replace(store, pages_logged=logged).save(tmp_path / "store")
        assert FeatureStore.load(tmp_path / "store").pages_logged is logged


def test_what_has_no_query_goes_on_with_the_page_of_its_episode(shop: Build) -> None:
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "", "ab"),
            *page("u", "s", "0 10:01:00", "red", "abc"),
            act("u", "s", "0 10:01:10", "click", "a", "red"),
            act("u", "s", "0 10:01:10", "view", "b"),  # b was last shown without a query on the page of ten
            act("u", "s", "0 10:02:00", "cart", "a"),  # on with the search, though the page of ten showed a too
            act("u", "s", "0 10:02:10", "purchase", "b"),
            act("u", "s", "0 10:02:20", "purchase", "c"),  # of an episode without a page
            *page("u", "s", "0 10:03:00", "", "a"),
            act("u", "s", "0 10:03:10", "purchase", "a"),  # a later page without a query showed it
            act("u", "t", "0 11:00:00", "purchase", "a"),  # another session
            act("u", "s", "0 12:00:00", "click", "a", "blue"),  # a query that has no page
        ]
    )
    assert pages(store) == [
        (seconds("0 10:00:00"), "", ["a", "bp"]),
        (seconds("0 10:01:00"), "red", ["ack", "b", "c"]),
        (seconds("0 10:03:00"), "", ["ap"]),
    ]
    assert store.choices == {
        "click": (2, 1), "cart": (1, 1), "purchase": (4, 2), "search": (3, 2), "recommendation": (4, 2)
    }  # fmt: skip


def test_queries_that_differ_in_case_and_blanks_are_one_page(shop: Build, tmp_path: Path) -> None:
    store = shop(
        [
            *page("u", "s", "0 10:00:00", "Red  Dress", "ab"),
            act("u", "s", "0 10:00:10", "click", "a", "red dress"),
            act("u", "s", "0 10:00:20", "click", "b", "red\u3000DRESS"),
            act("u", "s", "0 10:00:30", "cart", "b", "reddress"),
        ]
    )
    assert pages(store) == [(seconds("0 10:00:00"), "Red  Dress", ["ac", "bc"])]
    assert FeatureStore.load(tmp_path / "features").choices == {"click": (2, 2), "cart": (1, 0), "search": (3, 2)}


def test_midnight_belongs_to_the_new_day(shop: Build) -> None:
    store = shop([act("u", "s", "0 23:59:59", "click", "a"), act("u", "t", "1 00:00:00", "click", "a")])
    assert [(episode["day"], episode["slice"]) for episode in episodes(store)] == [(0, 0), (1, 1)]
    clicks = store.snapshots[:, 0, store.snapshot_features.index("click_all")]
    # The snapshots of days 0 to 4: the event of 00:00:00 is in no snapshot before day 2's.
    assert clicks.tolist() == [0, 1, 2, 2, 2]


def test_labels_stop_where_the_slice_ends(shop: Build) -> None:
    store = shop(
        [
            *page("u", "s", "0 23:59:50", "red", "ab"),
            act("u", "s", "0 23:59:55", "click", "a", "red"),
            act("u", "s", "1 00:00:05", "purchase", "a", "red"),  # a day later: the towers' slice has ended
            act("u", "s", "1 00:00:07", "click", "b", "red"),  # asked in one slice, clicked in the next
        ]
    )
    a, b = episodes(store)
    assert (a["kind"], a["slice"], a["day"]) == ("click", 0, 0)
    assert (b["kind"], b["slice"], b["day"]) == ("click", -1, 0)
    assert pages(store) == [(seconds("0 23:59:50"), "red", ["ac", "b"])]


def test_a_session_over_midnight_inside_a_slice_is_whole(tmp_path: Path) -> None:
    events = [
        *page("u", "s", "0 23:59:50", "red", "a"),
        act("u", "s", "1 00:00:05", "purchase", "a", "red"),
        act("zz", "z", "4 00:00:00", "view", "d"),
    ]
    write_tables(tmp_path / "tables", events)
    store = build(tmp_path / "tables", tmp_path / "features", FeaturesConfig(), SPLITS)
    (episode,) = episodes(store)
    assert (episode["kind"], episode["slice"], episode["day"]) == ("purchase", 0, 0)
    assert pages(store) == [(seconds("0 23:59:50"), "red", ["ap"])]


def test_a_query_of_the_test_days_alone_has_a_code(shop: Build) -> None:
    store = shop(
        [*page("u", "s", "0 10:00:00", "红色 连衣裙", "a"), act("u", "t", "3 10:00:00", "click", "b", "never before")]
    )
    assert store.queries.tolist() == ["never before", "红色 连衣裙"]
    assert episodes(store)[0]["query"] == "never before"
    assert episodes(store)[0]["slice"] == 3


def test_a_user_with_one_event(shop: Build) -> None:
    store = shop([act("u", "s", "2 10:00:00", "click", "a")])
    (episode,) = episodes(store)
    assert (episode["history"], episode["new"], episode["slice"]) == ("", True, 2)
    assert not store.interaction_target[store.user_start[0]]


def test_a_page_holds_a_product_once_at_its_first_place(shop: Build) -> None:
    shown = page("u", "s", "0 10:00:00", "red", "abca")
    unknown = [
        ("u", "s", "0 10:00:00", "impression", "b", "red", 0),
        ("u", "s", "0 11:00:00", "impression", "c", "", 0),
    ]
    store = shop([*shown, *unknown])
    assert [shown for _, _, shown in pages(store)] == [["a", "b", "c"], ["c"]]
    assert store.impression_position.tolist() == [1, 2, 3, 0]
    impressions = store.snapshots[-1, :, store.snapshot_features.index("impression_all")]
    assert impressions.tolist() == [2, 2, 2, 0]  # the counters count what the log holds


def test_counters_and_launch_days(shop: Build) -> None:
    store = shop(
        [act("u", "s", "0 10:00:00", "view", "a"), act("u", "t", "2 10:00:00", "cart", "a")],
        counter_windows_days=(1, 3),
    )
    assert store.snapshot_features == tuple(f"{kind}_{window}" for window in ("1d", "3d", "all") for kind in KINDS)
    view, cart = (store.snapshot_features.index(name) for name in ("view_1d", "cart_3d"))
    assert store.snapshots[:, 0, view].tolist() == [0, 1, 0, 0, 0]
    assert store.snapshots[:, 0, cart].tolist() == [0, 0, 0, 1, 1]
    assert store.launched.tolist() == [-3, 0, 1, -1]
    assert store.day0 == seconds("0 00:00:00")


def test_profile_columns_follow_the_users_of_the_log(shop: Build) -> None:
    users = {"user_id": ["zz", "stranger", "u"], "value": ["x", "y", "w"], "code": ["1", "2", "3"]}
    store = shop([act("u", "s", "0 10:00:00", "view", "a"), act("v", "s", "0 10:00:00", "view", "a")], users=users)
    assert store.user_ids.tolist() == ["u", "v", "zz"]
    assert {name: values.tolist() for name, values in store.user_columns.items()} == {
        "value": ["w", "", "x"],
        "code": ["3", "", "1"],
    }


def test_without_a_users_table_there_are_no_profile_columns(shop: Build) -> None:
    assert shop([]).user_columns == {}


def test_the_order_of_strength_is_the_order_of_weights(shop: Build) -> None:
    events = [act("u", "s", "0 10:00:00", "cart", "a"), act("u", "s", "0 10:00:01", "favourite", "a")]
    assert episodes(shop(events))[0]["kind"] == "cart"
    weights = dict(KIND_WEIGHTS) | {"favourite": 9.0}
    store = shop(events, kind_weights=weights)
    (episode,) = episodes(store)
    assert (episode["kind"], episode["weight"]) == ("favourite", 9.0)
    assert store.kind_weights == weights
    assert store.weights.tolist() == [0, 0.5, 1, 3, 9, 5]


def test_a_log_of_pages_alone_has_no_episodes(tmp_path: Path) -> None:
    write_tables(tmp_path / "t", [*page("u", "s", "0 10:00:00", "red", "a"), *page("u", "s", "3 10:00:00", "", "b")])
    store = build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    assert store.interaction_user.shape == store.example_user.shape == (0,)
    assert store.user_start.tolist() == [0, 0]
    assert store.request_history_end.tolist() == [0, 0]
    rows, kinds, timestamps = store.history([0], [0], 2)
    assert (rows.tolist(), kinds.tolist(), timestamps.tolist()) == ([[4, 4]], [[0, 0]], [[0, 0]])


def test_an_empty_log_says_how_many_days_are_needed(tmp_path: Path) -> None:
    write_tables(tmp_path / "t", [])
    with pytest.raises(ConfigError, match=r"has 0 day\(s\).*at least 4"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t"]


def test_tables_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    write_tables(
        tmp_path / "t", [*FRAME, act("u", "s", "0 10:00:00", "click", "x"), act("u", "s", "0 1:0:0", "?", "a")]
    )
    with pytest.raises(ArtifactError, match=r"2 of 4 events name a product.*run the ingest stage again"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)


def test_a_table_that_is_missing_broken_or_short_of_a_column_is_refused(tmp_path: Path) -> None:
    write_tables(tmp_path / "t", FRAME)
    events = tmp_path / "t" / "events.parquet"
    pq.write_table(pq.read_table(events).drop_columns(["query"]), events)
    with pytest.raises(ArtifactError, match=r"missing \['query'\]"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    events.write_bytes(b"PAR1 and no more")
    with pytest.raises(ArtifactError, match="not a readable Parquet file"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    events.unlink()
    with pytest.raises(ArtifactError, match="no such table; run the ingest stage first"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)


@pytest.mark.parametrize("folder", ["dt=2026-03-01", "kind=demo"])
def test_a_folder_called_key_and_value_is_no_column(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    write_tables(tmp_path / folder / "t", FRAME, {"user_id": ["zz"], "country": ["DE"]})
    store = build(tmp_path / folder / "t", tmp_path / folder / "f", FeaturesConfig(), SPLITS)
    assert {name: values.tolist() for name, values in store.user_columns.items()} == {"country": ["DE"]}
    assert store.interaction_kind.tolist() == [KINDS.index("view")] * 2


def test_snapshots_that_the_disk_cannot_hold_are_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tables(tmp_path / "t", FRAME)
    needed = 5 * 4 * 18 * 4  # the starts of days 0 to 4, products, counters, bytes
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=needed - 1))
    with pytest.raises(DataError, match=r"daily snapshots .* GB free\. Make room"):
        build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    assert not (tmp_path / "f").exists()


def test_a_pause_of_more_than_a_year_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tables(tmp_path / "t", [act("u", "s", "-500 10:00:00", "view", "a"), *FRAME])
    build(tmp_path / "t", tmp_path / "f", FeaturesConfig(), SPLITS)
    told = " ".join(capsys.readouterr().err.split())
    # Days -499 to -1; day 0 is 1 March 2026.
    assert "The log begins on 2024-10-17; 499 days without an event lie between 1 event(s)" in told
    assert "all others, from 2026-03-01" in told


@pytest.mark.parametrize(
    "settings", [{"counter_windows_days": [7, 7]}, {"counter_windows_days": [0, 7]}, {"kind_weights": {"click": 1.0}}]
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="received"):
        parse_config(FeaturesConfig, settings, "features")


def test_every_expression_compiles_for_spark(shop: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, kept = behaviour_log._keep, []

    def spy(connection: Any, table: Any) -> Any:
        kept.append(ibis.to_sql(table, dialect="pyspark"))
        return keep(connection, table)

    monkeypatch.setattr(behaviour_log, "_keep", spy)
    shop([*page("u", "s", "0 10:00:00", "red", "ab"), act("u", "s", "0 10:00:10", "click", "a", "red")])
    assert len(kept) >= 10
    assert all(statement.startswith("SELECT") for statement in kept)
