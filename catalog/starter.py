"""The example tables that a newcomer gets: what a shop's own files must look like."""

from importlib import resources
from pathlib import Path

from catalog.files import atomic_path


def write_examples(folder: Path) -> None:
    """Write products.csv, events.csv, users.csv, judgments.csv and images/ of a tiny shop into `folder`."""
    for item in sorted((resources.files("catalog") / "examples").iterdir(), key=lambda item: item.name):
        inside = folder / "images" if item.name.endswith((".png", ".jpg")) else folder
        with atomic_path(inside / item.name) as temporary:
            temporary.write_bytes(item.read_bytes())
