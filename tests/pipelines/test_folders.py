"""Folders are tried before they are needed, and what the system says of a file is said with its name."""

import errno
import os
import tempfile
from pathlib import Path

import pytest

from catalog.errors import ConfigError
from pipelines.folders import check_writable, in_words


def test_a_folder_that_can_be_made_is_not_made(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "models", "models_dir")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["file", "file/models", "gone"])
def test_a_folder_that_is_none_is_named_with_its_setting(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=rf"models_dir: .*{name} cannot be written to: .*give another `models_dir`"):
        check_writable(tmp_path / name, "models_dir")


def test_a_read_only_file_system_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(ConfigError, match=r"workspace: .*run cannot be written to: .*Read-only file system"):
        check_writable(tmp_path / "run", "workspace")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/mnt/run"), "/mnt/run: Read-only file system"),
        (OSError(errno.EACCES, "Permission denied", b"/mnt/run"), "/mnt/run: Permission denied"),
        (OSError(errno.EIO, "Input/output error", 3), "Input/output error"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (OSError("broken pipe of a library"), "broken pipe of a library"),
    ],
)
def test_an_error_is_told_with_its_file_where_it_has_one(error: OSError, words: str) -> None:
    assert in_words(error) == words
