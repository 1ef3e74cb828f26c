"""The manifest of a saved feature store: its facts, and every file of it by size and hash."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.errors import ArtifactError
from catalog.files import read_json, write_json

VERSION = 2
_MANIFEST = "store.json"
_SNAPSHOTS = "snapshots"


def write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write the version, the facts and what the files of the folder are known by; it is the last file written."""
    files = {path.name: _describe(path) for path in sorted(folder.iterdir())}
    write_json(folder / _MANIFEST, {"version": VERSION, **facts, "files": files})


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read what `write_manifest` wrote.

    Raises:
        ArtifactError: if a file is missing, truncated or altered, or another version of the code wrote it.
    """
    manifest = read_json(folder / _MANIFEST)
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise ArtifactError(
            f"{folder}: a feature store of version {version!r}, this code reads version {VERSION}; "
            "build the features again (`tandem run --force features`)"
        )
    for name, expected in manifest.get("files", {_MANIFEST: "a list of files"}).items():
        path = folder / name
        received = _describe(path) if path.is_file() else "no such file"
        if received != expected:
            raise ArtifactError(
                f"{path}: expected {expected}, received {received}: the feature store is incomplete or was altered; "
                "build the features again"
            )
    return dict(manifest)


def _describe(path: Path) -> dict[str, Any]:
    # The snapshots are large and stay memory-mapped: their size and header are checked, their bytes are not read.
    digest = ""
    if path.stem != _SNAPSHOTS:
        with path.open("rb") as handle:
            digest = hashlib.file_digest(handle, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}
