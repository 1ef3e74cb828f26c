"""Folders that a run writes to: tried before they are needed, and in words where the system refuses a file."""

import errno
import os
import tempfile
from pathlib import Path
from typing import TypeGuard

from catalog.errors import ConfigError

_REFUSALS = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST)


def check_writable(folder: Path, setting: str) -> None:
    """Try to write into a folder, or into the nearest one above it where it is not there yet; leaves nothing behind.

    Args:
        folder: the folder.
        setting: the setting that names it, for the error.

    Raises:
        ConfigError: if it cannot be made or written to.
    """
    existing = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    try:
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        raise ConfigError(
            f"{setting}: {folder} cannot be written to: {existing}: {error.strerror}; expected a folder that can; mend "
            f"it, or give another `{setting}`"
        ) from error


def is_refused(error: Exception) -> TypeGuard[OSError]:
    """Whether a failure means that a file may not be written or read, or that its folder is none."""
    return isinstance(error, OSError) and error.errno in _REFUSALS


def in_words(error: OSError) -> str:
    """The file, where the error names one, and what the system says of it."""
    said = error.strerror or str(error)
    named = isinstance(error.filename, str | bytes | os.PathLike)
    return f"{os.fsdecode(error.filename)}: {said}" if named else said
