from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError
from rerank.artifacts import read_arrays, write_arrays


def test_arrays_come_back_in_order_with_their_notes(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, [np.full(1, place) for place in range(12)], {"seen": [1, "红"]})
    arrays, notes = read_arrays(path)
    assert [int(array[0]) for array in arrays] == list(range(12))
    assert notes == {"seen": [1, "红"]}


@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_checkpoint_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, [np.arange(1000)], {})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArtifactError, match="delete it and run the rerank stage again"):
        read_arrays(path)
