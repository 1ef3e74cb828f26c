"""Queries nobody typed: a few words of a product's own text."""

import json
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

_MOST_PHRASES = 5
_CORE_WEIGHT, _TITLE_WEIGHT = 3.0, 1.0
_SHUFFLED_SHARE = 0.5
_LONG_PHRASE = 4  # words; a longer attribute value is prose, and single words are taken from it
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF), (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)  # fmt: skip
_UNSPACED_LENGTHS = (2, 4)  # most words of Chinese and Japanese have two to four characters


class PseudoQueries:
    """Draws queries from products' texts: attribute values, category and brand more often than words of the title.

    A value of several words ("Navy Blue") stays together. Scripts without spaces give runs of 2 to 4 characters.

    Args:
        products: columns title, brand, category (a path "A > B") and attributes (a JSON object) as lists of strings.
    """

    def __init__(self, products: Mapping[str, Sequence[str]]) -> None:
        self._phrases = [
            _phrases(title, brand, category, attributes)
            for title, brand, category, attributes in zip(
                *(products[name] for name in ("title", "brand", "category", "attributes")), strict=True
            )
        ]

    def draw(self, row: int, random: Random) -> str:
        """1 to 5 phrases of the product in that row, in the order of its text or any other; "" if it has none."""
        core, title = self._phrases[row]
        phrases = core + title
        if not phrases:
            return ""
        weights = [_CORE_WEIGHT] * len(core) + [_TITLE_WEIGHT] * len(title)
        # Weighted draw without replacement (Efraimidis and Spirakis 2006): the largest u^(1/w) win.
        keys = [random.random() ** (1.0 / weight) for weight in weights]
        count = random.randint(1, min(_MOST_PHRASES, len(phrases)))
        chosen = sorted(sorted(range(len(phrases)), key=keys.__getitem__, reverse=True)[:count])
        if random.random() < _SHUFFLED_SHARE:
            random.shuffle(chosen)
        return " ".join(_part(phrases[index], random) for index in chosen)


def _phrases(title: str, brand: str, category: str, attributes: str) -> tuple[list[str], list[str]]:
    core = [part.strip() for part in category.split(">")] + [brand.strip()]
    for value in json.loads(attributes or "{}").values():
        for phrase in _values(value):
            words = phrase.split()
            core += words if len(words) > _LONG_PHRASE else [phrase]
    return [phrase for phrase in dict.fromkeys(core) if phrase], title.split()


def _values(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [phrase for inner in value.values() for phrase in _values(inner)]
    if isinstance(value, list):
        return [phrase for inner in value for phrase in _values(inner)]
    return [] if value is None or isinstance(value, bool) else [str(value)]


def _part(phrase: str, random: Random) -> str:
    shortest, longest = _UNSPACED_LENGTHS
    if len(phrase) <= longest or not any(low <= ord(letter) <= high for letter in phrase for low, high in _UNSPACED):
        return phrase
    length = random.randint(shortest, longest)
    start = random.randrange(len(phrase) - length + 1)
    return phrase[start : start + length]
