"""Shuffling by hand: what the order rests on is lost, what it ignores is not."""

import numpy as np
import tensorflow as tf

from rerank.features import Features
from rerank.importance import GRADE, VALUES, permutation_importance

NAMES = ("text:match", "behaviour:clicks", "behaviour:taste_0", "behaviour:taste_1")
GROUPS = ("text", "behaviour", "person")


def lists(seed: int = 0) -> tuple[Features, np.ndarray]:
    """400 lists of three products and a place of padding, whose gain is the first number alone."""
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(400, 4, 4)).astype(np.float32)
    present = np.broadcast_to([True, True, True, False], (400, 4))
    gain = np.where(numeric[..., 0] > 0, 1.0, 0.0).astype(np.float32)
    value = random.integers(0, 5, (400, 4, 2)).astype(np.int32)
    return Features(numeric, value, np.zeros((400, 0), np.int32), present, np.zeros((400, 4), np.float32)), gain


def test_only_what_the_order_rests_on_matters() -> None:
    features, gain = lists()
    groups, named = permutation_importance(
        lambda part: tf.constant(part.numeric[..., 0]), features, NAMES, {"gain": gain}, GROUPS, seed=0
    )
    assert [item.part for item in groups] == ["text", "behaviour"]  # nothing is known of a person
    assert groups[0].features == 2  # one number, and the embedded values
    assert groups[0].loss["gain"] > 0.1
    assert groups[1].loss["gain"] == 0
    assert named[0].part == "text:match"
    assert {item.part: item.features for item in named} == {
        "text:match": 1, "behaviour:clicks": 1, "behaviour:taste": 2, VALUES: 1
    }  # fmt: skip


def test_a_shuffled_order_is_worth_what_chance_is() -> None:
    features, gain = lists()
    groups, _ = permutation_importance(
        lambda part: tf.constant(part.numeric[..., 0]), features, NAMES, {"gain": gain}, GROUPS, seed=0
    )
    # In a list with g of 3 gains the mean DCG of a random order is g times the mean discount.
    discounts = 1 / np.log2([2, 3, 4])
    expected = []
    for found in gain[:, :3].sum(1).astype(int):
        if found:
            expected.append(1 - found * discounts.mean() / discounts[:found].sum())
    assert abs(groups[0].loss["gain"] - np.mean(expected)) < 0.02


def test_grades_count_where_there_are_any() -> None:
    features, gain = lists()
    graded = features._replace(grade=gain)
    _, named = permutation_importance(lambda part: tf.constant(part.grade), graded, NAMES, {"g": gain}, GROUPS, 0)
    assert named[0].part == GRADE
    assert named[0].loss["g"] > 0.1
