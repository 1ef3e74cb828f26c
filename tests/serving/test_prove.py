"""Exported models on their own, in a process that holds no model code."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from serving.prove import _check
from serving.warmup import WARMUP_FILE

FOLDER = Path("search/3")


def test_a_model_that_nothing_is_asked_of_proves_nothing(exported: Path) -> None:
    assert not (exported / "tf1" / "1" / WARMUP_FILE).exists()
    command = [sys.executable, "-m", "serving.prove", str(exported / "scale" / "1"), str(exported / "tf1" / "1")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 1
    assert f"{exported / 'tf1' / '1'}: no warm-up requests" in refused.stderr


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        ({"score": np.array([[1.0, np.nan]])}, "score that is not finite"),
        ({"score": np.array([[-np.inf]], np.float32)}, "score that is not finite"),
        ({"product_id": np.array([[b"", b""]], object)}, "no product at all"),
        ({"product_id": np.zeros((0, 5), object)}, "no product at all"),
    ],
)
def test_an_answer_that_is_none_proves_nothing(outputs: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(SystemExit, match=f"search/3: serving_default answers its warm-up with .*{message}"):
        _check(FOLDER, "serving_default", outputs)


def test_an_answer() -> None:
    _check(FOLDER, "serving_default", {"product_id": np.array([[b"a", b""]], object), "score": np.array([[0.5, -1e9]])})
