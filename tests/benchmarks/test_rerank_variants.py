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


def test_a_killed_training_of_another_state_is_not_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def train(name: str, setting: Any, checkpoint: Path) -> Finished:
        seen.append(sorted(file.name for file in tmp_path.glob("*.checkpoint.npz")))
        checkpoint.write_bytes(b"half-way")
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "_train_variant", train)
    other = tmp_path / "dcn-v2-by-clicks-alone.0.checkpoint.npz"
    other.write_bytes(b"of another variant")
    for key in ("this shop", "this shop", "other code"):
        with pytest.raises(KeyboardInterrupt):
            finished("DCN-V2", SimpleNamespace(key=key), CURVE, tmp_path)  # type: ignore[arg-type]
    first, again, after = ([name for name in names if name != other.name] for names in seen)
    assert (len(first), len(again), len(after)) == (0, 1, 0)
    assert other.exists()


def test_a_broken_file_is_no_result(tmp_path: Path, trainings: list[str]) -> None:
    (tmp_path / "lambdamart.npz").write_bytes(b"broken")
    assert finished(RIVALS[1], SimpleNamespace(key="k"), CURVE, tmp_path).notes == {"chosen": 1}  # type: ignore[arg-type]


def test_variants_are_settings_that_exist() -> None:
    for changes in VARIANTS.values():
        RerankConfig.model_validate(changes)
