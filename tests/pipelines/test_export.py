import keras
import numpy as np
import tensorflow as tf

from pipelines.export import CONSTANT_BYTES, small_weights_as_constants


def test_small_weights_are_constants_of_a_signature_and_large_ones_stay_variables() -> None:
    small, large = keras.layers.Dense(4), keras.layers.Dense(CONSTANT_BYTES // 16 + 1, use_bias=False)
    small.build((None, 4))
    large.build((None, 4))
    weights = [*small.weights, *large.weights]
    function = tf.function(lambda x: large(small(x)), input_signature=[tf.TensorSpec([None, 4])], autograph=False)
    with small_weights_as_constants(weights):
        traced = function.get_concrete_function()
    assert [variable.shape for variable in traced.variables] == [large.kernel.shape]
    x = tf.constant([[1.0, -2.0, 3.0, 0.5]])
    before = np.asarray(large(small(x)))
    np.testing.assert_allclose(traced(x), before, rtol=1e-5)
    small.kernel.assign(small.kernel * 2.0)
    np.testing.assert_allclose(traced(x), before, rtol=1e-5)  # what was traced no longer hears of the layer
