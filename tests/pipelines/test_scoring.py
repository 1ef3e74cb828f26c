"""What a release is asked through when it is judged."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pipelines.scoring
from catalog.errors import DataError
from pipelines.publish import Release
from pipelines.scoring import ReleasedModels

_NOTHING: Any = None
MODELS = ReleasedModels(_NOTHING, _NOTHING, ["a", "红", "c"], history=2)


def test_answered_ids_become_rows_of_the_same_shape() -> None:
    answers = np.array([["红".encode(), b"a", b""], [b"c", b"", b""]], object)
    assert MODELS.rows(answers).tolist() == [[1, 0, -1], [2, -1, -1]]


def test_ids_of_another_catalogue_are_refused() -> None:
    with pytest.raises(DataError, match="answered '黑', which is not in products"):
        MODELS.rows(np.array([b"a", "黑".encode()], object))


def test_a_release_that_was_withdrawn_is_judged_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.scoring, "Servable", lambda path: SimpleNamespace(path=path))
    (tmp_path / "retrieval" / ".withdrawn.8").mkdir(parents=True)
    models = ReleasedModels(Release(tmp_path, 8), _NOTHING, [], history=4)
    assert models.model("retrieval").path == tmp_path / "retrieval" / ".withdrawn.8"
    assert models.model("rerank").path == tmp_path / "rerank" / "8"
