"""What the picture network's training does to pixels: changes them a little, and says how they look."""

from typing import Any

import tensorflow as tf

_SHIFT = 0.06  # of the side; products are centred on their pictures
_ZOOM = 0.08
_LIGHT = 0.08
_TINT = 0.03  # small: the name of a colour must stay right
_GRID = 4
LOOKS = _GRID * _GRID * 8  # numbers that `looks` gives for a picture
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601


def looks(pixels: Any) -> Any:
    """Colour layout and texture of pictures, on a grid of 4 by 4 cells.

    Args:
        pixels: [batch, side, side, 3] float32 in 0..255.

    Returns:
        [batch, 128] float32: in each cell the mean of each channel, its standard deviation, and how strong the
        horizontal and the vertical changes of brightness are, each scaled to about unit range.
    """

    def cells(values: Any) -> Any:
        return tf.image.resize(values, [_GRID, _GRID], method="area")

    mean = cells(pixels)
    deviation = tf.sqrt(tf.maximum(cells(tf.square(pixels)) - tf.square(mean), 0.0) + 1e-3)
    grey = tf.reduce_sum(pixels * tf.constant(_LUMINANCE), axis=-1, keepdims=True)
    across = cells(tf.abs(grey[:, :-1, 1:] - grey[:, :-1, :-1]))
    down = cells(tf.abs(grey[:, 1:, :-1] - grey[:, :-1, :-1]))
    parts = tf.concat([(mean - 192.0) / 64.0, deviation / 32.0, across / 16.0, down / 16.0], axis=-1)
    return tf.reshape(parts, [-1, LOOKS])


def resize(pixels: Any, side: Any) -> Any:
    """Bring pictures to `side`, by area: bilinear sampling of a picture twice as large would skip pixels.

    Args:
        pixels: [batch, S, S, 3] uint8.
        side: scalar int32, at most S.

    Returns:
        [batch, side, side, 3] float32 in 0..255.
    """
    source = tf.cast(pixels, tf.float32)
    smaller = side < tf.shape(pixels)[1]
    return tf.cond(smaller, lambda: tf.image.resize(source, [side, side], method="area"), lambda: source)


def augment(pixels: Any, side: Any, seed: Any) -> Any:
    """Flip, shift, zoom and re-light pictures a little, each in its own way, and bring them to `side`.

    Args:
        pixels: [batch, S, S, 3] uint8.
        side: scalar int32.
        seed: [2] int32; the same seed does the same.

    Returns:
        [batch, side, side, 3] float32 in 0..255; what a shift lets in is white.
    """
    batch = tf.shape(pixels)[0]
    draws = iter(range(5))

    def draw(shape: list[Any], spread: float) -> Any:
        return tf.random.stateless_uniform(shape, seed + tf.constant([0, next(draws)]), -spread, spread)

    source = resize(pixels, side)
    half = 0.5 * (1.0 + draw([batch, 1], _ZOOM))
    centre = 0.5 + draw([batch, 2], _SHIFT)
    low, high = centre - half, centre + half
    flipped = draw([batch], 1.0) < 0.0
    left = tf.where(flipped, high[:, 1], low[:, 1])
    right = tf.where(flipped, low[:, 1], high[:, 1])
    boxes = tf.stack([low[:, 0], left, high[:, 0], right], axis=1)
    moved = tf.image.crop_and_resize(source, boxes, tf.range(batch), tf.stack([side, side]), extrapolation_value=255.0)
    light = 1.0 + draw([batch, 1, 1, 1], _LIGHT)
    tint = 1.0 + draw([batch, 1, 1, 3], _TINT)
    return tf.clip_by_value(moved * light * tint, 0.0, 255.0)
