"""A picture network of EfficientNetV2's blocks, but few and narrow ones, where the size of the network is not asked."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import pytest


@contextmanager
def shallow_network() -> Iterator[None]:
    """EfficientNetV2B0 is that in the block: 9 of its 21 blocks, a quarter as wide."""
    import keras
    from keras.src.applications.efficientnet_v2 import EfficientNetV2

    shallow = functools.partial(
        EfficientNetV2, width_coefficient=0.25, depth_coefficient=0.3, default_size=224, name="efficientnetv2-b0"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keras.applications, "EfficientNetV2B0", shallow)
        yield
