import html
import math
import re
import warnings

import numpy as np
import pytest

from evaluation.embedding_map import OTHER, make_map, principal_axes
from evaluation.plots import map_svg


def test_principal_axes_by_hand():
    # Around the mean (1, 1, 0): 2 to either side on the first axis, 1 on the second; variances 8 and 2 of 10.
    vectors = np.array([[3, 1, 0], [-1, 1, 0], [1, 2, 0], [1, 0, 0]], np.float32)
    places, explained = principal_axes(vectors)
    assert places == pytest.approx(np.array([[2, 0], [-2, 0], [0, 1], [0, -1]]))
    assert explained == pytest.approx((0.8, 0.2))


def test_equal_vectors_have_no_axis_to_explain():
    places, explained = principal_axes(np.ones((3, 4), np.float32))
    assert places == pytest.approx(np.zeros((3, 2)))
    assert explained == (0, 0)


def test_neighbours_and_chance_by_hand():
    angles = np.array([0.0, 0.1, 1.0, 1.1])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    made = make_map(vectors, np.array(["a", "a", "a", "b"], object))
    # The third and the fourth are each other's nearest and differ; 3/4 and 1/4 of the labels: 9/16 + 1/16.
    assert made.agreement == 0.5
    assert made.chance == pytest.approx(10 / 16)


def test_small_and_missing_categories_are_one():
    vectors = np.eye(5, dtype=np.float32)
    made = make_map(vectors, np.array(["a", "a", "b", "", "c"], object), largest=1)
    assert made.labels.tolist() == ["a", "a", OTHER, OTHER, OTHER]


def test_a_large_catalogue_is_sampled_the_same_each_time():
    vectors = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    labels = np.array(["a", "b"] * 25, object)
    first, second = (make_map(vectors, labels, points=10, seed=3) for _ in range(2))
    assert len(first.places) == 10
    assert first.places.tolist() == second.places.tolist()


def test_one_product_has_no_neighbour():
    assert math.isnan(make_map(np.ones((1, 2), np.float32), np.array(["a"], object)).agreement)


def test_categories_in_any_script_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "服饰 (4)" in map_svg(make_map(np.eye(4, dtype=np.float32), np.array(["服饰"] * 4, object)))


def test_the_drawing_names_the_categories_and_holds_one_picture():
    vectors = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    svg = map_svg(make_map(vectors, np.array(["shoes", "hats", "", "bags"] * 10, object)))
    for text in ("shoes (10)", "hats (10)", "other (10)", "first axis"):
        assert text in svg
    assert svg.count("<image") >= 1
    assert svg.startswith("<svg")


@pytest.mark.parametrize("name", ["Gifts $10 to $20", "Under $5_ & $10^", "A $\\frac$ b", "_sale", "50 %"])
def test_a_category_is_drawn_under_its_own_name(name):
    vectors = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    svg = map_svg(make_map(vectors, np.array([name] * 4, object)))
    assert f"{name} (4)" in [html.unescape(text) for text in re.findall("<text[^>]*>([^<]*)</text>", svg)]
