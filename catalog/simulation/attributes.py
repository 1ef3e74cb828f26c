"""What products are, as queries may ask for it: types, attribute values, and how far two values are apart."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.simulation.everyday_words import NEAR

Codes = npt.NDArray[np.int16]

AUDIENCE_KEYS = ("gender", "audience")
LOOK_KEYS = ("colour", "color", "base_colour", "base_color", "pattern")
MAJOR_KEYS = (*AUDIENCE_KEYS, *LOOK_KEYS, "brand")
"""A mismatch here costs two grades; in any other key, one."""

ASKED = {**dict.fromkeys(AUDIENCE_KEYS, 0.75), **dict.fromkeys(LOOK_KEYS, 0.6), "pattern": 0.45, "usage": 0.35,
         "brand": 0.3, "material": 0.3, "season": 0.06}  # fmt: skip
"""How often a shopper's wish includes a key; other keys 0.1."""

_UNKNOWN = ("", "na", "n/a", "none", "null", "nan")
_MAX_VALUES = 80
_MIN_BRAND_PRODUCTS = 8


@dataclass(frozen=True)
class Attributes:
    """The constraints a query can make, as codes.

    Attributes:
        types: name of each type, the leaf of its category path.
        parents: name of each parent category.
        type_parent: [types] int16, the parent of each type.
        type: [products] int16.
        keys: constraint keys.
        values: for each key its values.
        codes: for each key [products] int16, -1 where the product has none.
    """

    types: list[str]
    parents: list[str]
    type_parent: Codes
    type: Codes
    keys: list[str]
    values: dict[str, list[str]]
    codes: dict[str, Codes]

    def distance(self, key: str) -> npt.NDArray[np.uint8]:
        """[values, values + 1] grades lost when a query asks for the row and the product has the column.

        0 the same, 1 near, then 2 for a major key and 1 for a minor one. The last column is "unknown", code -1: 1.
        """
        names = self.values[key]
        far = 2 if key in MAJOR_KEYS else 1
        table = np.full((len(names), len(names) + 1), far, np.uint8)
        if len(names) <= _MAX_VALUES:
            for row, asked in enumerate(names):
                table[row, [column for column, other in enumerate(names) if is_near(key, asked, other)]] = 1
        np.fill_diagonal(table, 0)
        table[:, -1] = 1
        return table


def is_near(key: str, asked: str, other: str) -> bool:
    """Whether shoppers take one value for the other: listed in NEAR, or, for looks, one holds the other's words."""
    one, two = asked.lower(), other.lower()
    if frozenset((one, two)) in NEAR:
        return True
    if key not in LOOK_KEYS:
        return False
    first, second = set(one.split()), set(two.split())
    return first < second or second < first


def encode(categories: Sequence[str], attributes: Mapping[str, Sequence[str]]) -> Attributes:
    """Number the types and attribute values of a catalogue.

    Args:
        categories: [products] category paths "A > B > C"; "" counts as a type of its own.
        attributes: for each key the [products] values, "" where there is none.
    """
    paths = [[part.strip() for part in path.split(">")] for path in categories]
    leaves = [path[-1] for path in paths]
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for path in paths:
        votes[path[-1]][" > ".join(path[:-1])] += 1
    types = sorted(votes)
    type_of = {name: number for number, name in enumerate(types)}
    parent_names = [max(sorted(votes[name]), key=votes[name].__getitem__) for name in types]
    parents = sorted(set(parent_names))
    values, codes = {}, {}
    for key in sorted(attributes):
        cleaned = ["" if value.strip().lower() in _UNKNOWN else value.strip() for value in attributes[key]]
        names = sorted(set(cleaned) - {""})
        few = 2 <= len(names) <= _MAX_VALUES or key == "brand"
        if not few or all(re.fullmatch(r"[\d.]+", name) for name in names):
            continue
        number_of = {name: number for number, name in enumerate(names)}
        values[key] = names
        codes[key] = np.array([number_of.get(value, -1) for value in cleaned], np.int16)
    return Attributes(
        types=types,
        parents=parents,
        type_parent=np.array([parents.index(name) for name in parent_names], np.int16),
        type=np.array([type_of[leaf] for leaf in leaves], np.int16),
        keys=list(values),
        values=values,
        codes=codes,
    )


def read_attributes(
    cells: Sequence[str | None], titles: Sequence[str], brands: Sequence[str | None]
) -> dict[str, list[str]]:
    """Columns out of a catalogue's JSON attributes, plus `brand` from its column or the first words of the titles."""
    rows = [json.loads(cell) if cell else {} for cell in cells]
    keys = sorted({key for row in rows for key in row})
    table = {key: [_text(row.get(key)) for row in rows] for key in keys}
    values = {word.lower().rstrip("s") for column in table.values() for value in set(column) for word in value.split()}
    guessed = guess_brands(titles, values)
    table["brand"] = [(brand or guess).lower() for brand, guess in zip(brands, guessed, strict=True)]
    return table


def _text(value: object) -> str:
    return "" if value is None or isinstance(value, dict | list) else str(value)


def guess_brands(titles: Sequence[str], stop: set[str]) -> list[str]:
    """The brand-like beginning of each title in lower case, "" where fewer than eight titles share it.

    A beginning grows by a word while four fifths of its titles share that word and the word is no attribute value.

    Args:
        titles: product titles.
        stop: lower-case words (without a plural s) that end a brand: attribute values.
    """
    words = [title.lower().split() for title in titles]
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for row, title in enumerate(words):
        if title and title[0].rstrip("s") not in stop:
            groups[(title[0],)].append(row)
    brands = [""] * len(titles)
    queue = sorted(groups.items())
    while queue:
        beginning, rows = queue.pop()
        if len(rows) < _MIN_BRAND_PRODUCTS:
            continue
        size = len(beginning)
        following = Counter(words[row][size] for row in rows if len(words[row]) > size)
        word, count = max(following.items(), key=lambda item: (item[1], item[0]), default=("", 0))
        plain = word.replace("'s", "").rstrip("s")
        if count >= 0.8 * len(rows) and plain not in stop and size < 4:
            queue.append(((*beginning, word), [row for row in rows if words[row][size : size + 1] == [word]]))
            continue
        for row in rows:
            brands[row] = " ".join(beginning)
    return brands
