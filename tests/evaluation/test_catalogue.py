import json
import math

import numpy as np
import pyarrow as pa

from evaluation.catalogue import Catalogue


def table():
    attributes = [{"colour": "Red", "sizes": ["S", "M"]}, {"colour": " red ", "brand": "acme", "sold": None}, {}]
    columns = {name: [""] * 3 for name in ("description", "review_text")}
    return pa.table(
        columns
        | {
            "title": ["Cap", "Hat", "Bag"],
            "category": ["A > Hats", "a > hats", ""],
            "brand": ["", "Acme", "red"],
            "attributes": [json.dumps(item) for item in attributes],
            "price": [1.5, math.nan, 2.0],
            "rating_count": [0, 9, 99],
            "rating_average": [math.nan, 4.0, 5.0],
        }
    )


def test_numbers_are_the_price_and_the_ratings():
    expected = [[1.5, 0, np.nan], [np.nan, math.log(10), 4], [2, math.log(100), 5]]
    np.testing.assert_allclose(Catalogue.read(table()).numbers, expected, rtol=1e-6)


def test_values_are_one_whatever_their_case_and_a_name_without_a_value_is_none():
    read = Catalogue.read(table())
    # In the order in which they are met: the category, red, S, M; Acme (named twice); the third product's brand.
    assert read.values.toarray().tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [0, 0, 0, 0, 0, 1]]
    assert read.is_category.tolist() == [True, False, False, False, False, False]


def test_texts_hold_every_field():
    assert Catalogue.read(table()).texts[0].split() == ["Cap", "A", "Hats", "colour", "Red", "sizes", "S", "M"]
