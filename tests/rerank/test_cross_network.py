import keras
import numpy as np
import pytest

from rerank.cross_network import CrossNetwork


def test_layer_by_hand() -> None:
    layer = CrossNetwork(layers=2, projection_dim=1)
    layer.build((None, 2))
    # Each layer: V = [1, 1]^T, U = [2, 3], b = [1, 0].
    layer.set_weights([np.array([[1.0], [1.0]]), np.array([[2.0, 3.0]]), np.array([1.0, 0.0])] * 2)
    # x0 = [1, 2]: V x0 = 3, U 3 + b = [7, 9], x1 = x0 * [7, 9] + x0 = [8, 20].
    # V x1 = 28, U 28 + b = [57, 84], x2 = x0 * [57, 84] + x1 = [65, 188].
    np.testing.assert_allclose(layer(np.array([[1.0, 2.0]], np.float32)), [[65.0, 188.0]])


def test_round_trip() -> None:
    inputs = keras.Input((5, 8))
    model = keras.Model(inputs, CrossNetwork(layers=3, projection_dim=4)(inputs))
    again = keras.Model.from_config(model.get_config())
    again.set_weights(model.get_weights())
    sample = np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)
    np.testing.assert_array_equal(model(sample), again(sample))
    assert model.output_shape == (None, 5, 8)


def test_refuses_no_layers() -> None:
    with pytest.raises(ValueError, match="layers=0"):
        CrossNetwork(layers=0, projection_dim=4)
