import keras
import numpy as np
import tensorflow as tf

from towers.attributes import AttributeEncoder, attribute_members


def test_members_are_pairs_in_order_each_once() -> None:
    assert attribute_members([(2, 0, 2), (), (1,)]).tolist() == [[0, 0], [0, 2], [2, 1]]
    assert attribute_members([(), ()]).shape == (0, 2)


def test_a_product_is_the_mean_of_its_attributes_and_round_trips() -> None:
    layer = AttributeEncoder(3, 2)
    layer.build()
    layer.table.set_weights([np.array([[1.0, 0], [10, 4], [3, 6]])])
    members = tf.constant(attribute_members([(0, 2), (), (1,)]))
    expected = [[2, 3], [0, 0], [10, 4]]  # (1 + 3) / 2 and (0 + 6) / 2; nothing known; alone
    np.testing.assert_allclose(layer(members, products=3), expected)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    again.build()
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(members, products=3), expected)


def test_the_power_says_what_the_sum_is_divided_by() -> None:
    layer = AttributeEncoder(4, 2, power=0.5)
    layer.build()
    layer.table.set_weights([np.array([[1.0, 0], [10, 4], [3, 6], [4, 2]])])
    members = tf.constant(attribute_members([(0, 1, 2, 3), (), (1,)]))
    # (1 + 10 + 3 + 4) / sqrt(4) and (0 + 4 + 6 + 2) / sqrt(4); nothing known; 1 / sqrt(1)
    np.testing.assert_allclose(layer(members, products=3), [[9, 6], [0, 0], [10, 4]], rtol=1e-6)
    assert AttributeEncoder.from_config(layer.get_config()).power == 0.5
