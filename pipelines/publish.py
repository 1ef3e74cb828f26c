"""A release on disk: one version number for all models, each appearing whole or not at all.

    saved_models/<model>/<version>/            what TF Serving polls
    saved_models/releases/<version>/           manifest.json, sample_requests.json, report figures

Models are written under saved_models/.staging, proven there, and only then renamed into place: `rerank` first and
`search` last, so that whoever sees the new `search` finds everything it may be combined with.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from catalog.errors import ArtifactError, TandemError
from catalog.files import atomic_directory, finite, flush_tree, read_json, write_json

PUBLISH_ORDER = (
    "rerank", "product_tower", "query_tower", "retrieval_exact", "retrieval", "search_exact", "search",
)  # fmt: skip


@dataclass(frozen=True)
class Release:
    """One published release.

    Args:
        models_dir: the folder that holds every model.
        version: the number all its models share.
    """

    models_dir: Path
    version: int

    @property
    def folder(self) -> Path:
        """Where the manifest lies."""
        return self.models_dir / "releases" / str(self.version)

    def model(self, name: str) -> Path:
        """The SavedModel of one model, where servers read it."""
        return self.models_dir / name / str(self.version)

    def kept(self, name: str) -> Path:
        """The SavedModel of one model, also of a release that was withdrawn (docs/deployment.md, Rollback)."""
        served = self.model(name)
        withdrawn = served.with_name(f".withdrawn.{self.version}")
        return withdrawn if withdrawn.exists() and not served.exists() else served

    def manifest(self) -> dict[str, Any]:
        """What the release was made from and with."""
        manifest: dict[str, Any] = read_json(self.folder / "manifest.json")
        return manifest


def latest_release(models_dir: Path, name: str | None = None) -> Release:
    """The newest release under `models_dir`, of the shop `name` if given.

    One without `search` is withdrawn, or on its way, and does not count.

    Raises:
        ArtifactError: when there is none.
    """
    for version in sorted(_versions(models_dir / "releases"), reverse=True):
        release = Release(models_dir, version)
        if release.model("search").is_dir() and (name is None or release.manifest()["name"] == name):
            return release
    wanted = f"of {name!r} " if name else ""
    raise ArtifactError(f"no release {wanted}under {models_dir}; make one with `tandem run --config CONFIG`")


@contextmanager
def next_release(models_dir: Path) -> Iterator[tuple[Release, Path]]:
    """Give the next release and the staging folder to write its models into; nothing is visible until `publish`.

    Releases are made one at a time; staging folders that a killed run left behind are removed.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    lock = FileLock(models_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise TandemError(f"another release is being written to {models_dir}; wait for it to end") from None
    try:
        for leftover in models_dir.glob(".staging.*"):
            shutil.rmtree(leftover)
        staging = Path(tempfile.mkdtemp(prefix=".staging.", dir=models_dir))
        taken = [version for name in (*PUBLISH_ORDER, "releases") for version in _versions(models_dir / name)]
        try:
            yield Release(models_dir, max(taken, default=0) + 1), staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    finally:
        lock.release()


def publish(release: Release, staging: Path, manifest: dict[str, Any], sample_requests: list[dict[str, Any]]) -> None:
    """Rename the staged models into place, in `PUBLISH_ORDER`; the manifest goes first, so that no model lacks one."""
    with atomic_directory(release.folder) as folder:
        write_json(folder / "manifest.json", finite(manifest))
        write_json(folder / "sample_requests.json", sample_requests)
    for name in PUBLISH_ORDER:
        flush_tree(staging / name)
        release.model(name).parent.mkdir(exist_ok=True)
        (staging / name).replace(release.model(name))


@dataclass(frozen=True)
class Prover:
    """A fresh process that has no model code; see `proving`.

    Args:
        process: `serving.prove`, its standard input and output pipes.
        words: its standard error.
    """

    process: subprocess.Popen[bytes]
    words: IO[bytes]

    def add(self, model: Path) -> None:
        """Let a model that is written be loaded and asked its warm-up requests, while the next one is written."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; `result` says why
            self.process.stdin.write(os.fsencode(model) + b"\n")

    def result(self) -> dict[str, Any]:
        """Wait for the last model.

        Returns:
            What the process measured: per model the signatures and the seconds to load.

        Raises:
            ArtifactError: with the process's own words, when a model does not load or does not answer; when a model of
                a release was not among them.
        """
        printed, _ = self.process.communicate()
        if self.process.returncode != 0:
            self.words.seek(0)
            words = self.words.read().decode(errors="replace")
            raise ArtifactError(
                f"the exported models do not stand on their own: loading them in a process of its own ended with exit "
                f"code {self.process.returncode} (-9 is a kill, mostly for want of memory):\n{words[-4000:]}"
            )
        proof: dict[str, Any] = json.loads(printed.splitlines()[-1])
        unproved = set(PUBLISH_ORDER) - set(proof)
        if unproved:
            raise ArtifactError(f"nobody asked for a proof of {', '.join(sorted(unproved))}")
        return proof


@contextmanager
def proving() -> Iterator[Prover]:
    """Start the process; leaving the context ends it, whatever it does."""
    command = [sys.executable, "-m", "serving.prove"]
    # Its words go to a file, since a pipe that nobody empties would hold it up.
    with (
        tempfile.TemporaryFile() as words,
        subprocess.Popen(command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words) as process,
    ):
        try:
            yield Prover(process, words)
        finally:
            process.kill()


def _versions(folder: Path) -> list[int]:
    if not folder.is_dir():
        return []
    return [int(item.name) for item in folder.iterdir() if item.is_dir() and item.name.isdigit()]
