import json

import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import DataError
from evaluation.attribute_queries import make_attribute_queries, product_values, singular, word_query


def shop(rows):
    """rows: (gender, colour, type) for each product; "" leaves the attribute out."""
    attributes = [
        json.dumps({key: value for key, value in (("gender", gender), ("base_colour", colour)) if value})
        for gender, colour, _ in rows
    ]
    return pa.table({"attributes": attributes, "category": [f"Apparel > {kind}" if kind else "" for *_, kind in rows]})


TABLE = shop([("Men", "Navy Blue", "Shirts")] * 12 + [("Women", "Red", "Heels")] * 10 + [("Men", "Red", "Socks")] * 9)
KEYS = ("base_colour", "gender")


def test_values_come_from_attributes_and_the_leaf_of_the_category():
    table = shop([("Men", "", "Shirts"), ("", "Red", "")])
    assert product_values(table, ("gender", "base_colour", "type")).tolist() == [["Men", "", "Shirts"], ["", "Red", ""]]


def test_only_combinations_that_can_fill_ten_places_are_asked_for():
    queries = make_attribute_queries(TABLE, np.ones(31, bool), KEYS, count=300)
    assert set(queries.product_codes[queries.codes]) <= set(queries.product_codes)
    named = {tuple(sorted(set(np.flatnonzero(queries.product_codes == code)))) for code in queries.codes}
    assert named == {tuple(range(12)), tuple(range(12, 22))}
    assert len(set(queries.texts)) == len(queries.texts) > 10
    assert all(("blue" in text) == ("shirt" in text) for text in queries.texts)


def test_products_out_of_the_index_do_not_count():
    eligible = np.ones(31, bool)
    eligible[12] = False
    queries = make_attribute_queries(TABLE, eligible, KEYS, count=20)
    assert all("shirt" in text for text in queries.texts)


def test_the_seed_decides():
    draw = [make_attribute_queries(TABLE, np.ones(31, bool), KEYS, count=8, seed=seed).texts for seed in (3, 3, 4)]
    assert draw[0] == draw[1] != draw[2]


def test_the_share_that_matches_in_everything():
    queries = make_attribute_queries(TABLE, np.ones(31, bool), KEYS, count=2)
    shirts = next(i for i, text in enumerate(queries.texts) if "shirt" in text)
    rows = np.full((len(queries.texts), 12), -1, np.int32)
    rows[shirts, :5] = [0, 1, 30, 12, 2]  # shirt, shirt, red socks, red heels, shirt; five places are empty
    rows[shirts, 10:] = [3, 4]  # beyond the first ten
    assert queries.share_matching(rows)[shirts] == pytest.approx(3 / 10)


def test_a_product_without_a_value_never_matches():
    table = shop([("Men", "Red", "Shirts")] * 10 + [("Men", "", "Shirts")])
    queries = make_attribute_queries(table, np.ones(11, bool), KEYS, count=1)
    assert queries.product_codes[10] == -1
    assert queries.share_matching(np.array([[10]], np.int32), k=1).tolist() == [0]


def test_values_that_differ_in_case_are_one():
    table = shop([("Men", "Red", "Shirts")] * 6 + [("men", "red", "SHIRTS")] * 6)
    queries = make_attribute_queries(table, np.ones(12, bool), KEYS, count=5)
    assert set(queries.product_codes) == set(queries.codes) == {0}
    assert (queries.share_matching(np.arange(1, 11, dtype=np.int32)[None, :].repeat(5, 0)) == 1).all()


def test_an_attribute_that_nobody_has_is_refused():
    with pytest.raises(DataError, match=r"'fabric' is empty in every product.* has: base_colour, gender, type"):
        make_attribute_queries(TABLE, np.ones(31, bool), ("gender", "fabric"))


def test_products_that_are_too_few_alike_answer_no_query():
    assert make_attribute_queries(TABLE, np.zeros(31, bool), KEYS) is None
    without_categories = shop([("Men", "Red", "")] * 12)
    assert make_attribute_queries(without_categories, np.ones(12, bool), KEYS) is None


@pytest.mark.parametrize(
    ("plural", "expected"),
    [
        ("casual shoes", "casual shoe"),
        ("watches", "watch"),
        ("dresses", "dress"),
        ("accessories", "accessory"),
        ("jeans", "jeans"),
        ("dress", "dress"),
        ("perfume and body mist", "perfume and body mist"),
    ],
)
def test_singular(plural, expected):
    assert singular(plural) == expected


def test_wordings_say_every_value():
    random = np.random.default_rng(0)
    wordings = {word_query({"base_colour": "Navy Blue", "gender": "Men", "type": "Shirts"}, random) for _ in range(200)}
    assert {"navy blue men shirt", "men navy blue shirts", "navy blue shirts for men"} <= wordings
    assert all("navy blue" in text and "men" in text and "shirt" in text for text in wordings)
