"""Precision, memory and replicas."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from towers.config import DeviceConfig


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Make Keras layers compute in `policy` ("float32", "mixed_float16") inside the block."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def make_strategy(config: DeviceConfig) -> Any:
    """The distribution strategy; "mirrored" has a replica on every GPU, or, without any, on every logical CPU."""
    gpus = tf.config.list_physical_devices("GPU")
    if config.memory_growth:
        for gpu in gpus:
            try:
                tf.config.experimental.set_memory_growth(gpu, True)
            except RuntimeError as error:  # the process has used the GPU already: its memory is taken
                tf.get_logger().warning("memory growth is not set: %s", error)
    if config.strategy == "none":
        return tf.distribute.get_strategy()
    kind = "GPU" if gpus else "CPU"
    return tf.distribute.MirroredStrategy([device.name for device in tf.config.list_logical_devices(kind)])
