import keras
import numpy as np
import pytest
import tensorflow as tf

from towers.lookup import embed


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_rows_are_those_that_a_call_of_the_layer_returns(precision: str) -> None:
    layer = keras.layers.Embedding(5, 3, dtype=precision)
    layer.build((None,))
    rows = tf.constant([[0, 4], [2, 2]])
    found = embed(layer, rows)
    assert found.dtype == layer.compute_dtype
    np.testing.assert_array_equal(tf.cast(found, tf.float32), tf.cast(layer(rows), tf.float32))


def test_gradients_reach_the_rows_that_were_read() -> None:
    layer = keras.layers.Embedding(4, 2)
    layer.build((None,))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(embed(layer, tf.constant([1, 1, 3])))
    (slope,) = tape.gradient(total, [layer.embeddings.value])
    assert tf.convert_to_tensor(slope).numpy().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]
