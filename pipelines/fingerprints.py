"""What a stage's result is told by: the shop's files, the files that earlier stages wrote, and the code that ran."""

import ast
import hashlib
import os
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from catalog.files import fingerprint

_ROOT = Path(__file__).parent.parent
_PACKAGES = ("catalog", "towers", "rerank", "evaluation", "serving", "pipelines", "benchmarks")
_WITHOUT_EFFECT = ("pipelines.workspace", "pipelines.config", "catalog.config", "catalog.errors", "catalog.progress")
"""Modules that decide when a stage runs and what the terminal shows. Settings count by their values."""


def file_states(path: Path | None, own: Iterable[Path]) -> list[tuple[str, int, int]]:
    """Name inside `path`, size and modification time (ns) of every file the shop brings, sorted by name.

    Args:
        path: the shop's folder or file, None for none.
        own: folders that a run writes to; what is in them is none of the shop's.
    """
    if path is None or not path.exists():
        return []
    left_out = {os.path.realpath(folder) for folder in own}
    files = [path] if path.is_file() else sorted(_files_under(path, left_out))
    # A link that leads nowhere, such as an editor's lock, is no file of the shop.
    states = [(file.relative_to(path).as_posix(), file.stat()) for file in files if file.exists()]
    return [(name, state.st_size, state.st_mtime_ns) for name, state in states]


def output_digests(root: Path, outputs: Iterable[Path]) -> dict[str, str]:
    """SHA-256 in hex of every file among `outputs` and in the folders among them, by its name inside `root`.

    Those that lie outside of `root` are left out: the shop's own files, and releases.
    """
    inside = [path for path in outputs if path.is_relative_to(root)]
    files = {file for path in inside for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()}
    return {file.relative_to(root).as_posix(): fingerprint(file) for file in sorted(files)}


@cache
def code_digest(module: str, root: Path = _ROOT) -> str:
    """SHA-256 in hex of what a module and all that it imports of Tandem, at any depth, do.

    Comments, docstrings and layout do not count, and nor does `_WITHOUT_EFFECT`.

    Args:
        module: its full name. root: the folder that holds the packages.
    """
    met: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in met and name not in _WITHOUT_EFFECT and _file(name, root) is not None:
            met.add(name)
            waiting += _read(name, root)[1]
    text = "".join(f"{name} {_read(name, root)[0]}\n" for name in sorted(met))
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def revision() -> str:
    """The checkout's commit, "" where Tandem runs from an installed package."""
    command = ["git", "-C", str(_ROOT), "rev-parse", "HEAD"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return result.stdout.strip() if result.returncode == 0 else ""


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


def _file(module: str, root: Path) -> Path | None:
    """The source of a module of Tandem; None for any other name."""
    parts = module.split(".")
    if parts[0] not in _PACKAGES:
        return None
    folder = root.joinpath(*parts)
    return next((path for path in (folder.with_suffix(".py"), folder / "__init__.py") if path.is_file()), None)


@cache
def _read(module: str, root: Path) -> tuple[str, tuple[str, ...]]:
    """A digest of what the source says, and every name in it that may be a module, its own packages among them."""
    path = _file(module, root)
    assert path is not None
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [module.rsplit(".", 1)[0]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            node.body = [statement for statement in node.body if not _is_bare_string(statement)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), tuple(names)


def _is_bare_string(statement: ast.stmt) -> bool:
    """Whether a statement is a docstring, or stands as one under a constant."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
