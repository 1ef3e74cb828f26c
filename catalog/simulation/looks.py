"""How products look, measured on their pixels: colour, texture and shape, without a glance at the columns.

Each picture gives 32 numbers; they are standardised within the product's type (what is a dark dress, among dresses) and
reduced to a few principal directions, along which shoppers' tastes are drawn.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from catalog.pictures import PictureError, decode_picture
from catalog.progress import track

LOOK_DIMENSIONS = 12
PICTURE_SIDE = 48

_Floats = npt.NDArray[np.float32]
_BATCH = 512
_SMALL_TYPE = 12
_CLIP = 3.0


def measure_looks(pictures: Sequence[bytes | None], types: npt.NDArray[np.int16], workers: int) -> _Floats:
    """Read the looks of a catalogue.

    Args:
        pictures: [products] picture files; None or broken bytes look like nothing in particular.
        types: [products] type of each product.
        workers: threads that decode.

    Returns:
        [products, LOOK_DIMENSIONS] float32, about unit variance in each column; zeros without a picture.
    """
    raw = np.full((len(pictures), _FEATURES), np.nan, np.float32)
    with ThreadPoolExecutor(workers) as pool:
        for start in track(range(0, len(pictures), _BATCH), "reading looks"):
            batch = pictures[start : start + _BATCH]
            decoded = list(pool.map(_decode, batch))
            rows = [start + offset for offset, pixels in enumerate(decoded) if pixels is not None]
            if rows:
                raw[rows] = pixel_statistics(np.stack([pixels for pixels in decoded if pixels is not None]))
    return _principal(_standardise(raw, types))


def _decode(data: bytes | None) -> npt.NDArray[np.uint8] | None:
    if data is None:
        return None
    try:
        return decode_picture(data, PICTURE_SIDE)
    except PictureError:
        return None


_HUES = 8
_FEATURES = 6 + _HUES + 7 + 11


def pixel_statistics(pixels: npt.NDArray[np.uint8]) -> _Floats:
    """[batch, side, side, 3] pictures -> [batch, 32] colour, texture and shape statistics of what stands in front.

    The foreground is what differs from the median colour of the border.
    """
    rgb = pixels.astype(np.float32) / np.float32(255)
    lab = _opponent(rgb)
    border = np.concatenate((lab[:, 0], lab[:, -1], lab[:, :, 0], lab[:, :, -1]), axis=1)
    ground = np.median(border, axis=1)[:, None, None]
    front = (np.abs(lab - ground).sum(-1) > 0.12).astype(np.float32)
    area = front.sum((1, 2)) + np.float32(1e-3)
    parts = (*_colour(rgb, lab, front, area), *_texture(lab[..., 0], front, area), *_shape(front, area))
    return np.concatenate([part.reshape(len(pixels), -1) for part in parts], axis=1).astype(np.float32)


def _opponent(rgb: _Floats) -> _Floats:
    """Lightness, red-green and yellow-blue, a cheap stand-in for Lab."""
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    return np.stack(((red + green + blue) / 3, red - green, (red + green) / 2 - blue), axis=-1)


def _colour(rgb: _Floats, lab: _Floats, front: _Floats, area: _Floats) -> list[_Floats]:
    """Mean and spread of the opponent channels, and the hues weighted by saturation."""
    weights = front[..., None]
    mean = (lab * weights).sum((1, 2)) / area[:, None]
    spread = np.sqrt(((lab - mean[:, None, None]) ** 2 * weights).sum((1, 2)) / area[:, None])
    angle = np.arctan2(lab[..., 2], lab[..., 1])
    strength = np.hypot(lab[..., 1], lab[..., 2]) * front
    bins = np.floor((angle + np.pi) / (2 * np.pi) * _HUES).astype(int) % _HUES
    hues = np.stack([(strength * (bins == hue)).sum((1, 2)) for hue in range(_HUES)], axis=1) / area[:, None]
    return [mean, spread, np.sqrt(hues)]


def _texture(light: _Floats, front: _Floats, area: _Floats) -> list[_Floats]:
    """Gradient energy inside the product, its four orientations, and how much of it is fine."""
    across = np.zeros_like(light)
    down = np.zeros_like(light)
    across[:, :, 1:-1] = light[:, :, 2:] - light[:, :, :-2]
    down[:, 1:-1] = light[:, 2:] - light[:, :-2]
    energy = np.hypot(across, down) * front
    total = energy.sum((1, 2)) + np.float32(1e-3)
    angle = np.arctan2(down, across) % np.pi
    bins = np.floor((angle + np.pi / 8) / (np.pi / 4)).astype(int) % 4
    orientation = np.stack([(energy * (bins == turn)).sum((1, 2)) for turn in range(4)], axis=1) / total[:, None]
    fine = np.abs(light[:, :, 1:] - light[:, :, :-1]).sum((1, 2)) / total
    edges = ((energy > 0.15).sum((1, 2)) / area).astype(np.float32)
    return [total / area, orientation, fine, edges]


def _shape(front: _Floats, area: _Floats) -> list[_Floats]:
    """Fill, extent, centre and moments of the silhouette, and where its mass lies from top to bottom."""
    side = front.shape[1]
    axis = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    columns, rows = front.sum(1), front.sum(2)
    x, y = (columns @ axis) / area, (rows @ axis) / area
    xx = np.sqrt(np.maximum((columns @ axis**2) / area - x**2, 0))
    yy = np.sqrt(np.maximum((rows @ axis**2) / area - y**2, 0))
    width, height = (columns > 0).sum(1) / side, (rows > 0).sum(1) / side
    box = area / np.maximum(width * height * side * side, 1)
    mirrored = (front * front[:, :, ::-1]).sum((1, 2)) / area
    thirds = np.stack([part.sum(1) for part in np.array_split(rows, 3, axis=1)[:2]], axis=1) / area[:, None]
    simple = (area / (side * side), y, xx, yy, xx / (yy + 0.02), width, height, box, mirrored)
    return [*(values.astype(np.float32) for values in simple), thirds]


def _standardise(raw: _Floats, types: npt.NDArray[np.int16]) -> _Floats:
    """Centre and scale within each type; types with few pictures use the whole catalogue's scale."""
    known = ~np.isnan(raw[:, 0])
    scaled = np.zeros_like(raw)
    if known.sum() < 2:
        return scaled
    overall = raw[known].std(0) + np.float32(1e-4)
    for kind in np.unique(types[known]):
        rows = np.flatnonzero(known & (types == kind))
        spread = raw[rows].std(0) if len(rows) >= _SMALL_TYPE else overall
        scaled[rows] = (raw[rows] - raw[rows].mean(0)) / np.maximum(spread, 0.2 * overall)
    return np.clip(scaled, -_CLIP, _CLIP)


def _principal(scaled: _Floats) -> _Floats:
    """The leading principal components, half whitened, their mean variance one. Signs are fixed."""
    known = np.any(scaled != 0, axis=1)
    looks = np.zeros((len(scaled), LOOK_DIMENSIONS), np.float32)
    if known.sum() < 2:
        return looks
    values, vectors = np.linalg.eigh(np.cov(scaled[known].astype(np.float64), rowvar=False))
    values, vectors = values[::-1][:LOOK_DIMENSIONS], vectors[:, ::-1][:, :LOOK_DIMENSIONS]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(0), np.arange(LOOK_DIMENSIONS)])
    scores = scaled[known] @ (vectors / np.maximum(values, 1e-6) ** 0.25)
    looks[known] = np.clip(scores / np.sqrt((scores**2).mean()), -_CLIP, _CLIP)
    return looks
