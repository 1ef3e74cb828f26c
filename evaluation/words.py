"""Text into the words that lexical matching counts: stemmed, unspaced scripts as characters and pairs."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

import Stemmer

_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_OTHERS_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF))
"""Code points of other scripts without spaces: Thai, Lao, Burmese, Khmer, kana. Korean has spaces."""
_SYMBOL_MARKS = (range(0x20D0, 0x2100), range(0xFE00, 0xFE10))  # of keycaps and emoji


def _is_mark(character: str) -> bool:
    """Whether it is read with the letter before it: a vowel of Hindi or Thai, an accent that no letter is made with."""
    is_symbol = any(ord(character) in symbols for symbols in _SYMBOL_MARKS)
    return unicodedata.category(character) in ("Mn", "Mc") and not is_symbol


_MARKS = "".join(filter(_is_mark, map(chr, range(0x10000))))
_UNSPACED = _HAN + "".join(
    character
    for first, last in _OTHERS_UNSPACED
    for character in map(chr, range(first, last + 1))
    if character.isalnum() or _is_mark(character)
)
_LETTERS = rf"(?:[^\W_{_UNSPACED}][{_MARKS}]*)+"
_PIECES = re.compile(rf"[{_UNSPACED}]+|{_LETTERS}(?:'(?!\d){_LETTERS})?")
_CHARACTERS = re.compile(rf".[{_MARKS}]*")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_HYPHENATED = re.compile(r"(?<=\b[a-z])-(?=[a-z])")


def split_words(text: str) -> list[str]:
    """Words as BM25 counts them, before stemming.

    NFKC and lower case; runs of letters and digits are words, one-letter prefixes join what they are hyphenated with
    ("T-shirt" is "tshirt"); a run of an unspaced script gives each character and each pair of neighbours. Marks stay
    with the character before them.
    """
    normal = _HYPHENATED.sub("", unicodedata.normalize("NFKC", text).lower().replace("’", "'"))
    words: list[str] = []
    for piece in _PIECES.findall(normal):
        if _IS_UNSPACED.match(piece):
            characters = _CHARACTERS.findall(piece)
            words.extend(characters)
            words.extend(first + second for first, second in pairwise(characters))
        else:
            words.append(piece)
    return words


class Analyzer:
    """Split texts into stemmed words.

    Args:
        language: a Snowball language; its stemmer leaves words of other scripts alone. "" does not stem.
    """

    def __init__(self, language: str = "english") -> None:
        self.language = language
        self._stemmer = Stemmer.Stemmer(language) if language else None

    def __call__(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, in order."""
        split = [split_words(text) for text in texts]
        return split if self._stemmer is None else [self._stemmer.stemWords(words) for words in split]


class RememberingAnalyzer(Analyzer):
    """The same for texts that are read again and again: each is split once."""

    def __init__(self, language: str = "english") -> None:
        super().__init__(language)
        self._known: dict[str, list[str]] = {}

    def __call__(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, in order."""
        asked = list(texts)
        new = list(dict.fromkeys(text for text in asked if text not in self._known))
        self._known |= zip(new, super().__call__(new), strict=True)
        return [self._known[text] for text in asked]
