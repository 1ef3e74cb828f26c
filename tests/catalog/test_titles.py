import numpy as np

from catalog.titles import normalised, repeated_share, title_groups


def test_case_blanks_and_width_make_no_other_title():
    assert normalised("  Red\u3000 DRESS ") == normalised("red dress") == normalised("ｒｅｄ dress")
    assert normalised("Straße") == normalised("STRASSE")
    assert normalised("红 裙") != normalised("红裙")


def test_groups_are_counted_from_the_first_and_no_title_is_nobodys_twin():
    assert title_groups(["Cap", "Bag", "cap", "", " ", "BAG"]).tolist() == [0, 1, 0, 2, 3, 1]
    assert title_groups([]).tolist() == []


def test_share_of_products_that_share_a_title():
    assert repeated_share(np.array([0, 1, 0, 2, 0], np.int32)) == 3 / 5
    assert repeated_share(np.zeros(0, np.int32)) == 0
