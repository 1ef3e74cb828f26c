"""The fused optimizer and batch normalisation beside Keras's, and by hand."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pytest
import tensorflow as tf

from towers.fused import FusedAdam, FusedBatchNormalization, with_fused_normalisation


def variables() -> list[keras.Variable]:
    rng = np.random.default_rng(0)
    shapes = {"kernel": (4, 3), "bias": (3,), "table": (6, 2)}
    return [keras.Variable(rng.normal(size=shape), dtype="float32", name=name) for name, shape in shapes.items()]


def after_steps(optimizer: keras.optimizers.Optimizer, steps: int = 5) -> list[npt.NDArray[np.float32]]:
    """The variables after a few steps, the gradients of the table sparse and with a row that comes twice."""
    trained = variables()
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.build(trained)

    @tf.function(autograph=False)
    def step(kernel: tf.Tensor, bias: tf.Tensor, rows: tf.Tensor) -> None:
        table = tf.IndexedSlices(rows, tf.constant([1, 4, 1]), tf.constant([6, 2]))
        optimizer.apply([kernel, bias, table], trained)

    rng = np.random.default_rng(1)
    for _ in range(steps):
        step(*(tf.constant(rng.normal(size=shape), tf.float32) for shape in ((4, 3), (3,), (3, 2))))
    return [variable.numpy() for variable in trained]


def test_the_first_steps_by_hand() -> None:
    # Gradients 2 and then 0: m is 0.2 and 0.18, v is 0.004 and 0.003996; over 1 - 0.9^t and 1 - 0.999^t they are
    # 2 and 4, so a step of 0.1 * 2 / 2, and then 0.18 / 0.19 and 0.003996 / 0.001999.
    weight = keras.Variable([5.0])
    optimizer = FusedAdam(0.1, epsilon=0.0)
    optimizer.apply([tf.constant([2.0])], [weight])
    assert weight.numpy() == pytest.approx([4.9], abs=1e-6)
    optimizer.apply([tf.constant([0.0])], [weight])
    assert weight.numpy() == pytest.approx([4.9 - 0.1 * (0.18 / 0.19) / (0.003996 / 0.001999) ** 0.5], abs=1e-5)


@pytest.mark.parametrize(
    "settings", [{}, {"weight_decay": 0.1}, {"global_clipnorm": 0.5}, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 0.01}]
)
def test_the_optimizer_does_what_keras_does(settings: dict[str, Any]) -> None:
    rate = keras.optimizers.schedules.CosineDecay(0.05, 10)
    for ours, theirs in zip(
        after_steps(FusedAdam(rate, **settings)), after_steps(keras.optimizers.Adam(rate, **settings)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


def test_replicas_clip_the_sum_of_their_gradients() -> None:
    # 4 + 3 and 0 + 1 are (7, 1), of a norm over 1: together they move the weight by a step of norm 1.
    code = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import keras
from towers.fused import FusedAdam
class Plain(keras.optimizers.SGD):
    _clip_gradients = FusedAdam._clip_gradients
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    weight, unused = keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))
    optimizer = Plain(1.0, global_clipnorm=1.0)
    optimizer.build([weight, unused])
gradients = tf.constant([[4.0, 0.0], [3.0, 1.0]])
@tf.function
def step():
    def each():
        own = gradients[tf.distribute.get_replica_context().replica_id_in_sync_group]
        optimizer.apply([own, None], [weight, unused])
    strategy.run(each)
step()
print(*weight.numpy().tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    moved = np.array(done.stdout.split(), np.float64)
    np.testing.assert_allclose(moved, -np.array([7, 1]) / 50**0.5, rtol=1e-5)


def test_amsgrad_is_refused() -> None:
    with pytest.raises(ValueError, match="no amsgrad"):
        FusedAdam(amsgrad=True)


def test_it_goes_on_from_its_variables() -> None:
    unbroken, broken = keras.Variable([1.0]), keras.Variable([1.0])
    first, second, third = FusedAdam(0.1), FusedAdam(0.1), FusedAdam(0.1)
    for gradient in (3.0, -1.0):
        first.apply([tf.constant([gradient])], [unbroken])
    second.apply([tf.constant([3.0])], [broken])
    third.build([broken])
    for variable, value in zip(third.variables, second.variables, strict=True):
        variable.assign(value)
    third.apply([tf.constant([-1.0])], [broken])
    assert broken.numpy() == unbroken.numpy()


def test_batch_normalisation_by_hand() -> None:
    # One channel of 1, 2, 3, 6: mean 3, variance 3.5, unbiased 14 / 3.
    pixels = tf.reshape(tf.constant([1.0, 2.0, 3.0, 6.0]), (1, 2, 2, 1))
    layer = FusedBatchNormalization(momentum=0.75, epsilon=0.5)
    layer.build(pixels.shape)
    layer.gamma.assign([2.0])
    layer.beta.assign([1.0])
    learned = layer(pixels, training=True)
    np.testing.assert_allclose(np.ravel(learned), [-1, 0, 1, 4], atol=1e-6)
    assert layer.moving_mean.numpy() == pytest.approx([0.25 * 3])
    assert layer.moving_variance.numpy() == pytest.approx([0.75 + 0.25 * 14 / 3])
    used = layer(pixels, training=False)
    expected = 2 * (np.array([1, 2, 3, 6]) - 0.75) / (0.75 + 3.5 / 3 + 0.5) ** 0.5 + 1
    np.testing.assert_allclose(np.ravel(used), expected, rtol=1e-6)


def small_network() -> keras.Model:
    pixels = keras.Input((None, None, 3))
    known = keras.layers.Normalization()
    known.adapt(np.linspace(-3, 5, 96, dtype=np.float32).reshape((2, 4, 4, 3)))
    features = keras.layers.Conv2D(4, 3)(known(pixels))
    features = keras.layers.BatchNormalization(name="scale")(features)
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(features))


def test_a_copy_is_fused_answers_alike_and_can_be_read_again(tmp_path: Path) -> None:
    network = small_network()
    rng = np.random.default_rng(2)
    scale = network.get_layer("scale")
    scale.set_weights([np.abs(rng.normal(size=weight.shape)) for weight in scale.get_weights()])
    copy = with_fused_normalisation(network)
    assert isinstance(copy.get_layer("scale"), FusedBatchNormalization)
    pixels = rng.normal(size=(5, 8, 8, 3)).astype(np.float32)
    for training in (False, True):
        np.testing.assert_allclose(copy(pixels, training=training), network(pixels, training=training), atol=1e-5)
    copy.save(tmp_path / "network.keras")
    read = keras.models.load_model(tmp_path / "network.keras")
    np.testing.assert_array_equal(read(pixels, training=False), copy(pixels, training=False))


def test_a_frozen_layer_keeps_its_statistics() -> None:
    layer = FusedBatchNormalization()
    layer.build((None, 2, 2, 1))
    layer.trainable = False
    layer(tf.constant(np.arange(8.0, dtype=np.float32).reshape((2, 2, 2, 1))), training=True)
    assert layer.moving_mean.numpy() == 0
    assert layer.moving_variance.numpy() == 1
