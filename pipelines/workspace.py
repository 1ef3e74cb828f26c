"""One run's folder: where each stage reads and writes, and which stages are done."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catalog.errors import ConfigError, TandemError
from catalog.files import disk_is_full, read_json, write_json
from catalog.progress import console
from pipelines.config import PipelineConfig
from pipelines.folders import check_writable, in_words, is_refused


@dataclass(frozen=True)
class Workspace:
    """The folder of one run, and its configuration.

    Args:
        config: the whole configuration.
        root: the folder; every path below is inside it.
    """

    config: PipelineConfig
    root: Path

    @property
    def raw(self) -> Path:
        """What the shop brings; a folder of files is read where it lies."""
        source = self.config.source
        if source.kind == "files" and source.path is not None:
            return source.path
        return self.root / "raw"

    def __truediv__(self, name: str) -> Path:
        return self.root / name

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for this process; a second run on it gets an error instead of a race.

        Raises:
            ConfigError: if the folder cannot be written to.
            TandemError: if another run holds it.
        """
        check_writable(self.root, "workspace")
        self.root.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.root / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise TandemError(
                f"{self.root} is in use by another run. Wait for it to end, or give this one a workspace of its own "
                "(`workspace:` in the config)."
            ) from None
        try:
            yield
        finally:
            lock.release()


def open_workspace(config: PipelineConfig) -> Workspace:
    """The workspace that `config` names, created when it is not there.

    Raises:
        ConfigError: if it cannot be made, or a run would write its own files among the shop's.
    """
    root = config.workspace or Path("runs") / config.name
    source = config.source.path
    for setting, folder in (("workspace", root), ("models_dir", config.models_dir)):
        if source is not None and os.path.realpath(folder) == os.path.realpath(source) and source.is_dir():
            raise ConfigError(
                f"{setting}: {folder} is the folder of source.path, and a run would write its own files among the "
                f"shop's; give another `{setting}`"
            )
    if not root.is_dir():
        check_writable(root, "workspace")
        root.mkdir(parents=True, exist_ok=True)
    return Workspace(config, root)


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline.

    Args:
        name: what the command line calls it.
        run: does the work; everything it needs it reads from the workspace.
        after: the stages whose results it reads.
        settings: picks the part of the configuration that its result depends on.
        outputs: files, relative to the workspace, that exist when it has finished.
        check: raises what would stop it, and can be known before the stages that it reads have run.
    """

    name: str
    run: Callable[[Workspace], None]
    after: tuple[str, ...]
    settings: Callable[[PipelineConfig], Any]
    outputs: Callable[[Workspace], list[Path]]
    check: Callable[[Workspace], None] | None = None


def run_stages(workspace: Workspace, stages: tuple[Stage, ...], until: str | None, force: set[str]) -> list[str]:
    """Run what is not yet done, in order.

    A stage is done when its record holds the fingerprint of its inputs (its settings, the stages it reads, the shop's
    files, Tandem's version) and its outputs exist. Records are written last, so a killed run goes on where it was.

    Returns:
        The names of the stages that ran.
    """
    known = [stage.name for stage in stages]
    for name in [*force, *([until] if until else [])]:
        if name not in known:
            raise TandemError(f"unknown stage {name!r}; the stages are, in order: {', '.join(known)}")
    ran: list[str] = []
    prints: dict[str, str] = {}
    wanted = stages[: known.index(until) + 1] if until else stages
    for place, stage in enumerate(wanted):
        prints[stage.name] = _fingerprint(workspace, stage, prints)
        record = workspace / "stages" / f"{stage.name}.json"
        if stage.name not in force and _is_done(record, prints[stage.name], stage.outputs(workspace)):
            console.print(f"[dim]{stage.name}: done before, nothing changed[/dim]")
        else:
            if not ran:
                _check(workspace, wanted[place:])
            # First, so that a run that is killed here does not leave what reads this stage standing as done.
            for dependant in _dependants(stage.name, stages):
                (workspace / "stages" / f"{dependant}.json").unlink(missing_ok=True)
            _run(workspace, stage, record, prints[stage.name])
            ran.append(stage.name)
    return ran


def finished_inputs(workspace: Workspace, stages: tuple[Stage, ...], name: str) -> dict[str, str]:
    """Fingerprints of the stages that `name` reads, directly or through others, in order.

    Raises:
        TandemError: naming those that are not done for this configuration and these files of the shop.
    """
    prints: dict[str, str] = {}
    missing = []
    inputs = _inputs(name, stages)
    for stage in stages:
        if stage.name not in inputs:
            continue
        prints[stage.name] = _fingerprint(workspace, stage, prints)
        record = workspace / "stages" / f"{stage.name}.json"
        if not _is_done(record, prints[stage.name], stage.outputs(workspace)):
            missing.append(stage.name)
    if missing:
        raise TandemError(
            f"{workspace.root}: {', '.join(missing)} not done for this config and source; run `tandem run --config "
            f"CONFIG --until {missing[-1]}` first, with the same --source"
        )
    return prints


def _inputs(name: str, stages: tuple[Stage, ...]) -> set[str]:
    """The stages that `name` reads, directly or through others."""
    reached: set[str] = {name}
    for stage in reversed(stages):
        if stage.name in reached:
            reached |= set(stage.after)
    return reached - {name}


def _dependants(name: str, stages: tuple[Stage, ...]) -> list[str]:
    """The stages that read `name`, directly or through others, in order."""
    reached = {name}
    for stage in stages:
        if reached & set(stage.after):
            reached.add(stage.name)
    return [stage.name for stage in stages if stage.name in reached - {name}]


def _check(workspace: Workspace, stages: tuple[Stage, ...]) -> None:
    """Raise what would stop one of the stages, before the first of them takes hours."""
    for stage in stages:
        if stage.check is not None:
            stage.check(workspace)


def _run(workspace: Workspace, stage: Stage, record: Path, fingerprint: str) -> None:
    console.print(f"[bold]{stage.name}[/bold]")
    record.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        stage.run(workspace)
    except TandemError:
        raise
    except Exception as error:
        if is_refused(error):
            raise TandemError(
                f"{stage.name}: {in_words(error)}. What was finished is kept; mend the file or its folder, or give "
                "another `workspace`, `models_dir` or source, and run again"
            ) from error
        if not disk_is_full(error):
            raise
        free = shutil.disk_usage(workspace.root).free
        raise TandemError(
            f"{stage.name}: the disk that holds {workspace.root} or {workspace.config.models_dir} is full "
            f"({free / 1e6:,.0f} MB free in the first): {error}. What was finished is kept; make room and run again"
        ) from error
    missing = [str(path) for path in stage.outputs(workspace) if not path.exists()]
    if missing:
        raise TandemError(f"stage {stage.name} ended without writing {', '.join(missing)}")
    seconds = round(time.monotonic() - started, 1)
    write_json(record, {"fingerprint": fingerprint, "seconds": seconds, "finished_at": int(time.time())})
    console.print(f"{stage.name}: {seconds} s")


def _is_done(record: Path, fingerprint: str, outputs: list[Path]) -> bool:
    if not record.exists() or not all(path.exists() for path in outputs):
        return False
    return bool(read_json(record).get("fingerprint") == fingerprint)


def _fingerprint(workspace: Workspace, stage: Stage, prints: dict[str, str]) -> str:
    parts = {
        "stage": stage.name,
        "tandem": version("tandem-search"),
        "settings": stage.settings(workspace.config),
        "after": {name: prints[name] for name in stage.after},
        "source": None if stage.after else _file_states(workspace),
    }
    text = json.dumps(parts, sort_keys=True, default=lambda value: value.model_dump(mode="json"))
    return hashlib.sha256(text.encode()).hexdigest()


def _file_states(workspace: Workspace) -> list[tuple[str, int, int]]:
    """Name, size and modification time (ns) of every file the shop brings, sorted by name; none of the run's own."""
    path = workspace.config.source.path
    if path is None or not path.exists():
        return []
    own = {os.path.realpath(folder) for folder in (workspace.root, workspace.config.models_dir)}
    files = [path] if path.is_file() else sorted(_files_under(path, own))
    # A link that leads nowhere, such as an editor's lock, is no file of the shop.
    states = [(str(file), file.stat()) for file in files if file.exists()]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def _files_under(folder: Path, left_out: set[str]) -> Iterator[Path]:
    """Every file in a folder and in those it links to, but for folders with a real path in `left_out`.

    A folder that several names lead to is gone through once, under the first of them; the others stand for themselves.
    """
    visited: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        real = os.path.realpath(place)
        if real in left_out or real in visited:
            folders.clear()
            if real in visited:
                yield Path(place)
            continue
        visited.add(real)
        yield from (Path(place) / name for name in names)
