"""The outline of each type of made-up product. `a` and `b` in 0..1 vary the proportions from product to product."""

from collections.abc import Callable

from catalog.simulation.strokes import Point, Stroke, box, oval, poly


def _dress(a: float, b: float) -> list[Stroke]:
    hem, flare = 0.72 + 0.22 * a, 0.2 + 0.16 * b
    return [
        poly("body", (0.38, 0.1), (0.44, 0.18), (0.56, 0.18), (0.62, 0.1), (0.66, 0.28), (0.58, 0.45),
             (0.5 + flare, hem), (0.5 - flare, hem), (0.42, 0.45), (0.34, 0.28)),
        box("detail", 0.41, 0.43, 0.59, 0.46),
    ]  # fmt: skip


def _top(sleeve: float, width: float) -> list[Stroke]:
    return [
        poly("body", (0.4, 0.16), (0.6, 0.16), (0.68, 0.2), (0.68 + 0.18 * (0.6 + sleeve), 0.3 + 0.34 * sleeve),
             (0.74 + 0.1 * sleeve, 0.4 + 0.34 * sleeve), (0.5 + width, 0.38), (0.5 + width, 0.86), (0.5 - width, 0.86),
             (0.5 - width, 0.38), (0.26 - 0.1 * sleeve, 0.4 + 0.34 * sleeve),
             (0.32 - 0.18 * (0.6 + sleeve), 0.3 + 0.34 * sleeve), (0.32, 0.2)),
    ]  # fmt: skip


def _tshirt(a: float, b: float) -> list[Stroke]:
    return [*_top(0.05 + 0.25 * a, 0.17 + 0.05 * b), oval("hole", 0.5, 0.15, 0.08, 0.05 + 0.03 * b)]


def _hoodie(a: float, b: float) -> list[Stroke]:
    return [
        oval("body", 0.5, 0.17, 0.14, 0.11),
        *_top(0.9, 0.19 + 0.04 * a),
        oval("detail", 0.5, 0.19, 0.08, 0.07),
        poly("detail", (0.4, 0.6), (0.6, 0.6), (0.64, 0.7 + 0.05 * b), (0.36, 0.7 + 0.05 * b)),
    ]


def _jacket(a: float, b: float) -> list[Stroke]:
    return [
        *_top(0.95, 0.19 + 0.04 * b),
        box("detail", 0.49, 0.17, 0.515, 0.86),
        poly("detail", (0.4, 0.15), (0.5, 0.17), (0.45, 0.3 + 0.1 * a)),
        poly("detail", (0.6, 0.15), (0.5, 0.17), (0.55, 0.3 + 0.1 * a)),
    ]


def _skirt(a: float, b: float) -> list[Stroke]:
    hem, flare = 0.62 + 0.28 * a, 0.22 + 0.18 * b
    return [
        poly("body", (0.36, 0.22), (0.64, 0.22), (0.5 + flare, hem), (0.5 - flare, hem)),
        box("detail", 0.36, 0.19, 0.64, 0.24),
    ]


def _trousers(a: float, b: float) -> list[Stroke]:
    leg = 0.09 + 0.09 * a
    return [
        poly("body", (0.34, 0.1), (0.66, 0.1), (0.68 + 0.06 * b, 0.92), (0.68 + 0.06 * b - leg, 0.92), (0.5, 0.36),
             (0.32 - 0.06 * b + leg, 0.92), (0.32 - 0.06 * b, 0.92)),
        box("detail", 0.34, 0.08, 0.66, 0.12),
    ]  # fmt: skip


def _sneaker(a: float, b: float) -> list[Stroke]:
    return [
        poly("body", (0.1, 0.42 - 0.12 * a), (0.26, 0.38 - 0.1 * a), (0.34, 0.46), (0.52, 0.42), (0.72, 0.56),
             (0.92, 0.62), (0.93, 0.72), (0.09, 0.72)),
        box("detail", 0.08, 0.71, 0.94, 0.77 + 0.04 * b),
        poly("detail", (0.42, 0.46), (0.46, 0.45), (0.58, 0.6), (0.54, 0.61)),
    ]  # fmt: skip


def _boot(a: float, b: float) -> list[Stroke]:
    top = 0.3 - 0.18 * a
    return [
        poly("body", (0.26, top), (0.54, top), (0.54, 0.56), (0.84, 0.68), (0.86, 0.8), (0.26, 0.8)),
        poly("detail", (0.24, 0.8), (0.88, 0.8), (0.88, 0.85), (0.42, 0.85), (0.42, 0.85 + 0.06 * b),
             (0.24, 0.85 + 0.06 * b)),
    ]  # fmt: skip


def _heel(a: float, b: float) -> list[Stroke]:
    rise = 0.12 + 0.2 * a
    return [
        poly("body", (0.12, 0.62 - rise), (0.26, 0.58 - rise), (0.5, 0.66 - 0.2 * rise), (0.74, 0.66), (0.92, 0.76),
             (0.6, 0.8), (0.3, 0.72 - 0.6 * rise), (0.14, 0.7 - rise)),
        poly("detail", (0.13, 0.68 - rise), (0.22, 0.7 - 0.9 * rise), (0.18 + 0.03 * b, 0.82), (0.14, 0.82)),
    ]  # fmt: skip


def _handbag(a: float, b: float) -> list[Stroke]:
    return [
        oval("detail", 0.5, 0.38, 0.2, 0.2 + 0.06 * b),
        oval("hole", 0.5, 0.38, 0.16, 0.16 + 0.06 * b),
        poly(
            "body", (0.22 - 0.04 * a, 0.38), (0.78 + 0.04 * a, 0.38), (0.86 - 0.06 * b, 0.84), (0.14 + 0.06 * b, 0.84)
        ),
        box("detail", 0.46, 0.46, 0.54, 0.54),
    ]


def _backpack(a: float, b: float) -> list[Stroke]:
    return [
        oval("detail", 0.5, 0.16, 0.09, 0.08),
        oval("body", 0.5, 0.32, 0.25 + 0.03 * a, 0.19),
        box("body", 0.25 - 0.03 * a, 0.32, 0.75 + 0.03 * a, 0.88),
        box("detail", 0.33, 0.6 - 0.06 * b, 0.67, 0.63 - 0.06 * b),
        box("detail", 0.2 - 0.03 * a, 0.5, 0.25, 0.82),
        box("detail", 0.75, 0.5, 0.8 + 0.03 * a, 0.82),
    ]


def _cap(a: float, b: float) -> list[Stroke]:
    return [
        Stroke("body", tuple((0.44 + 0.3 * x, 0.62 - (0.3 + 0.08 * a) * y) for x, y in _ARC)),
        poly("detail", (0.5, 0.58), (0.74, 0.58), (0.94, 0.66 + 0.04 * b), (0.9, 0.7 + 0.04 * b), (0.5, 0.64)),
    ]


def _watch(a: float, b: float) -> list[Stroke]:
    dial = 0.17 + 0.06 * a
    return [
        box("body", 0.5 - 0.1 - 0.03 * b, 0.08, 0.5 + 0.1 + 0.03 * b, 0.92),
        oval("detail", 0.5, 0.5, dial + 0.04, dial + 0.04),
        oval("hole", 0.5, 0.5, dial, dial),
        box("detail", 0.49, 0.5 - dial * 0.8, 0.515, 0.51),
        box("detail", 0.5, 0.49, 0.5 + dial * 0.6, 0.515),
    ]


def _sunglasses(a: float, b: float) -> list[Stroke]:
    rx, ry = 0.17 + 0.03 * a, 0.11 + 0.07 * b
    return [
        oval("body", 0.29, 0.5, rx, ry),
        oval("body", 0.71, 0.5, rx, ry),
        box("detail", 0.44, 0.45, 0.56, 0.48),
        poly("detail", (0.12, 0.46), (0.06, 0.36), (0.09, 0.35), (0.16, 0.44)),
        poly("detail", (0.88, 0.46), (0.94, 0.36), (0.91, 0.35), (0.84, 0.44)),
    ]


def _umbrella(a: float, b: float) -> list[Stroke]:
    return [
        Stroke("body", tuple((0.5 + 0.42 * x, 0.5 - (0.32 + 0.08 * a) * y) for x, y in _ARC)),
        box("detail", 0.49, 0.5, 0.515, 0.86),
        box("detail", 0.49 - 0.08 - 0.04 * b, 0.86, 0.515, 0.89),
    ]


def _mug(a: float, b: float) -> list[Stroke]:
    return [
        oval("detail", 0.7, 0.52, 0.17, 0.17),
        oval("hole", 0.7, 0.52, 0.11, 0.11),
        box("body", 0.24, 0.28 - 0.08 * a, 0.68, 0.8),
        oval("detail", 0.46, 0.28 - 0.08 * a, 0.22, 0.03 + 0.02 * b),
    ]


def _vase(a: float, b: float) -> list[Stroke]:
    return [
        oval("body", 0.5, 0.62, 0.2 + 0.1 * a, 0.28),
        poly("body", (0.43, 0.1), (0.57, 0.1), (0.55, 0.2), (0.6, 0.45), (0.4, 0.45), (0.45, 0.2)),
        oval("detail", 0.5, 0.1, 0.09 + 0.04 * b, 0.025),
    ]


def _cushion(a: float, b: float) -> list[Stroke]:
    w, h = 0.34 + 0.06 * a, 0.3 + 0.08 * b
    return [
        poly("body", (0.5 - w, 0.5 - h), (0.5, 0.54 - h), (0.5 + w, 0.5 - h), (0.47 + w, 0.5),
             (0.5 + w, 0.5 + h), (0.5, 0.46 + h), (0.5 - w, 0.5 + h), (0.53 - w, 0.5)),
    ]  # fmt: skip


def _lamp(a: float, b: float) -> list[Stroke]:
    return [
        poly("body", (0.38 - 0.06 * a, 0.12), (0.62 + 0.06 * a, 0.12), (0.76, 0.48), (0.24, 0.48)),
        box("detail", 0.475, 0.48, 0.525, 0.84),
        oval("detail", 0.5, 0.86, 0.14 + 0.06 * b, 0.04),
    ]


def _chair(a: float, b: float) -> list[Stroke]:
    return [
        box("body", 0.28, 0.12 + 0.08 * a, 0.4, 0.56),
        box("body", 0.28, 0.52, 0.76, 0.6 + 0.03 * b),
        box("detail", 0.28, 0.6, 0.33, 0.92),
        box("detail", 0.71, 0.6, 0.76, 0.92),
        box("body", 0.4, 0.16 + 0.08 * a, 0.44, 0.52),
    ]


def _rug(a: float, b: float) -> list[Stroke]:
    skew = 0.1 * a
    return [
        poly("body", (0.12 + skew, 0.28 - 0.05 * b), (0.9, 0.28 - 0.05 * b), (0.9 - skew, 0.76), (0.08, 0.76)),
        poly("detail", (0.08, 0.76), (0.9 - skew, 0.76), (0.9 - skew, 0.8), (0.08, 0.8)),
    ]


def _plate(a: float, b: float) -> list[Stroke]:
    ry = 0.28 + 0.12 * a
    return [
        oval("body", 0.5, 0.5, 0.42, ry),
        oval("detail", 0.5, 0.5, 0.27 + 0.04 * b, ry * 0.66),
        oval("body", 0.5, 0.5, 0.25 + 0.04 * b, ry * 0.6),
    ]


def _headphones(a: float, b: float) -> list[Stroke]:
    return [
        oval("detail", 0.5, 0.46, 0.34, 0.34),
        oval("hole", 0.5, 0.47, 0.29, 0.3),
        box("hole", 0.1, 0.56, 0.9, 0.84),
        oval("body", 0.2, 0.6, 0.11 + 0.03 * a, 0.17 + 0.03 * b),
        oval("body", 0.8, 0.6, 0.11 + 0.03 * a, 0.17 + 0.03 * b),
    ]


def _speaker(a: float, b: float) -> list[Stroke]:
    return [
        box("body", 0.28 - 0.08 * a, 0.12, 0.72 + 0.08 * a, 0.9),
        oval("detail", 0.5, 0.64, 0.17, 0.17),
        oval("detail", 0.5, 0.3, 0.08 + 0.03 * b, 0.08 + 0.03 * b),
    ]


def _phonecase(a: float, b: float) -> list[Stroke]:
    return [
        box("body", 0.3 - 0.02 * a, 0.08, 0.7 + 0.02 * a, 0.92),
        box("hole", 0.34, 0.12, 0.34 + 0.12 + 0.06 * b, 0.26),
        oval("detail", 0.4, 0.18, 0.04, 0.04),
    ]


def _kettle(a: float, b: float) -> list[Stroke]:
    return [
        oval("detail", 0.5, 0.3, 0.24, 0.2),
        oval("hole", 0.5, 0.31, 0.18, 0.14),
        poly("body", (0.32, 0.34), (0.68, 0.34), (0.78 + 0.04 * a, 0.86), (0.22 - 0.04 * a, 0.86)),
        poly("body", (0.7, 0.5), (0.9, 0.36 - 0.04 * b), (0.94, 0.4), (0.76, 0.68)),
    ]


def _ball(a: float, b: float) -> list[Stroke]:
    r = 0.3 + 0.1 * a
    return [oval("body", 0.5, 0.52, r, r * (0.96 + 0.04 * b))]


def _kite(a: float, b: float) -> list[Stroke]:
    w = 0.24 + 0.1 * a
    return [
        poly("body", (0.5, 0.06), (0.5 + w, 0.34), (0.5, 0.74), (0.5 - w, 0.34)),
        poly("detail", (0.495, 0.74), (0.51, 0.74), (0.58 + 0.1 * b, 0.94), (0.56 + 0.1 * b, 0.94)),
    ]


def _bear(a: float, b: float) -> list[Stroke]:
    return [
        oval("body", 0.34, 0.16, 0.08, 0.08),
        oval("body", 0.66, 0.16, 0.08, 0.08),
        oval("body", 0.5, 0.66, 0.22 + 0.05 * a, 0.24),
        oval("body", 0.26, 0.6, 0.1, 0.14),
        oval("body", 0.74, 0.6, 0.1, 0.14),
        oval("body", 0.5, 0.3, 0.2, 0.19),
        oval("detail", 0.5, 0.36, 0.07 + 0.02 * b, 0.055),
        oval("detail", 0.43, 0.27, 0.02, 0.02),
        oval("detail", 0.57, 0.27, 0.02, 0.02),
    ]


def _toycar(a: float, b: float) -> list[Stroke]:
    roof = 0.4 - 0.1 * a
    return [
        poly("body", (0.08, 0.52), (0.26, 0.5), (0.36, roof), (0.64, roof), (0.78, 0.5), (0.93, 0.54),
             (0.93, 0.68), (0.08, 0.68)),
        poly("hole", (0.38, roof + 0.03), (0.6 + 0.02 * b, roof + 0.03), (0.68, 0.49), (0.33, 0.49)),
        oval("detail", 0.27, 0.69, 0.09, 0.09),
        oval("detail", 0.74, 0.69, 0.09, 0.09),
    ]  # fmt: skip


_ARC: tuple[Point, ...] = (
    (-1.0, 0.0), (-0.95, 0.31), (-0.81, 0.59), (-0.59, 0.81), (-0.31, 0.95), (0.0, 1.0),
    (0.31, 0.95), (0.59, 0.81), (0.81, 0.59), (0.95, 0.31), (1.0, 0.0),
)  # fmt: skip

SILHOUETTES: dict[str, Callable[[float, float], list[Stroke]]] = {
    "dress": _dress, "tshirt": _tshirt, "skirt": _skirt, "trousers": _trousers, "jacket": _jacket, "hoodie": _hoodie,
    "sneaker": _sneaker, "boot": _boot, "heel": _heel, "handbag": _handbag, "backpack": _backpack, "cap": _cap,
    "watch": _watch, "sunglasses": _sunglasses, "umbrella": _umbrella, "mug": _mug, "vase": _vase, "cushion": _cushion,
    "lamp": _lamp, "chair": _chair, "rug": _rug, "plate": _plate, "headphones": _headphones, "speaker": _speaker,
    "phonecase": _phonecase, "kettle": _kettle, "ball": _ball, "kite": _kite, "bear": _bear, "toycar": _toycar,
}  # fmt: skip
