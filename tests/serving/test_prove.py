"""Exported models on their own, in a process that holds no model code."""

import subprocess
import sys
from pathlib import Path

from serving.warmup import WARMUP_FILE


def test_a_model_that_nothing_is_asked_of_proves_nothing(exported: Path) -> None:
    assert not (exported / "tf1" / "1" / WARMUP_FILE).exists()
    command = [sys.executable, "-m", "serving.prove", str(exported / "scale" / "1"), str(exported / "tf1" / "1")]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 1
    assert f"{exported / 'tf1' / '1'}: no warm-up requests" in refused.stderr
