"""Types, values and grades, worked out by hand on four products."""

import numpy as np
import pytest

from catalog.simulation.appeal import Appeal, Intents, Shoppers, product_factors
from catalog.simulation.attributes import encode, guess_brands, is_near, read_attributes
from catalog.simulation.looks import LOOK_DIMENSIONS
from catalog.simulation.shelf import NEVER, STYLE_DIMENSIONS, Shelf

CATEGORIES = ["Wear > Top > Shirts", "Wear > Top > Shirts", "Wear > Top > Tees", "Home > Mugs"]
COLUMNS = {
    "colour": ["Navy Blue", "Blue", "Blue", "Red"],
    "gender": ["Men", "Unisex", "Men", ""],
    "usage": ["Casual", "Formal", "Casual", "NA"],
    "year": ["2012", "2013", "2014", "2015"],
}


def _appeal() -> Appeal:
    attributes = encode(CATEGORIES, COLUMNS)
    flat = np.zeros(4, np.float32)
    shelf = Shelf(
        product_ids=np.array(["a", "b", "c", "d"]),
        attributes=attributes,
        looks=np.zeros((4, LOOK_DIMENSIONS), np.float32),
        style=np.zeros((4, STYLE_DIMENSIONS), np.float32),
        quality=np.array([0, 1, 0, 0], np.float32),
        price_z=flat,
        language=np.zeros(4, np.int8),
        launch_day=np.zeros(4, np.int32),
        sold_out_day=np.full(4, NEVER, np.int32),
    )
    factors = product_factors(shelf)
    shoppers = Shoppers(
        factors=np.zeros((2, factors.shape[1]), np.float32),
        type_taste=np.zeros((2, 3), np.float32),
        profile=np.zeros(1, np.int8),
        language=np.zeros(1, np.int8),
        first_day=np.zeros(1, np.int32),
    )
    intents = Intents(np.array([0, -1], np.int32), np.array([[True, False, False], [False] * 3]))
    return Appeal(shelf, shoppers, intents, ["colour", "gender", "usage"])


def test_codes_leave_out_numbers_and_unknown() -> None:
    attributes = encode(CATEGORIES, COLUMNS)
    assert attributes.types == ["Mugs", "Shirts", "Tees"]
    assert attributes.parents == ["Home", "Wear > Top"]
    assert attributes.type_parent.tolist() == [0, 1, 1]
    assert attributes.keys == ["colour", "gender", "usage"]
    assert attributes.codes["usage"].tolist() == [0, 1, 0, -1]
    assert attributes.codes["gender"].tolist() == [0, 1, 0, -1]


@pytest.mark.parametrize(
    ("wanted", "grades"),
    [
        # colour: blue 0, navy blue 1, red 2. gender: men 0, unisex 1. usage: casual 0, formal 1.
        ([-1, -1, -1], [3, 3, 1, 0]),  # shirts: type alone; tees stand in the same department
        ([0, -1, -1], [2, 3, 1, 0]),  # blue shirts: navy is near; the tee is blue
        ([2, -1, -1], [1, 1, 0, 0]),  # red shirts: two grades lost; the tee is not red
        ([0, 0, -1], [2, 2, 1, 0]),  # blue men's shirts: navy near, unisex near
        ([1, 0, 0], [3, 1, 0, 0]),  # navy men's casual shirts: the other loses 1 (blue) + 1 (unisex) + 1 (formal)
        ([-1, -1, 0], [3, 2, 1, 0]),  # casual shirts: formal is a minor mismatch
    ],
)
def test_grades_by_hand(wanted: list[int], grades: list[int]) -> None:
    appeal = _appeal()
    one = np.array([wanted], np.int16)
    assert appeal.grades(np.array([1], np.int32), one).tolist() == [grades]
    some = np.array([[3, 0]], np.int32)
    assert appeal.grades(np.array([1], np.int32), one, some).tolist() == [[grades[3], grades[0]]]


def test_department_as_scope() -> None:
    """Scope 3 + 1 is the second parent category, "Wear > Top": shirts and tees alike."""
    wanted = np.array([[0, -1, -1]], np.int16)
    assert _appeal().grades(np.array([4], np.int32), wanted).tolist() == [[2, 3, 3, 0]]


def test_recommendation_by_hand() -> None:
    """Session 0 has shirt a in mind and its colour matters; session 1 nothing. The taste of the shopper is zero.

    a: base -4.4 + type 2.2 + same colour 0.7; b: blue is near navy, 0.2; c: the same department, 0.4; d: nothing.
    """
    appeal = _appeal()
    users, sessions = np.zeros(2, np.int32), np.array([0, 1], np.int32)
    logits = np.array([[-4.4 + 2.9, -4.4 + 2.4, -4.4 + 0.4, -4.4], [-4.4] * 4])
    np.testing.assert_allclose(appeal.recommendation(users, sessions), 0.75 / (1 + np.exp(-logits)), rtol=1e-5)
    some = np.array([[2, 0], [1, 1]], np.int32)
    np.testing.assert_allclose(
        appeal.recommendation(users, sessions, some),
        0.75 / (1 + np.exp(-np.take_along_axis(logits, some, 1))),
        rtol=1e-5,
    )


def test_search_by_hand() -> None:
    """ "blue shirts" of session 0: grades 2, 3, 1, 0; the wish for navy adds 0.6 * 0.7 to a and 0.6 * 0.2 to b."""
    appeal = _appeal()
    users, sessions, scope = np.zeros(1, np.int32), np.zeros(1, np.int32), np.ones(1, np.int32)
    found = appeal.search(users, sessions, scope, np.array([[0, -1, -1]], np.int16))
    logits = np.array([[-0.6 - 1.1 + 0.42, -0.6 + 0.12, -0.6 - 2.6, -0.6 - 4.5]])
    np.testing.assert_allclose(found, 0.75 / (1 + np.exp(-logits)), rtol=1e-5)


def test_purchase_by_hand() -> None:
    """No taste: base -3.4, and 0.3 for product b's quality of 1."""
    found = _appeal().purchase(np.zeros(1, np.int32))
    np.testing.assert_allclose(found, [1 / (1 + np.exp(3.4 - 0.3 * np.array([0, 1, 0, 0])))], rtol=1e-5)


def test_near_values() -> None:
    assert is_near("colour", "Navy Blue", "blue")
    assert is_near("gender", "Men", "Unisex")
    assert is_near("colour", "Grey Melange", "Grey")
    assert not is_near("colour", "red", "blue")
    assert not is_near("brand", "Peter", "Peter England")


def test_brands_from_titles() -> None:
    titles = ["Peter England Men Shirt"] * 5 + ["Peter England Women Top"] * 5 + ["Nike Tee"] * 8 + ["Rare One"] * 3
    titles += ["Men Basic Socks"] * 9
    stop = {"men", "women", "tee"}
    brands = guess_brands(titles, stop)
    assert brands[:10] == ["peter england"] * 10
    assert brands[10:18] == ["nike"] * 8
    assert brands[18:] == [""] * 12


def test_brand_column_wins_over_the_title() -> None:
    table = read_attributes(['{"gender": "Men"}', None], ["Nike Tee", "Nike Tee"], ["Puma", None])
    assert table == {"gender": ["Men", ""], "brand": ["puma", ""]}
