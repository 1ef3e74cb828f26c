"""How every benchmark ends: a line of JSON, kept in a file if that is asked for."""

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.files import write_json
from evaluation.provenance import describe_machine, package_versions


def commit(folder: Path = Path(__file__).parent) -> str | None:
    """The commit that `folder` is at, "-dirty" behind it where code differs; None outside of a clone or without git."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/results")
        return git("rev-parse", "--short", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


_COMMIT = commit()  # as the benchmark begins: what is committed while it runs is not what it measures


def add_out(parser: argparse.ArgumentParser) -> None:
    """The option that names the file."""
    parser.add_argument("--out", type=Path, help="keeps the JSON in this file")


def finish(benchmark: str, values: Mapping[str, Any], out: Path | None) -> None:
    """Print what was measured, with the machine, the versions and the commit, as the last line; keep it in `out`.

    What cannot be written, for want of space, has been printed.
    """
    about = {"machine": describe_machine(), "versions": package_versions(), "commit": _COMMIT}
    answer = {"benchmark": benchmark, **values, **about}
    print(json.dumps(answer), flush=True)
    if out is not None:
        write_json(out, answer)
