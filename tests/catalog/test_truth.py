"""The truth against the log it wrote, and against the facts it tells."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import ArtifactError, DataError
from catalog.files import read_json, write_json
from catalog.simulate import SimulateConfig, simulate
from catalog.simulation.attributes import MAJOR_KEYS, is_near
from catalog.truth import Truth

CONFIG = SimulateConfig(products=300, shoppers=300, days=21, picture_pixels=32, judged_queries=0, seed=11)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shop = tmp_path_factory.mktemp("shop")
    simulate(CONFIG, shop / "raw", shop / "truth")
    return shop


@pytest.fixture(scope="module")
def truth(folder: Path) -> Truth:
    return Truth.load(folder / "truth")


@pytest.fixture(scope="module")
def events(folder: Path) -> pa.Table:
    return pq.read_table(folder / "raw" / "events.parquet")


def _requests(events: pa.Table, typed: bool, most: int) -> list[tuple[str, str, str]]:
    rows = zip(*(events[name].to_pylist() for name in ("user_id", "session_id", "query", "kind")), strict=True)
    found = {
        (user, session, query) for user, session, query, kind in rows if kind == "impression" and (query != "") == typed
    }
    return sorted(found)[:most]


def test_grades_follow_from_the_facts(truth: Truth, events: pa.Table) -> None:
    """Each grade again, product by product, from what query_facts and product_facts tell."""
    queries = sorted({query for query in events["query"].to_pylist() if query})[:150]
    products = truth.product_facts().to_pylist()
    parents = {product["type"]: None for product in products}
    category = dict(zip(products_types(truth), products_parents(truth), strict=True))
    grades = truth.relevance(queries)
    assert grades.dtype == np.uint8
    for query, row in zip(truth.query_facts(queries).to_pylist(), grades, strict=True):
        wanted = json.loads(query["constraints"])
        for product, grade in zip(products, row.tolist(), strict=True):
            assert grade == _grade(wanted, product, category), (query, product)
    assert len(parents) > 20


def products_types(truth: Truth) -> list[str]:
    return truth._world.shelf.attributes.types


def products_parents(truth: Truth) -> list[str]:
    attributes = truth._world.shelf.attributes
    return [attributes.parents[code] for code in attributes.type_parent.tolist()]


def _grade(wanted: dict[str, str], product: dict[str, str], category: dict[str, str]) -> int:
    lost = 0
    for key, value in wanted.items():
        if key in ("type", "category"):
            continue
        has = product[f"attribute_{key}"]
        if has == "" or is_near(key, value, has):
            lost += 0 if has == value else 1
        elif has != value:
            lost += 2 if key in MAJOR_KEYS else 1
    if "category" in wanted:
        return max(1, 3 - lost) if category[product["type"]] == wanted["category"] else 0
    if product["type"] == wanted["type"]:
        return max(1, 3 - lost)
    return int(category[product["type"]] == category[wanted["type"]] and lost == 0)


def test_grades_of_every_size_exist(truth: Truth, events: pa.Table) -> None:
    queries = sorted({query for query in events["query"].to_pylist() if query})
    assert set(np.unique(truth.relevance(queries)).tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("typed", [True, False])
def test_clicks_are_examination_times_appeal(truth: Truth, events: pa.Table, typed: bool) -> None:
    """Summed over the log, clicks are what the truth expects, overall and by position, within sampling error."""
    rows = {product: number for number, product in enumerate(truth.product_ids.tolist())}
    pages: dict[tuple[str, str, str], list[tuple[int, int]]] = {}
    clicks = np.zeros(CONFIG.page_size)
    columns = (
        events[name].to_pylist() for name in ("user_id", "session_id", "query", "kind", "product_id", "position")
    )
    for user, session, query, kind, product, position in zip(*columns, strict=True):
        if (query != "") == typed and kind == "impression":
            pages.setdefault((user, session, query), []).append((rows[product], position - 1))
        elif (query != "") == typed and kind == "click":
            clicks[position - 1] += 1
    requests = list(pages)
    appeal = truth.appeal(*zip(*requests, strict=True))
    expected, variance = np.zeros(CONFIG.page_size), np.zeros(CONFIG.page_size)
    for request, row in zip(requests, appeal, strict=True):
        for product, position in pages[request]:
            chance = row[product] * truth.examination[position]
            expected[position] += chance
            variance[position] += chance * (1 - chance)
    assert clicks.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(variance.sum()))
    assert (np.abs(clicks - expected) < 4.5 * np.sqrt(variance) + 1).all()


def test_examination_falls_from_one(truth: Truth) -> None:
    assert truth.examination.dtype == np.float32
    assert truth.examination[0] == 1
    assert truth.examination[9] == pytest.approx(10**-0.7)
    assert (np.diff(truth.examination) < 0).all()


def test_better_grades_are_clicked_more(truth: Truth, events: pa.Table) -> None:
    requests = _requests(events, typed=True, most=400)
    users, sessions, queries = zip(*requests, strict=True)
    appeal, grades = truth.appeal(users, sessions, queries), truth.relevance(queries)
    means = [appeal[grades == grade].mean() for grade in range(4)]
    assert means[0] < means[1] < means[2] < means[3]
    assert means[3] > 10 * means[0]


def test_lasting_taste_tells_much_of_what_a_session_wants(truth: Truth, events: pa.Table) -> None:
    users, sessions, queries = zip(*_requests(events, typed=False, most=200), strict=True)
    nobody = [""] * len(users)
    best = _top(truth.appeal(users, sessions, queries))
    taste, stranger = _top(truth.appeal(users, nobody, queries)), _top(truth.appeal(nobody, nobody, queries))
    assert _overlap(taste, best) > 2 * _overlap(stranger, best)
    assert _overlap(taste, best) < 0.95


def _top(appeal: np.ndarray) -> np.ndarray:
    return np.argsort(-appeal, axis=1, kind="stable")[:, :20]


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / 20 for a, b in zip(one.tolist(), other.tolist(), strict=True)]))


def test_mixed_requests_equal_separate_ones(truth: Truth, events: pa.Table) -> None:
    searches, homes = _requests(events, typed=True, most=3), _requests(events, typed=False, most=3)
    mixed = [searches[0], homes[0], searches[1], homes[1], homes[2], searches[2]]
    together = truth.appeal(*zip(*mixed, strict=True))
    for request, row in zip(mixed, together, strict=True):
        alone = truth.appeal([request[0]], [request[1]], [request[2]])[0]
        np.testing.assert_allclose(row, alone, rtol=1e-4)
    assert together.dtype == np.float32
    assert together.shape == (6, 300)


def test_conversion_is_a_probability_of_the_shopper(truth: Truth) -> None:
    chance = truth.conversion(["u00000", "u00001"])
    assert chance.shape == (2, 300)
    assert ((chance > 0) & (chance < 1)).all()
    assert not np.allclose(chance[0], chance[1])


def test_facts_have_a_row_for_everything_asked(truth: Truth) -> None:
    products = truth.product_facts()
    assert products["product_id"].to_pylist() == truth.product_ids.tolist()
    assert set(products["shown_pattern"].to_pylist()) == {"picture", "both", "text"}
    assert set(products["shown_material"].to_pylist()) == {"text"}
    users = truth.user_facts(["u00005", "u00001"]).to_pylist()
    assert [user["user_id"] for user in users] == ["u00005", "u00001"]
    assert {user["language"] for user in users} <= {"en", "zh"}
    assert "300 products" in repr(truth)


def test_nothing_asked_is_nothing_answered(truth: Truth) -> None:
    assert truth.relevance([]).shape == (0, 300)
    assert truth.appeal([], [], []).shape == (0, 300)
    assert truth.query_facts([]).num_rows == 0


@pytest.mark.parametrize(
    ("user", "session", "query"), [("nobody", "", ""), ("", "s99999999", ""), ("", "", "never asked in this shop")]
)
def test_unknown_ids_are_refused(truth: Truth, user: str, session: str, query: str) -> None:
    with pytest.raises(DataError, match="is not in the simulated truth"):
        truth.appeal([user], [session], [query])


def test_lengths_must_agree(truth: Truth) -> None:
    with pytest.raises(DataError, match="1 users, 0 sessions and 0 queries"):
        truth.appeal([""], [], [])


def test_strangers_have_no_facts(truth: Truth) -> None:
    with pytest.raises(DataError, match="average stranger"):
        truth.user_facts([""])


def test_another_version_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "truth").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    names = read_json(tmp_path / "world.json")
    write_json(tmp_path / "world.json", names | {"version": 0})
    with pytest.raises(ArtifactError, match="version 0, expected 1"):
        Truth.load(tmp_path)


def test_broken_arrays_are_refused(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "truth").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "arrays.npz").read_bytes()
    (tmp_path / "arrays.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match=r"arrays\.npz"):
        Truth.load(tmp_path)
