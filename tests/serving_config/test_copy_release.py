"""copy_release.sh: every model appears whole, rerank first and search last, and a copy that was cut off is repeated."""

import os
import subprocess
from pathlib import Path

import pytest

from pipelines.publish import PUBLISH_ORDER

SCRIPT = Path(__file__).parents[2] / "serving_config" / "copy_release.sh"


def copy(source: Path, version: str, target: Path) -> subprocess.CompletedProcess[str]:
    command = ["sh", str(SCRIPT), str(source), version, str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def released(tmp_path: Path) -> Path:
    models = tmp_path / "saved_models"
    for version in ("7", "8"):
        for name in PUBLISH_ORDER:
            (models / name / version / "variables").mkdir(parents=True)
            (models / name / version / "saved_model.pb").write_text(f"{name} {version}")
            (models / name / version / "variables" / "data").write_text("weights")
        (models / "releases" / version).mkdir(parents=True)
        (models / "releases" / version / "manifest.json").write_text("{}")
    return models


def test_one_version_of_every_model_arrives_in_the_order_of_a_release(released: Path, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    result = copy(released, "8", target)
    assert result.returncode == 0, result.stderr
    order = [str(target / name / "8") for name in ("releases", *PUBLISH_ORDER)]
    assert result.stdout.splitlines() == order
    for name in PUBLISH_ORDER:
        assert [path.name for path in (target / name).iterdir()] == ["8"]  # and no other, and no leftover
        assert (target / name / "8" / "saved_model.pb").read_text() == f"{name} 8"
        assert (target / name / "8" / "variables" / "data").read_text() == "weights"


def test_a_copy_that_was_cut_off_is_repeated_and_what_is_whole_is_kept(released: Path, tmp_path: Path) -> None:
    target = tmp_path / "mounted"
    assert copy(released, "8", target).returncode == 0
    kept = (target / "rerank" / "8" / "saved_model.pb").stat().st_mtime_ns
    (target / "search" / "8").rename(target / "search" / ".incoming.8")
    (target / "search" / ".incoming.8" / "saved_model.pb").write_text("half")
    result = copy(released, "8", target)
    assert result.stdout.splitlines() == [str(target / "search" / "8")]
    assert (target / "search" / "8" / "saved_model.pb").read_text() == "search 8"
    assert (target / "rerank" / "8" / "saved_model.pb").stat().st_mtime_ns == kept
    assert copy(released, "8", target).stdout == ""


def test_a_version_that_is_not_there_is_a_message(released: Path, tmp_path: Path) -> None:
    result = copy(released, "9", tmp_path / "mounted")
    assert result.returncode == 1
    assert "releases/9 is not there" in result.stderr
    assert not (tmp_path / "mounted").exists()
    assert os.access(SCRIPT, os.X_OK)


def test_a_release_that_is_still_being_published_is_not_copied_in_part(released: Path, tmp_path: Path) -> None:
    for name in ("search", "retrieval"):
        (released / name / "8").rename(released / name / ".staging")
    result = copy(released, "8", tmp_path / "mounted")
    assert result.returncode == 1
    assert "version 8" in result.stderr
    assert "lacks retrieval search:" in result.stderr
    assert not (tmp_path / "mounted").exists()
