"""What kept parts of the comparison are told apart by; its lists are tested with those of the reranker."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import rerank_setting
from benchmarks.rerank_setting import setting_key
from catalog.config import parse_config
from catalog.files import write_json
from pipelines.config import PipelineConfig
from pipelines.workspace import Workspace


def key(folder: Path, candidates: str = "one", **sections: dict[str, Any]) -> str:
    write_json(folder / "stages" / "candidates.json", {"fingerprint": candidates})
    values = {"name": "tiny", "source": {"kind": "made_up"}, "simulate": {}} | sections
    return setting_key(Workspace(parse_config(PipelineConfig, values, "the test"), folder))


@pytest.mark.parametrize(
    "changed",
    [
        {"candidates": "two"},
        {"evaluate": {"seed": 1}},
        {"evaluate": {"requests": 7}},
        {"release": {"candidates": 100}, "index": {"k": 100}},
        {"rerank": {"epochs": 1}},
    ],
    ids=str,
)
def test_other_lists_or_settings_have_another_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    assert key(tmp_path, **changed) != key(tmp_path)


def test_other_code_of_the_reranker_has_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(tmp_path)
    monkeypatch.setattr(rerank_setting, "code_digest", lambda module: f"{module}, changed")
    assert key(tmp_path) != before
    assert key(tmp_path).endswith("benchmarks.rerank_variants, changed")


def test_what_the_comparison_does_not_read_changes_nothing(tmp_path: Path) -> None:
    assert key(tmp_path, evaluate={"attribute_queries": 5}) == key(tmp_path)
