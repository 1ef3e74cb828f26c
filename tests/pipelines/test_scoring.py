from typing import Any

import numpy as np
import pytest

from catalog.errors import DataError
from pipelines.scoring import ReleasedModels

_NOTHING: Any = None
MODELS = ReleasedModels(_NOTHING, _NOTHING, ["a", "红", "c"], history=2)


def test_answered_ids_become_rows_of_the_same_shape() -> None:
    answers = np.array([["红".encode(), b"a", b""], [b"c", b"", b""]], object)
    assert MODELS.rows(answers).tolist() == [[1, 0, -1], [2, -1, -1]]


def test_ids_of_another_catalogue_are_refused() -> None:
    with pytest.raises(DataError, match="answered '黑', which is not in products"):
        MODELS.rows(np.array([b"a", "黑".encode()], object))
