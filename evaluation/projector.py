"""Files for TensorBoard's embedding projector, or https://projector.tensorflow.org: vectors, words, small pictures.

Format: https://www.tensorflow.org/tensorboard/tensorboard_projector_plugin
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from PIL import Image
from pyarrow import csv

from catalog.files import atomic_directory
from evaluation.arrays import Gains

_TILE = 32  # Pixels; 100 x 100 of them are well below the 8,192 pixels a side that browsers show.
_POINTS = 10_000  # What the projector's t-SNE and UMAP take.

_CONFIG = """embeddings {{
  tensor_name: "products"
  tensor_path: "tensors.tsv"
  metadata_path: "metadata.tsv"{sprite}
}}
"""
_SPRITE = """
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {tile}
    single_image_dim: {tile}
  }}"""


def write_projector(
    folder: Path,
    vectors: Gains,
    metadata: Mapping[str, Sequence[object]],
    image_rows: npt.NDArray[np.integer] | None = None,
    images: npt.NDArray[np.uint8] | None = None,
    points: int = _POINTS,
    seed: int = 0,
) -> None:
    """Write tensors.tsv, metadata.tsv, projector_config.pbtxt and, with pictures, sprite.png: all or nothing.

    Args:
        folder: replaced if it is there.
        vectors: [N, D]. metadata: column -> [N] values; at least two columns, as the projector wants for a heading.
        image_rows: [N], each product's row in `images`, -1 for none. images: [M, S, S, 3].
        points: at most so many products, drawn with `seed`.

    Raises:
        ValueError: for metadata of one column or of another length.
    """
    if len(metadata) < 2 or any(len(values) != len(vectors) for values in metadata.values()):
        sizes = {name: len(values) for name, values in metadata.items()}
        raise ValueError(f"metadata: expected two columns or more of {len(vectors)} values each, received {sizes}")
    rows = np.arange(len(vectors))
    if len(rows) > points:
        rows = np.sort(np.random.default_rng(seed).choice(rows, points, replace=False))
    with atomic_directory(folder) as temporary:
        table = pa.table({str(column): vectors[rows, column] for column in range(vectors.shape[1])})
        plain = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
        csv.write_csv(table, temporary / "tensors.tsv", plain)
        lines = ["\t".join(metadata)]
        columns = [list(metadata[name]) for name in metadata]
        lines += ["\t".join(_cell(column[row]) for column in columns) for row in rows.tolist()]
        (temporary / "metadata.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        pictured = image_rows is not None and images is not None and len(images) > 0
        if image_rows is not None and images is not None and pictured:
            _sprite(image_rows[rows], images).save(temporary / "sprite.png")
        sprite = _SPRITE.format(tile=_TILE) if pictured else ""
        (temporary / "projector_config.pbtxt").write_text(_CONFIG.format(sprite=sprite), encoding="utf-8")


def _cell(value: object) -> str:
    """A value on one line: tabs and line ends would shift every row after it."""
    return " ".join(str("" if value is None else value).split())


def _sprite(image_rows: npt.NDArray[np.integer], images: npt.NDArray[np.uint8]) -> Image.Image:
    """The pictures row by row in a square; grey where there is none."""
    side = max(math.ceil(math.sqrt(len(image_rows))), 1)
    sheet = Image.new("RGB", (side * _TILE, side * _TILE), (200, 200, 200))
    for place, row in enumerate(image_rows.tolist()):
        if row >= 0:
            tile = Image.fromarray(np.asarray(images[row]), "RGB").resize((_TILE, _TILE), Image.Resampling.BOX)
            sheet.paste(tile, (place % side * _TILE, place // side * _TILE))
    return sheet
