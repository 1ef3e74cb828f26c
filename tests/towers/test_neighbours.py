import keras
import numpy as np
import pytest
import tensorflow as tf

from towers.neighbours import NeighbourEncoder, neighbour_weights


def test_weights_by_hand() -> None:
    # 0 1 2: c_01 = c_12 = 1, c_02 = 1/2; sums: 1.5, 2, 1.5; so w_01 = w_12 = 1 / sqrt(3), w_02 = 0.5 / 1.5
    pairs, weights = neighbour_weights([np.array([0, 1, 2]), np.array([3])], 4, most=2)
    assert pairs.tolist() == [[0, 1], [0, 2], [1, 0], [1, 2], [2, 1], [2, 0]]
    assert weights == pytest.approx([3**-0.5, 1 / 3, 3**-0.5, 3**-0.5, 3**-0.5, 1 / 3])


def test_only_the_strongest_stay() -> None:
    pairs, _ = neighbour_weights([np.array([0, 1, 2])], 3, most=1)
    assert pairs.tolist() == [[0, 1], [1, 0], [2, 1]]


def test_a_product_is_not_its_own_neighbour_and_no_sequence_gives_no_pairs() -> None:
    pairs, _ = neighbour_weights([np.array([0, 0, 1, 0])], 2, most=5)
    assert pairs.tolist() == [[0, 1], [1, 0]]
    pairs, weights = neighbour_weights([np.array([1])], 2, most=5)
    assert pairs.shape == (0, 2)
    assert weights.shape == (0,)


def test_neighbours_are_added_by_weight_and_round_trip() -> None:
    layer = NeighbourEncoder()
    vectors = tf.constant([[1.0, 0], [0, 2], [4, 4]])
    layer.build((3, 2))
    layer.factor.assign(2.0)
    pairs, weights = tf.constant([[0, 1], [0, 2], [2, 0]]), tf.constant([0.5, 0.25, 1.0])
    expected = [[1 + 2 * (0 + 1), 0 + 2 * (1 + 1)], [0, 2], [4 + 2, 4]]
    np.testing.assert_allclose(layer(vectors, pairs, weights), expected)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    if not again.built:
        again.build((3, 2))
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(vectors, pairs, weights), expected)
