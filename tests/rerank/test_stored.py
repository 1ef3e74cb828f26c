from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError
from rerank.stored import read_named, write_named


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_named(tmp_path / "a.npz", {"a": np.arange(3), "b": np.eye(2)})
    assert read_named(tmp_path / "a.npz", ["a"])["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("length", [0, 3, 100, -1])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.npz"
    write_named(path, {"a": np.arange(1000)})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        read_named(path, ["a"])


def test_a_missing_array_is_refused(tmp_path: Path) -> None:
    write_named(tmp_path / "a.npz", {"a": np.arange(3)})
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        read_named(tmp_path / "a.npz", ["b"])
