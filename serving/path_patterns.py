"""Paths that TensorFlow takes for a pattern of names when it looks for a model's variables, and so finds none."""

from pathlib import Path

SIGNS = ("[", "\\")
NAMED = " or ".join(SIGNS)


def is_pattern(path: Path) -> bool:
    """Whether a sign of a pattern is in the path. `*` and `?` match themselves, so they do no harm."""
    return any(sign in str(path) for sign in SIGNS)
