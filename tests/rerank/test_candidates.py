from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError, DataError
from rerank.candidates import Candidates


def candidates() -> Candidates:
    """Of two requests, in a catalogue of four products."""
    scores = np.array([[0.9, 0.4, 0.2], [1.0, -np.inf, -np.inf]], np.float32)
    rows = np.array([[1, 3, 2], [2, -1, -1]], np.int32)
    return Candidates(
        np.array([0, 1], np.int32), rows, scores, np.ones((2, 4), np.float32), np.eye(4, dtype=np.float32)
    )


def test_candidates_round_trip(tmp_path: Path) -> None:
    candidates().save(tmp_path / "rerank")
    again = Candidates.load(tmp_path / "rerank")
    np.testing.assert_array_equal(again.rows, candidates().rows)
    np.testing.assert_array_equal(again.take(np.array([1])).scores, candidates().scores[1:])


def test_bad_candidates_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="run the candidates stage"):
        Candidates.load(tmp_path / "nothing")
    with pytest.raises(DataError, match="product row 9 in a catalogue of 4"):
        replace(candidates(), rows=np.full((2, 3), 9, np.int32))
    with pytest.raises(DataError, match="scores has shape"):
        replace(candidates(), scores=np.zeros((2, 2), np.float32))
