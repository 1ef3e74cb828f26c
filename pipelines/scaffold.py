"""`tandem init`: a folder to start from, with a commented config and an example of each table."""

import re
import shlex
import sys
from pathlib import Path

import yaml
from rich.markup import escape

from catalog.errors import DataError
from catalog.files import atomic_path
from catalog.ingest import write_examples
from catalog.progress import console

_TEMPLATE = Path(__file__).parent / "configs" / "template.yaml"


def run_name(folder: Path) -> str:
    """The folder's name as a run may be called: lower case letters, digits, - and _."""
    return re.sub(r"[^a-z0-9_-]+", "-", folder.resolve().name.lower()).strip("-_") or "shop"


def scaffold(folder: Path) -> None:
    """Write shop.yaml and raw/ into a new or empty folder.

    Raises:
        DataError: when the folder holds something already; nothing is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not an empty folder; give a new one, so that nothing of yours is overwritten")
    folder.mkdir(parents=True, exist_ok=True)
    write_examples(folder / "raw")
    text = _TEMPLATE.read_text(encoding="utf-8").replace("{{NAME}}", run_name(folder))
    for placeholder, inside in (("{{RAW}}", "raw"), ("{{RUN}}", "run"), ("{{MODELS}}", "saved_models")):
        text = text.replace(placeholder, _quoted(str(folder / inside)))
    with atomic_path(folder / "shop.yaml") as temporary:
        temporary.write_text(text, encoding="utf-8")
    raw, tables, config = (shlex.quote(str(folder / name)) for name in ("raw", "tables", "shop.yaml"))
    console.print(
        escape(
            f"{folder}: shop.yaml and example tables in raw/. Put your own files there, then:\n"
            f"  tandem ingest {raw} {tables}\n"
            f"  tandem run --config {config}"
        )
    )


def _quoted(text: str) -> str:
    """The text as YAML reads it back, whatever it holds."""
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=sys.maxsize).strip()
