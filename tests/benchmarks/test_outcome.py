"""The line of JSON that a benchmark ends with."""

import json
import subprocess
from pathlib import Path

import pytest

from benchmarks.outcome import commit, finish


def test_what_is_kept_is_what_is_printed_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finish("speed", {"seconds": 1.5}, tmp_path / "speed.json")
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert printed == json.loads((tmp_path / "speed.json").read_text())
    assert (printed["benchmark"], printed["seconds"]) == ("speed", 1.5)
    assert printed["machine"].keys() >= {"processor", "cores", "memory"}
    assert "tensorflow" in printed["versions"]


def test_without_a_file_it_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    finish("speed", {}, None)
    assert json.loads(capsys.readouterr().out)["benchmark"] == "speed"


def test_what_cannot_be_written_has_been_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        finish("speed", {"seconds": 1.5}, tmp_path / "file" / "speed.json")
    assert json.loads(capsys.readouterr().out)["seconds"] == 1.5


def test_the_commit_is_named_and_what_differs_from_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit(tmp_path) is None
    file = tmp_path / "file"
    for step in (["init"], ["add", "file"], ["-c", "user.name=n", "-c", "user.email=e@f.g", "commit", "-m", "m"]):
        file.write_text("1")
        subprocess.run(["git", "-C", str(tmp_path), *step], check=True, capture_output=True)
    clean = commit(tmp_path)
    assert clean is not None
    assert len(clean) >= 7
    file.write_text("2")
    assert commit(tmp_path) == f"{clean}-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) is None
