"""Functions of TensorFlow without their graphs, which for a few steps take longer to build than to run."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def eagerly() -> Iterator[None]:
    """Run them so in the block."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config")  # data pipelines keep their graphs
            yield
    finally:
        tf.config.run_functions_eagerly(False)
