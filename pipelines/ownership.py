"""Whether a folder is a run's own to replace: it holds no other files, and no run of another shop."""

import os
from pathlib import Path
from typing import Any

from rich.markup import escape

from catalog.errors import ArtifactError, ConfigError
from catalog.files import read_json
from catalog.progress import console
from pipelines.config import PipelineConfig

_REPLACED = (
    "tables", "truth", "features", "images", "towers", "index", "candidates", "rerank", "stages", "projector", "tune",
)  # fmt: skip
_NAMED = 3


def check_own(root: Path, config: PipelineConfig) -> None:
    """Refuse a workspace whose run would write among or over files that are not its own.

    Args:
        root: the workspace. config: of the run.

    Raises:
        ConfigError: naming the files or the folders, and the setting to change.
    """
    if config.source.path is not None:
        _check_source(root, config.models_dir, config.source.path)
    if root.is_dir():
        _check_contents(root)
        _check_shop(root, config)


def holds_run(folder: Path) -> bool:
    """Whether a folder is the workspace of a run, also of one that was killed in its first stage."""
    return any((folder / "stages").glob("*.json")) or _recorded_config(folder) is not None


def _check_source(root: Path, models_dir: Path, source: Path) -> None:
    """Refuse folders of a run that are the shop's own, or that hold it where a stage replaces what is in them."""
    for setting, folder in (("workspace", root), ("models_dir", models_dir)):
        if _is_same(folder, source) and source.is_dir():
            raise ConfigError(
                f"{setting}: {folder} is the folder of source.path, and a run would write its own files among the "
                f"shop's; give another `{setting}`"
            )
    real = Path(os.path.realpath(source))
    for folder in (root / name for name in _REPLACED):
        if real.is_relative_to(os.path.realpath(folder)):
            raise ConfigError(
                f"source.path: {source} lies in {folder}, which a run replaces; move it elsewhere, or give "
                "another `workspace`"
            )


def _check_contents(root: Path) -> None:
    """Refuse a folder with files in it and no run."""
    if not holds_run(root) and (found := sorted(item.name for item in root.iterdir() if item.name[0] != ".")):
        more = f" and {len(found) - _NAMED:,} more" if len(found) > _NAMED else ""
        raise ConfigError(
            f"workspace: {root} holds {', '.join(found[:_NAMED])}{more} and no run; expected a new folder, an empty "
            "one or that of an earlier run, for a run replaces what is in it; give another `workspace`"
        )


def _check_shop(root: Path, config: PipelineConfig) -> None:
    """Refuse the workspace of another shop, of other files that are still there and with releases elsewhere.

    Other files alone may be those of another day; they are told.
    """
    recorded = _recorded_config(root)
    if recorded is None or not (root / "stages" / "source.json").exists():
        return
    read, source = recorded["source"].get("path"), config.source.path
    if read is None or source is None or _is_same(read, source) or not Path(read).exists():
        return
    models = recorded["models_dir"]
    if not _is_same(models, config.models_dir):
        raise ConfigError(
            f"workspace: {root} holds a run of {read} with releases in {models}, and this config names {source} and "
            f"{config.models_dir}. For another shop give another `workspace`; if this one has moved, delete {root}"
        )
    console.print(
        f"[yellow]{escape(str(root))} holds a run of {escape(read)}, and this config names {escape(str(source))}: its "
        "results take the place of the former's. If that is another shop, give each a `workspace` and a `models_dir` "
        "of its own[/yellow]"
    )


def _is_same(one: str | Path, other: str | Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _recorded_config(folder: Path) -> dict[str, Any] | None:
    """The config of the last run in a folder; None where no run has written one."""
    try:
        found = read_json(folder / "config.json")
    except ArtifactError:
        return None
    return found if isinstance(found, dict) and {"name", "models_dir", "source", "towers"} <= set(found) else None
