from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rerank.features import Features
from rerank.normalisation import block_sizes, normalisation, vector_of


def test_coordinates_of_one_vector_share_a_block() -> None:
    names = ("retrieval:score", "retrieval:product_0", "retrieval:product_1", "picture:taste_0", "behaviour:click_7d")
    assert block_sizes(names).tolist() == [1, 2, 2, 1, 1]


def test_attributes_that_end_in_a_number_are_features_of_their_own() -> None:
    names = ("text:match_attributes.size_1", "text:match_attributes.size_2", "person:same_attributes.v1.0_3")
    assert block_sizes(names).tolist() == [1, 1, 1]
    assert [vector_of(name) for name in names] == list(names)
    assert vector_of("retrieval:product_12") == "retrieval:product"


def test_coordinates_together_weigh_as_one_feature() -> None:
    numeric = tf.constant([[[1.0, 0.0, 0.0], [3.0, 4.0, 2.0], [9.0, 9.0, 9.0]]])
    features = Features(numeric, numeric, numeric, tf.constant([[True, True, False]]), numeric)
    part: Any = SimpleNamespace(
        data=SimpleNamespace(size=1, batch=lambda places: None), features=lambda extractor, places, batch: features
    )
    extractor: Any = SimpleNamespace(names=("a:x", "a:y_0", "a:y_1"))
    mean, deviation = normalisation(part, extractor, seed=0)
    # Of the two present: 1 and 3, 0 and 4, 0 and 2; the coordinates' deviations 2 and 1 times the root of 2.
    assert mean.tolist() == [2, 2, 1]
    assert deviation == pytest.approx([1, 2 * np.sqrt(2), np.sqrt(2)])
