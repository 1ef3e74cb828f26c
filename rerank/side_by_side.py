"""Tables of one catalogue side by side: one lookup reads a product's row of all of them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf


class SideBySide(tf.Module):
    """What is known of products, by row. Rows lie apart in memory, so one lookup of a wide row is several times as fast
    as one of each narrow part of it.

    Args:
        parts: [N + 1, width] by name, all of one dtype.

    Call:
        rows: [...] int32, 0 to N. Returns [..., width] by name.
    """

    def __init__(self, parts: Mapping[str, npt.NDArray[Any]]) -> None:
        super().__init__(name="side_by_side")
        self._widths = {name: part.shape[1] for name, part in parts.items()}
        self.table = tf.Variable(np.concatenate(list(parts.values()), axis=1), trainable=False)

    def __call__(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._apart(tf.gather(self.table, rows))

    def width(self, name: str) -> int:
        """Columns of a part."""
        return self._widths[name]

    def part(self, name: str) -> tf.Tensor:
        """[N + 1, width], a whole table."""
        return self._apart(self.table)[name]

    def _apart(self, wide: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(zip(self._widths, tf.split(wide, list(self._widths.values()), axis=-1), strict=True))
