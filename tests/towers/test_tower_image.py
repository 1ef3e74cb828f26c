import keras
import numpy as np
import tensorflow as tf

from towers.tower_image import ImageProjection


def test_no_picture_is_a_zero_vector_and_the_layer_round_trips() -> None:
    layer = ImageProjection(4)
    embeddings = np.random.default_rng(0).normal(size=(3, 7)).astype(np.float32)
    present = tf.constant([True, False, True])
    vectors = layer(embeddings, presence=present)
    assert (vectors.numpy()[1] == 0).all()
    assert np.abs(vectors.numpy()[0]).max() > 0
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    if not again.built:
        again.build((None, 7))
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(embeddings, presence=present), vectors, atol=1e-6)


def test_a_blank_embedding_gives_numbers() -> None:
    assert np.isfinite(ImageProjection(4)(np.zeros((1, 7), np.float32), presence=tf.constant([True])).numpy()).all()
