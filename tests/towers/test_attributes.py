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
