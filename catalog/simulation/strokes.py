"""What an outline is made of: filled polygons and ellipses on a unit square with y pointing down."""

from dataclasses import dataclass
from typing import Literal

Layer = Literal["body", "detail", "hole"]
"""`body` takes the product's colour and pattern, `detail` a darker accent, `hole` shows the background again."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Stroke:
    """One filled polygon, or the ellipse inside the box of two points."""

    layer: Layer
    points: tuple[Point, ...]
    ellipse: bool = False


def poly(layer: Layer, *points: Point) -> Stroke:
    """The polygon with these corners."""
    return Stroke(layer, points)


def oval(layer: Layer, x: float, y: float, rx: float, ry: float) -> Stroke:
    """The ellipse around (x, y) with these half axes."""
    return Stroke(layer, ((x - rx, y - ry), (x + rx, y + ry)), ellipse=True)


def box(layer: Layer, left: float, top: float, right: float, bottom: float) -> Stroke:
    """The upright rectangle."""
    return Stroke(layer, ((left, top), (right, top), (right, bottom), (left, bottom)))
