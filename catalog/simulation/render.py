"""Pictures of made-up products: silhouette by type, fill colour, pattern, lighting, background and noise."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from catalog.simulation.silhouettes import SILHOUETTES
from catalog.simulation.strokes import Layer, Stroke
from catalog.simulation.vocabulary import COLOURS

Field = npt.NDArray[np.float32]

_BACKGROUNDS = ((255, 255, 255), (246, 246, 244), (236, 240, 245), (243, 236, 228), (226, 232, 226))


def render_picture(kind: str, colour: str, pattern: str, pixels: int, random: np.random.Generator) -> bytes:
    """Draw one product as a JPEG.

    Args:
        kind: silhouette, a key of `SILHOUETTES`.
        colour: fill, a key of `COLOURS`.
        pattern: a key of `PATTERNS`.
        pixels: side of the square picture.
        random: draws proportions, pose, second colour, light, background and noise.
    """
    strokes = SILHOUETTES[kind](float(random.random()), float(random.random()))
    pose = _Pose(random)
    mask = _layers(strokes, pose, pixels)
    rows, columns = np.mgrid[0:pixels, 0:pixels].astype(np.float32) / pixels
    fill = np.array(COLOURS[colour][1], np.float32) * np.float32(random.uniform(0.94, 1.06))
    second = _second_colour(fill, random)
    ink = _pattern(pattern, rows, columns, random)[..., None]
    body = fill * (1 - ink) + second * ink
    light = 1.0 + random.uniform(0.04, 0.16) * (columns - 0.5) * random.choice((-1, 1)) - 0.12 * (rows - 0.5)
    picture = _background(rows, random)
    detail = np.where(fill.mean() > 80, fill * 0.45, fill * 0.5 + 110).astype(np.float32)
    for cover, paint in ((mask["body"], body * light[..., None]), (mask["detail"], detail)):
        picture = picture * (1 - cover[..., None]) + paint * cover[..., None]
    picture += random.standard_normal((pixels, pixels, 1), dtype=np.float32) * np.float32(random.uniform(1.0, 5.0))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=86)
    return buffer.getvalue()


class _Pose:
    """Where a product stands in its picture: scale, place and a slight turn."""

    def __init__(self, random: np.random.Generator) -> None:
        self.scale = random.uniform(0.78, 0.98)
        self.x, self.y = random.uniform(-0.03, 0.03, 2)
        angle = random.normal(0.0, 0.06)
        self.cos, self.sin = np.cos(angle), np.sin(angle)
        self.mirrored = random.random() < 0.3

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Map a point of the unit square into the picture's unit square."""
        across, down = (0.5 - x if self.mirrored else x - 0.5) * self.scale, (y - 0.5) * self.scale
        return (
            float(0.5 + self.x + across * self.cos - down * self.sin),
            float(0.5 + self.y + across * self.sin + down * self.cos),
        )


def _layers(strokes: list[Stroke], pose: _Pose, pixels: int) -> dict[Layer, Field]:
    """Paint the strokes in order into coverage masks in 0..1, antialiased by drawing twice as large."""
    side = 2 * pixels
    layers: tuple[Layer, ...] = ("body", "detail")
    canvas = {layer: Image.new("L", (side, side)) for layer in layers}
    pens = {layer: ImageDraw.Draw(image) for layer, image in canvas.items()}
    for stroke in strokes:
        outline = [pose.place(x, y) for x, y in (_ellipse(stroke) if stroke.ellipse else stroke.points)]
        scaled = [(x * side, y * side) for x, y in outline]
        for layer, pen in pens.items():
            if layer == "detail" or stroke.layer != "detail":
                pen.polygon(scaled, fill=255 if stroke.layer == layer else 0)
    scale = np.float32(255)
    return {layer: np.asarray(image.reduce(2), dtype=np.float32) / scale for layer, image in canvas.items()}


_CIRCLE = [(np.cos(angle), np.sin(angle)) for angle in np.linspace(0, 2 * np.pi, 36, endpoint=False)]


def _ellipse(stroke: Stroke) -> list[tuple[float, float]]:
    (left, top), (right, bottom) = stroke.points
    x, y, rx, ry = (left + right) / 2, (top + bottom) / 2, (right - left) / 2, (bottom - top) / 2
    return [(x + rx * cos, y + ry * sin) for cos, sin in _CIRCLE]


def _second_colour(fill: Field, random: np.random.Generator) -> Field:
    """The pattern's ink: white or a darker shade on coloured fills, whichever contrasts."""
    if fill.mean() > 170:
        return (fill * random.uniform(0.3, 0.5)).astype(np.float32)
    return (fill * 0.2 + 255 * 0.8 * random.uniform(0.9, 1.05)).astype(np.float32)


def _background(rows: Field, random: np.random.Generator) -> Field:
    base = np.array(_BACKGROUNDS[int(random.integers(len(_BACKGROUNDS)))], np.float32)
    shade = 1.0 - random.uniform(0.0, 0.1) * rows if random.random() < 0.5 else np.ones_like(rows)
    return (base * shade[..., None]).astype(np.float32)


def _pattern(pattern: str, rows: Field, columns: Field, random: np.random.Generator) -> Field:
    """[pixels, pixels] share of ink: 0 is the fill colour, 1 the second colour."""
    period = random.uniform(0.11, 0.17)
    if pattern == "striped":
        angle = random.choice((0.0, 0.5, 0.25)) * np.pi
        return _soft(np.sin(2 * np.pi * (columns * np.cos(angle) + rows * np.sin(angle)) / period), 0.1)
    if pattern == "dotted":
        across = (columns + period / 2 * (np.floor(rows / period) % 2)) % period - period / 2
        down = rows % period - period / 2
        return _soft(period * 0.3 - np.hypot(across, down), 0.0, 150)
    if pattern == "checked":
        upright = _soft(np.sin(2 * np.pi * columns / (period * 1.3)), 0.3)
        level = _soft(np.sin(2 * np.pi * rows / (period * 1.3)), 0.3)
        return ((upright + level) / 2).astype(np.float32)
    if pattern == "floral":
        return _flowers(rows, columns, random)
    if pattern == "zigzag":
        wave = np.abs((columns / (period * 1.2)) % 1.0 - 0.5)
        return _soft(np.sin(2 * np.pi * (rows / period + 1.2 * wave)), 0.1)
    return np.zeros_like(rows)


def _flowers(rows: Field, columns: Field, random: np.random.Generator) -> Field:
    """Five-petalled flowers scattered over a jittered grid."""
    cells = int(random.integers(4, 6))
    x, y = columns * cells, rows * cells
    shift = random.uniform(-0.2, 0.2, (2, cells + 1, cells + 1)).astype(np.float32)
    column, row = np.floor(x).astype(int), np.floor(y).astype(int)
    across = x - column - 0.5 - shift[0][row, column]
    down = y - row - 0.5 - shift[1][row, column]
    radius, angle = np.hypot(across, down), np.arctan2(down, across)
    petals = 0.24 + 0.1 * np.cos(5 * angle)
    return _soft(np.where(radius < 0.07, -1.0, petals - radius), 0.0, 20)


def _soft(values: npt.NDArray[np.floating], threshold: float, sharpness: float = 6.0) -> Field:
    return np.clip((values - threshold) * sharpness + 0.5, 0, 1).astype(np.float32)
