"""Finished parts of the comparison are kept, and used by the same settings alone."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import benchmarks.rerank_variants as variants
from benchmarks.rerank_variants import RIVALS, VARIANTS, Finished, finished
from rerank.config import RerankConfig

CURVE = np.ones(3, np.float32)


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    done: list[str] = []

    def train(name: str, setting: Any, curve: np.ndarray, with_grade: bool) -> Finished:
        done.append(f"{name}, {with_grade}")
        score = np.full((2, 3), len(done), np.float32)
        return Finished(score, score + 1, np.zeros(0, np.float32), curve, {"chosen": len(done)})

    monkeypatch.setattr(variants, "_train_rival", train)
    return done


def test_a_finished_part_is_kept(tmp_path: Path, trainings: list[str]) -> None:
    setting: Any = SimpleNamespace(key="this shop")
    first = finished(RIVALS[0], setting, CURVE, tmp_path / "kept")
    again = finished(RIVALS[0], setting, CURVE, tmp_path / "kept")
    assert trainings == ["logistic regression, False"]
    assert again.notes == first.notes == {"chosen": 1}
    np.testing.assert_array_equal(again.test, first.test)
    np.testing.assert_array_equal(again.examination, CURVE)


def test_other_settings_are_trained_anew(tmp_path: Path, trainings: list[str]) -> None:
    for key, with_grade in (("this shop", False), ("this shop", True), ("another", False)):
        finished(RIVALS[1], SimpleNamespace(key=key), CURVE, tmp_path, with_grade)  # type: ignore[arg-type]
    assert trainings == ["LambdaMART, False", "LambdaMART, True", "LambdaMART, False"]


def test_other_code_of_a_rival_is_trained_anew(
    tmp_path: Path, trainings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    setting: Any = SimpleNamespace(key="this shop")
    finished(RIVALS[0], setting, CURVE, tmp_path)
    monkeypatch.setattr(variants, "code_digest", lambda module: f"{module}, changed")
    finished(RIVALS[0], setting, CURVE, tmp_path)
    assert len(trainings) == 2


def test_a_broken_file_is_no_result(tmp_path: Path, trainings: list[str]) -> None:
    (tmp_path / "lambdamart.npz").write_bytes(b"broken")
    assert finished(RIVALS[1], SimpleNamespace(key="k"), CURVE, tmp_path).notes == {"chosen": 1}  # type: ignore[arg-type]


def test_variants_are_settings_that_exist() -> None:
    for changes in VARIANTS.values():
        RerankConfig.model_validate(changes)
