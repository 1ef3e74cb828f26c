"""Which products are looked for by name, with which words, and what counts as found."""

import numpy as np
import pytest

from benchmarks.known_items import hits, make_questions
from catalog.errors import DataError

COMMON = ["Plain Shirt"] * 6
TITLES = [*COMMON, "Acme Drill XR500", "acme drill xr500", "Acme Shirt Blue Zed"]
BRANDS = [""] * 6 + ["Acme"] * 3
TYPES = ["Shirts"] * 6 + ["Drills", "Drills", "Shirts"]


def test_titles_that_two_products_have_are_not_asked_for() -> None:
    asked = make_questions(TITLES, BRANDS, TYPES, np.arange(9, dtype=np.int32), 9, 0)
    queries, rows = asked["whole title"]
    assert (queries, rows.tolist()) == (["Acme Shirt Blue Zed"], [8])
    assert asked["half of the title"][0] == ["Acme Shirt"]


def test_words_that_many_titles_hold_are_not_asked_with() -> None:
    asked = make_questions(TITLES, BRANDS, TYPES, np.arange(9, dtype=np.int32), 9, 0)
    queries, rows = asked["rare word"]
    assert dict(zip(rows.tolist(), queries, strict=True)) == {6: "drill", 7: "drill", 8: "blue"}
    assert sorted(asked["rare word and type"][0]) == ["blue Shirts", "drill Drills", "drill Drills"]
    assert sorted(asked["brand and rare word"][0]) == ["Acme blue", "Acme drill", "Acme drill"]


def test_only_products_of_the_index_are_asked_for_and_no_more_than_wanted() -> None:
    asked = make_questions(TITLES, BRANDS, TYPES, np.array([6, 7], np.int32), 1, 0)
    assert "whole title" not in asked
    assert len(asked["rare word"][1]) == 1


def test_a_shop_of_one_title_has_nothing_to_ask() -> None:
    with pytest.raises(DataError, match="nothing to ask"):
        make_questions(COMMON, BRANDS[:6], TYPES[:6], np.arange(6, dtype=np.int32), 5, 0)


def test_found_is_counted_at_each_depth() -> None:
    answers = np.full((3, 60), -1)
    answers[0, 0], answers[1, 9], answers[2, 50] = 4, 5, 6
    found = {name: values.tolist() for name, values in hits(answers, np.array([4, 5, 6])).items()}
    assert found == {"found first": [1, 0, 0], "among ten": [1, 1, 0], "among fifty": [1, 1, 0]}
