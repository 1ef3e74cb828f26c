import numpy as np
import tensorflow as tf

from rerank.side_by_side import SideBySide

FIRST = np.array([[1, 2], [3, 4], [0, 0]], np.int32)
SECOND = np.array([[5], [6], [9]], np.int32)


def test_a_row_is_read_from_every_table() -> None:
    found = SideBySide({"first": FIRST, "second": SECOND})(tf.constant([[1, 2], [0, 1]]))
    assert found["first"].numpy().tolist() == [[[3, 4], [0, 0]], [[1, 2], [3, 4]]]
    assert found["second"].numpy().tolist() == [[[6], [9]], [[5], [6]]]


def test_tables_come_back_whole() -> None:
    tables = SideBySide({"first": FIRST, "none": FIRST[:, :0], "second": SECOND})
    assert tables.part("first").numpy().tolist() == FIRST.tolist()
    assert tables.part("none").shape == (3, 0)
    assert (tables.width("first"), tables.width("none"), tables.width("second")) == (2, 0, 1)
