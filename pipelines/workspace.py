"""One run's folder: where each stage reads and writes, and which stages are done."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from catalog.errors import ArtifactError, TandemError
from catalog.files import disk_is_full, read_json, write_json
from catalog.progress import console
from pipelines.config import PipelineConfig
from pipelines.fingerprints import code_digest, file_states, output_digests, revision
from pipelines.folders import check_writable, in_words, is_refused
from pipelines.ownership import check_own


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
        ConfigError: if it cannot be made, or a run would write among or over files that are not its own.
    """
    root = config.workspace or Path("runs") / config.name
    check_own(root, config)
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
        after: every stage whose results it reads itself.
        settings: picks the part of the configuration that its result depends on.
        outputs: files and folders that exist when it has finished: all that later stages read, and nothing that
            tells one run from another, such as a time, where that can be.
        check: raises or says what would stop it, and can be known before the stages that it reads have run.
        module: the full name of the module that does the work; its result depends on what is written there.
        forget: removes what the work would keep of an earlier run; called where a finished stage is forced.
    """

    name: str
    run: Callable[[Workspace], None]
    after: tuple[str, ...]
    settings: Callable[[PipelineConfig], Any]
    outputs: Callable[[Workspace], list[Path]]
    check: Callable[[Workspace], None] | None = None
    module: str = ""
    forget: Callable[[Workspace], None] | None = None


def run_stages(workspace: Workspace, stages: tuple[Stage, ...], until: str | None, force: set[str]) -> list[str]:
    """Run what is not yet done, in order.

    A stage is done when its record holds the fingerprint of its inputs (its settings, its code, what the stages that it
    reads have written, the shop's files) and its outputs exist. A stage that runs again and writes the same bytes as
    before leaves those that read it done. Records are written last, so a killed run goes on where it was, also one that
    was forced.

    Returns:
        The names of the stages that ran.
    """
    known = [stage.name for stage in stages]
    for name in [*force, *([until] if until else [])]:
        if name not in known:
            raise TandemError(f"unknown stage {name!r}; the stages are, in order: {', '.join(known)}")
    ran: list[str] = []
    states: dict[str, str] = {}
    wanted = stages[: known.index(until) + 1] if until else stages
    for place, stage in enumerate(wanted):
        fingerprint = _fingerprint(workspace, stage, states)
        if stage.name not in force and _is_finished(workspace, stage, fingerprint):
            console.print(f"[dim]{stage.name}: done before, nothing changed[/dim]")
        else:
            if not ran:
                _check(workspace, wanted[place:])
            if stage.name in force and stage.forget is not None and _record(workspace, stage.name).exists():
                stage.forget(workspace)
            _run(workspace, stage, fingerprint, [other.name for other in stages if stage.name in other.after])
            ran.append(stage.name)
        states[stage.name] = _state(workspace, stage, fingerprint)
    return ran


def finished_inputs(workspace: Workspace, stages: tuple[Stage, ...], name: str) -> dict[str, str]:
    """What the results of the stages that `name` itself reads are known by, in order.

    Raises:
        TandemError: naming those that are not done for this configuration and these files of the shop, and those that
            these read.
    """
    states, missing = _states(workspace, stages, _inputs(name, stages))
    if missing:
        raise TandemError(
            f"{workspace.root}: {', '.join(missing)} not done for this config, source and version of Tandem; run "
            f"`tandem run --config CONFIG --until {missing[-1]}` first, with the same --source"
        )
    read = next(stage.after for stage in stages if stage.name == name)
    return {stage: state for stage, state in states.items() if stage in read}


def is_finished(workspace: Workspace, stages: tuple[Stage, ...], name: str) -> bool:
    """Whether `name` and the stages that it reads are done for this configuration, code and files of the shop."""
    return not _states(workspace, stages, _inputs(name, stages) | {name})[1]


def stage_revisions(workspace: Workspace) -> dict[str, str]:
    """The commit whose code ran each finished stage, by its name; "" where it is not known."""
    records = sorted((workspace / "stages").glob("*.json"))
    return {record.stem: read_json(record).get("revision", "") for record in records}


def _states(workspace: Workspace, stages: tuple[Stage, ...], names: set[str]) -> tuple[dict[str, str], list[str]]:
    """What the results of these stages are known by, and which of the stages are not done, both in order."""
    states: dict[str, str] = {}
    missing = []
    for stage in stages:
        if stage.name not in names:
            continue
        fingerprint = _fingerprint(workspace, stage, states)
        if _is_finished(workspace, stage, fingerprint):
            states[stage.name] = _state(workspace, stage, fingerprint)
        else:
            states[stage.name] = fingerprint
            missing.append(stage.name)
    return states, missing


def _inputs(name: str, stages: tuple[Stage, ...]) -> set[str]:
    """The stages that `name` reads, directly or through others."""
    reached: set[str] = {name}
    for stage in reversed(stages):
        if stage.name in reached:
            reached |= set(stage.after)
    return reached - {name}


def _check(workspace: Workspace, stages: tuple[Stage, ...]) -> None:
    """Raise what would stop one of the stages, before the first of them takes hours."""
    for stage in stages:
        if stage.check is not None:
            stage.check(workspace)


def _run(workspace: Workspace, stage: Stage, fingerprint: str, readers: list[str]) -> None:
    console.print(f"[bold]{stage.name}[/bold]")
    record = _record(workspace, stage.name)
    record.unlink(missing_ok=True)
    started = time.monotonic()
    try:
        stage.run(workspace)
    except ArtifactError as error:
        read = ", ".join(stage.after)
        raise ArtifactError(
            f"{error}. `tandem run --force STAGE` runs one again that is done; {stage.name} reads {read}"
        ) from error
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
    digests = output_digests(workspace.root, stage.outputs(workspace))
    if not digests:  # nothing tells whether what reads this stage still stands
        for reader in readers:
            _record(workspace, reader).unlink(missing_ok=True)
    finished = {"seconds": seconds, "finished_at": int(time.time()), "revision": revision(), "outputs": digests}
    write_json(record, {"fingerprint": fingerprint, **finished})
    console.print(f"{stage.name}: {seconds} s")


def _is_finished(workspace: Workspace, stage: Stage, fingerprint: str) -> bool:
    written = [workspace / name for name in _recorded(workspace, stage)]
    return _is_done(_record(workspace, stage.name), fingerprint, [*stage.outputs(workspace), *written])


def _is_done(record: Path, fingerprint: str, outputs: list[Path]) -> bool:
    if not record.exists() or not all(path.exists() for path in outputs):
        return False
    return bool(read_json(record).get("fingerprint") == fingerprint)


def _fingerprint(workspace: Workspace, stage: Stage, states: dict[str, str]) -> str:
    config = workspace.config
    own = (workspace.root, config.models_dir)
    parts = {
        "stage": stage.name,
        "code": code_digest(stage.module) if stage.module else "",
        "settings": stage.settings(config),
        "after": {name: states[name] for name in stage.after},
        "source": None if stage.after else file_states(config.source.path, own),
    }
    return _digest(parts)


def _state(workspace: Workspace, stage: Stage, fingerprint: str) -> str:
    """What the stages that read `stage` know its result by: its files if they are digested, else its fingerprint."""
    outputs = _recorded(workspace, stage)
    return _digest(outputs) if outputs else fingerprint


def _recorded(workspace: Workspace, stage: Stage) -> dict[str, str]:
    """Digests of the files that a finished stage has written; none where its record is of before they were kept."""
    record = _record(workspace, stage.name)
    outputs: dict[str, str] = read_json(record).get("outputs", {}) if record.exists() else {}
    return outputs


def _record(workspace: Workspace, name: str) -> Path:
    return workspace / "stages" / f"{name}.json"


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=lambda section: section.decisive())
    return hashlib.sha256(text.encode()).hexdigest()
