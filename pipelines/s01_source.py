"""Bring the shop's files: a folder as it is, a public data set through its adapter, or products that are made up.

    tandem run --config pipelines/configs/demo.yaml --until source

Writes raw/ (and truth/ where shoppers are simulated). A shop's own folder is read where it lies and never written to;
raw/ is replaced only while it holds nothing but what this stage wrote.
"""

import os
from pathlib import Path

from catalog.errors import ConfigError
from catalog.files import atomic_directory, clear_leftovers, read_json, write_json
from pipelines.workspace import Workspace

_WRITTEN = ".written.json"
_NAMED = 3


def run(workspace: Workspace) -> None:
    """Fill raw/ for the simulated and the public sources; check that the folder exists for the shop's own.

    Raises:
        ConfigError: for settings that do not go together, and where files that are not this stage's would be replaced.
    """
    source, simulation = workspace.config.source, workspace.config.simulate
    if source.kind != "made_up" and source.path is None:
        raise ConfigError(f"source.kind is {source.kind!r} and no path came; give `--source PATH` or `source.path`")
    if source.kind == "made_up" and source.path is not None:
        raise ConfigError(f"source.path: {source.path} would not be read, for source.kind is 'made_up'; remove one")
    if source.kind != "fashion" and source.limit is not None:
        raise ConfigError(f"source.limit: {source.limit} would do nothing for source.kind {source.kind!r}; remove it")
    if source.path is not None and not source.path.exists():
        raise ConfigError(
            f"source.path: {source.path} does not exist; expected the shop's folder or the data set's zip"
        )
    if source.kind == "files":
        if simulation is not None:
            raise ConfigError("simulate: shoppers are not simulated over a shop's own log; remove the section")
        return
    if simulation is None:
        raise ConfigError(f"source.kind {source.kind!r} brings no behaviour log; add a `simulate:` section")
    if source.kind == "made_up" and not simulation.products:
        raise ConfigError("simulate.products is 0 and source.kind 'made_up' brings no catalogue; give a number above 0")
    from catalog.simulate import simulate

    clear_leftovers(workspace.raw)
    _check_own(workspace.raw, source.path)
    with atomic_directory(workspace.raw) as raw:
        if source.kind == "fashion":
            from catalog.sources.fashion import convert

            assert source.path is not None
            convert(source.path, raw, limit=source.limit, seed=source.seed)
        simulate(simulation, raw, workspace / "truth")
        write_json(raw / _WRITTEN, _sizes(raw))


def _check_own(raw: Path, source: Path | None) -> None:
    """Refuse to replace a folder with the source itself in it, or with what this stage did not write."""
    if source is not None and Path(os.path.realpath(source)).is_relative_to(os.path.realpath(raw)):
        raise ConfigError(
            f"source.path: {source} lies in {raw}, which this stage replaces; move it elsewhere, or give the run "
            "another `workspace`"
        )
    listed = raw / _WRITTEN
    written = read_json(listed) if listed.exists() else {}
    foreign = sorted(name for name, size in _sizes(raw).items() if written.get(name) != size)
    if foreign:
        more = f" and {len(foreign) - _NAMED:,} more" if len(foreign) > _NAMED else ""
        raise ConfigError(
            f"{raw} would be replaced, and it holds files that are not known to be this stage's: "
            f"{', '.join(foreign[:_NAMED])}{more}. If they are yours, move them, or give the run another `workspace`; "
            f"if an earlier version of Tandem made them, delete {raw}; then run again"
        )


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of every file, by its name inside the folder; links are not followed."""
    files = [folder] if folder.is_file() else [item for item in folder.rglob("*") if item.name != _WRITTEN]
    return {
        item.relative_to(folder).as_posix(): item.lstat().st_size
        for item in files
        if item.is_symlink() or not item.is_dir()
    }
