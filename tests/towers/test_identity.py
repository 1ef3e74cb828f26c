import keras
import numpy as np
import tensorflow as tf

from towers.identity import HashedIdentity, id_buckets


def test_the_same_id_has_the_same_rows_everywhere() -> None:
    ids = tf.constant([["p1", "p2"], ["p1", "产品"]])
    rows = id_buckets(ids, 64).numpy()
    assert rows.shape == (2, 2, 2)
    assert rows.dtype == np.int32
    assert (rows >= 0).all()
    assert (rows < 64).all()
    assert (rows[0, 0] == rows[1, 0]).all()


def test_two_hashes_tell_apart_what_one_confuses() -> None:
    rows = id_buckets(tf.constant([f"p{i}" for i in range(1000)]), 1024).numpy()
    assert len(np.unique(rows[:, 0])) < 700  # one hash alone: 1024 (1 - e^-0.98) = 640 rows used
    assert len(np.unique(rows, axis=0)) == 1000


def test_a_vector_is_the_sum_of_two_rows_and_round_trips() -> None:
    layer = HashedIdentity(4, 2)
    layer.build((None, 2))
    layer.set_weights([np.array([[1.0, 0], [10, 0], [100, 5], [1000, 0]])])
    np.testing.assert_allclose(layer(tf.constant([[0, 2], [1, 1]])), [[101, 5], [20, 0]])
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
