"""The simulated shop's tables: what a shop would bring, no more, and the same bytes from the same seed."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from catalog.errors import ArtifactError, DataError
from catalog.files import fingerprint, write_parquet
from catalog.schema import EVENTS_SCHEMA, JUDGMENTS_SCHEMA, KINDS, PRODUCT_COLUMNS
from catalog.simulate import SimulateConfig, simulate
from catalog.simulation.catalogue import make_catalogue
from catalog.truth import Truth

CONFIG = SimulateConfig(products=260, shoppers=220, days=28, picture_pixels=32, judged_queries=30, seed=3)
DAY = 86_400


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    simulate(CONFIG, folder / "raw", folder / "truth")
    return folder


@pytest.fixture(scope="module")
def events(shop: Path) -> list[dict[str, object]]:
    return pq.read_table(shop / "raw" / "events.parquet").to_pylist()


def test_same_seed_same_bytes(shop: Path, tmp_path: Path) -> None:
    simulate(CONFIG, tmp_path / "raw", tmp_path / "truth")
    assert fingerprint(tmp_path / "raw") == fingerprint(shop / "raw")
    assert fingerprint(tmp_path / "truth") == fingerprint(shop / "truth")


def test_another_seed_is_another_shop(shop: Path, tmp_path: Path) -> None:
    simulate(CONFIG.model_copy(update={"seed": 4}), tmp_path / "raw", tmp_path / "truth")
    assert fingerprint(tmp_path / "raw") != fingerprint(shop / "raw")


def test_raw_holds_only_what_a_shop_has(shop: Path) -> None:
    assert {path.name for path in (shop / "raw").iterdir()} == {
        "products.parquet", "events.parquet", "users.parquet", "judgments.parquet",
    }  # fmt: skip
    products = pq.read_table(shop / "raw" / "products.parquet")
    assert set(products.column_names) == {column.name for column in PRODUCT_COLUMNS}
    assert products.num_rows == 260
    assert pq.read_schema(shop / "raw" / "events.parquet").equals(EVENTS_SCHEMA)
    assert pq.read_schema(shop / "raw" / "judgments.parquet").equals(JUDGMENTS_SCHEMA)
    assert pq.read_schema(shop / "raw" / "users.parquet").names == ["user_id", "gender", "language", "age_band"]


def test_events_are_in_order_and_inside_the_days(events: list[dict[str, object]]) -> None:
    times = [event["timestamp"] for event in events]
    assert times == sorted(times)
    first = min(times)
    assert first.date() == CONFIG.start
    assert (max(times).date() - CONFIG.start).days == CONFIG.days - 1
    assert {event["kind"] for event in events} == set(KINDS)


def test_a_page_is_known_by_user_session_query_and_time(events: list[dict[str, object]]) -> None:
    pages: dict[tuple[object, ...], list[int]] = {}
    for event in events:
        if event["kind"] == "impression":
            key = (event["user_id"], event["session_id"], event["query"], event["timestamp"])
            pages.setdefault(key, []).append(event["position"])
    for positions in pages.values():
        assert positions == list(range(1, len(positions) + 1))
        assert len(positions) <= CONFIG.page_size
    assert any(key[2] == "" for key in pages)
    assert any(key[2] != "" for key in pages)


def test_clicks_follow_their_page_and_purchases_their_cart(events: list[dict[str, object]]) -> None:
    shown: dict[tuple[object, ...], object] = {}
    carted: dict[tuple[object, ...], object] = {}
    for event in events:
        episode = (event["user_id"], event["session_id"], event["query"], event["product_id"])
        if event["kind"] == "impression":
            shown[episode] = event["timestamp"]
        elif event["kind"] == "click":
            assert event["timestamp"] > shown[episode]
            assert 1 <= event["position"] <= CONFIG.page_size
        elif event["kind"] == "cart":
            carted[episode] = event["timestamp"]
        elif event["kind"] == "purchase":
            assert event["timestamp"] > carted[episode]
        elif event["kind"] == "view":
            assert event["query"] == ""
            assert event["position"] == 0


def test_a_session_belongs_to_one_shopper_and_device(events: list[dict[str, object]]) -> None:
    owners: dict[object, set[object]] = {}
    for event in events:
        owners.setdefault(event["session_id"], set()).add((event["user_id"], event["device"]))
    assert all(len(owner) == 1 for owner in owners.values())


def test_nothing_happens_to_products_before_their_launch_or_after_they_sold_out(shop: Path) -> None:
    facts = Truth.load(shop / "truth").product_facts()
    life = dict(
        zip(
            facts["product_id"].to_pylist(),
            zip(facts["launch_day"].to_pylist(), facts["sold_out_day"].to_pylist(), strict=True),
            strict=True,
        )
    )
    table = pq.read_table(shop / "raw" / "events.parquet")
    start = np.datetime64(str(CONFIG.start))
    days = (table["timestamp"].to_numpy().astype("datetime64[D]") - start).astype(int)
    for product, day in zip(table["product_id"].to_pylist(), days.tolist(), strict=True):
        launch, sold_out = life[product]
        assert launch <= day < sold_out
    created = pq.read_table(shop / "raw" / "products.parquet")["created_at"].to_numpy().astype("datetime64[D]")
    assert ((created - start).astype(int) == facts["launch_day"].to_numpy()).all()


def test_something_is_new_at_the_end(shop: Path, events: list[dict[str, object]]) -> None:
    facts = Truth.load(shop / "truth").product_facts()
    launch = facts["launch_day"].to_numpy()
    assert 0.05 < (launch >= CONFIG.days - 7).mean() < 0.3
    first = {}
    for event in events:
        first.setdefault(event["user_id"], event["timestamp"].date())
    late = sum((day - CONFIG.start).days >= CONFIG.days - 5 for day in first.values())
    assert late >= 3


def test_languages_spelling_and_reuse_of_queries(shop: Path) -> None:
    table = pq.read_table(shop / "raw" / "events.parquet")
    pages = table.filter(pc.and_(pc.equal(table["kind"], "impression"), pc.equal(table["position"], 1)))
    asked = [query for query in pages["query"].to_pylist() if query]
    facts = Truth.load(shop / "truth").query_facts(asked)
    assert 0.4 < np.mean(np.array(facts["language"].to_pylist()) == "zh") < 0.6
    assert 0.04 < np.mean(facts["misspelt"].to_pylist()) < 0.13
    assert set(facts["specificity"].to_pylist()) == {0, 1, 2, 3}
    assert Counter(asked).most_common(1)[0][1] > 5
    assert any(facts["shows_only_in_picture"].to_pylist())


def test_popularity_is_long_tailed(events: list[dict[str, object]]) -> None:
    counts = Counter(event["product_id"] for event in events if event["kind"] != "impression")
    ranked = sorted(counts.values(), reverse=True)
    assert sum(ranked[:26]) > 0.3 * sum(ranked)


def test_judgments_are_the_truth_with_slips(shop: Path) -> None:
    truth = Truth.load(shop / "truth")
    judgments = pq.read_table(shop / "raw" / "judgments.parquet").to_pylist()
    row = {product: number for number, product in enumerate(truth.product_ids.tolist())}
    queries = sorted({judgment["query"] for judgment in judgments})
    grades = dict(zip(queries, truth.relevance(queries), strict=True))
    wrong = [
        abs(judgment["grade"] - int(grades[judgment["query"]][row[judgment["product_id"]]])) for judgment in judgments
    ]
    assert len(queries) == 30
    assert max(wrong) <= 1
    assert 0.0 < np.mean(wrong) < 0.1
    assert len({(judgment["query"], judgment["product_id"]) for judgment in judgments}) == len(judgments)


def _real_catalogue(folder: Path, pictures: str) -> pa.Table:
    """A catalogue as an adapter leaves it: English, attributes in columns of its own, some prices."""
    made, _ = make_catalogue(
        CONFIG.model_copy(update={"products": 150, "languages": ("en",)}), np.random.default_rng(0)
    )
    images = made["image"].to_pylist()
    if pictures == "files":
        (folder / "images").mkdir(parents=True)
        for number, data in enumerate(images):
            if data is not None:
                (folder / "images" / f"{number}.jpg").write_bytes(data)
        made = made.set_column(
            made.column_names.index("image"), "image", pa.array([f"{number}.jpg" for number in range(len(images))])
        )
    prices = pa.array([19.5 if number % 2 else None for number in range(150)], pa.float64())
    table = made.append_column("price", prices)
    write_parquet(folder / "products.parquet", table)
    return table


@pytest.mark.parametrize("pictures", ["bytes", "files"])
def test_real_catalogue_keeps_what_it_says_and_gains_what_it_lacks(tmp_path: Path, pictures: str) -> None:
    before = _real_catalogue(tmp_path / "raw", pictures)
    config = SimulateConfig(products=0, shoppers=60, days=14, judged_queries=0, missing_price_share=0.0)
    simulate(config, tmp_path / "raw", tmp_path / "truth")
    after = pq.read_table(tmp_path / "raw" / "products.parquet")
    for name in ("product_id", "title", "category", "brand", "attributes", "image"):
        assert after[name].equals(before[name])
    prices = after["price"].to_pylist()
    assert prices[1::2] == [19.5] * 75
    assert all(price > 0 for price in prices)
    assert not (tmp_path / "raw" / "judgments.parquet").exists()
    looks = Truth.load(tmp_path / "truth")._world.shelf.looks
    assert (np.abs(looks).sum(1) > 0).mean() > 0.9


def test_where_pictures_come_from_changes_nothing(tmp_path: Path) -> None:
    config = SimulateConfig(products=0, shoppers=60, days=14, judged_queries=0)
    for pictures in ("bytes", "files"):
        _real_catalogue(tmp_path / pictures / "raw", pictures)
        simulate(config, tmp_path / pictures / "raw", tmp_path / pictures / "truth")
    assert fingerprint(tmp_path / "bytes" / "raw" / "events.parquet") == fingerprint(
        tmp_path / "files" / "raw" / "events.parquet"
    )


def test_bare_catalogue_of_titles_is_enough(tmp_path: Path) -> None:
    titles = [f"Acme {colour} {kind}" for colour in ("Red", "Blue") for kind in ("Lamp", "Chair")] * 10
    table = pa.table({"product_id": [f"x{number}" for number in range(40)], "title": titles})
    write_parquet(tmp_path / "raw" / "products.parquet", table)
    simulate(SimulateConfig(products=0, shoppers=30, days=14), tmp_path / "raw", tmp_path / "truth")
    queries = {query for query in pq.read_table(tmp_path / "raw" / "events.parquet")["query"].to_pylist() if query}
    assert "acme" in {word for query in queries for word in query.split()}
    assert all(query.isascii() for query in queries)  # English titles, so nobody asks in Chinese
    assert set(pq.read_table(tmp_path / "raw" / "users.parquet")["language"].to_pylist()) <= {"en", ""}


def test_missing_catalogue_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"products\.parquet"):
        simulate(SimulateConfig(products=0), tmp_path / "raw", tmp_path / "truth")


def test_product_twice_is_refused(tmp_path: Path) -> None:
    table = pa.table({"product_id": ["a", "a"], "title": ["x", "y"]})
    write_parquet(tmp_path / "raw" / "products.parquet", table)
    with pytest.raises(DataError, match="2 rows with 1 different"):
        simulate(SimulateConfig(products=0), tmp_path / "raw", tmp_path / "truth")


def test_attributes_of_made_up_products_are_json(shop: Path) -> None:
    cells = pq.read_table(shop / "raw" / "products.parquet")["attributes"].to_pylist()
    assert all(isinstance(json.loads(cell), dict) for cell in cells)
