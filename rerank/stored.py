"""Small frozen objects of arrays as one .npz file each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from catalog.errors import ArtifactError
from catalog.files import atomic_path

Array = npt.NDArray[np.generic]


def write_named(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by name, atomically."""
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, **arrays)  # type: ignore[arg-type]


def read_named(path: Path, names: list[str]) -> dict[str, npt.NDArray[Any]]:
    """Read arrays of these names; ArtifactError when the file or one of them is missing or broken."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ArtifactError(f"{path}: not readable ({error}); run the rerank stage again") from error
