import numpy as np

from rerank.translations import translations

# Ids 1 to 4 are 黑色, red, 红色 and black under key 0; 5 is 女 under key 1.
KEYS = np.array([0, 1, 1, 1, 1, 2], np.int32)
UNSPACED = np.array([False, True, False, True, False, True])


def stands_for(values: list[list[int]], named: list[list[int]]) -> list[int]:
    return translations(np.array(values, np.int32), np.array(named, np.int32), KEYS, UNSPACED).tolist()


def test_values_that_products_say_in_both_scripts_are_one() -> None:
    # Two products are black and say 黑色, one is 黑色 and says black; it says red too, but not as its colour.
    values = [[4, 5], [4, 0], [1, 5], [2, 0]]
    named = [[1, 1], [0, 1], [4, 2], [3, 0]]
    assert stands_for(values, named) == [0, 1, 2, 3, 1, 5]


def test_twice_in_one_text_is_one_product() -> None:
    assert stands_for([[4, 0], [4, 0]], [[1, 1], [1, 0]]) == [0, 1, 2, 3, 4, 5]


def test_values_that_pair_with_several_are_none_of_them() -> None:
    # Black products say 黑色 and 红色 equally often: neither is more than half.
    values, named = [[4, 0]] * 6, [[1, 0]] * 3 + [[3, 0]] * 3
    assert stands_for(values, named) == [0, 1, 2, 3, 4, 5]


def test_one_script_or_two_keys_are_no_translation() -> None:
    assert stands_for([[4, 0]] * 3, [[2, 5]] * 3) == [0, 1, 2, 3, 4, 5]
