"""Pixels changed in training, and the looks of pictures worked by hand."""

import numpy as np
import pytest
import tensorflow as tf

from towers.image_pixels import augment, looks, resize

SIDE = 32


def test_looks_of_a_plain_and_of_a_striped_picture() -> None:
    striped = np.full((SIDE, SIDE, 3), 100.0, np.float32)
    striped[:, 1::2] = 140.0  # columns alternate: mean 120, deviation 20, every step across is 40, none down
    features = looks(tf.constant(np.stack([np.full_like(striped, 192.0), striped]))).numpy().reshape(2, 4, 4, 8)
    plain = [0, 0, 0, 0.03 / 32, 0.03 / 32, 0.03 / 32, 0, 0]  # the floor under the deviation is sqrt(0.001)
    np.testing.assert_allclose(features[0], np.broadcast_to(plain, (4, 4, 8)), atol=5e-3)
    lines = [(120 - 192) / 64] * 3 + [20 / 32] * 3 + [40 / 16, 0]
    np.testing.assert_allclose(features[1], np.broadcast_to(lines, (4, 4, 8)), atol=5e-3)


def test_resizing_alone_takes_the_mean_of_what_falls_together() -> None:
    image = np.zeros((1, 4, 4, 3), np.uint8)
    image[0, :2, :2] = [[[10], [20]], [[30], [60]]]  # mean 30
    image[0, 2:, 2:] = 200
    small = resize(tf.constant(image), 2).numpy()
    np.testing.assert_allclose(small[0, :, :, 1], [[30, 0], [0, 200]], atol=1e-4)
    np.testing.assert_array_equal(resize(tf.constant(image), 4), image.astype(np.float32))


@pytest.mark.parametrize("side", [16, 32])
def test_augmentation_keeps_range_and_follows_its_seed(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3)).astype(np.uint8)
    one, same, other = (augment(tf.constant(images), side, tf.constant([seed, 0])).numpy() for seed in (1, 1, 2))
    assert one.shape == (6, side, side, 3)
    assert one.min() >= 0
    assert one.max() <= 255
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).mean() > 1
    white = augment(tf.constant(np.full((6, SIDE, SIDE, 3), 255, np.uint8)), side, tf.constant([1, 0])).numpy()
    # What a shift lets in is white; light and tint take at most 8 % and 3 %.
    assert white.min() >= 255 * 0.92 * 0.97 - 0.01
