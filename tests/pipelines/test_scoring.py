"""What a release is asked through when it is judged."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import pipelines.scoring
from pipelines.publish import Release
from pipelines.scoring import ReleasedModels


def test_a_release_that_was_withdrawn_is_judged_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipelines.scoring, "Servable", lambda path: SimpleNamespace(path=path))
    (tmp_path / "retrieval" / ".withdrawn.8").mkdir(parents=True)
    features: Any = None
    models = ReleasedModels(Release(tmp_path, 8), features, [], history=4)
    assert models.model("retrieval").path == tmp_path / "retrieval" / ".withdrawn.8"
    assert models.model("rerank").path == tmp_path / "rerank" / "8"
