"""Products that a shopper cannot tell apart by name: groups of rows that share a title."""

import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def normalised(title: str) -> str:
    """The title without what nobody sees: NFKC, case folded, runs of blanks as one."""
    return " ".join(unicodedata.normalize("NFKC", title).casefold().split())


def title_groups(titles: Sequence[str]) -> npt.NDArray[np.int32]:
    """Group number of each product, [N] int32, counted from 0 in the order of the first of each group.

    Products whose normalised titles are equal share a group; one without a title has a group of its own.
    """
    number_of: dict[str | int, int] = {}
    names = [normalised(title) or row for row, title in enumerate(titles)]
    return np.array([number_of.setdefault(name, len(number_of)) for name in names], np.int32)


def repeated_share(groups: npt.NDArray[np.int32]) -> float:
    """Share of the products that share their title with another."""
    if not len(groups):
        return 0.0
    sizes = np.bincount(groups)
    return float(sizes[sizes > 1].sum() / len(groups))
