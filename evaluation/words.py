"""Text into the words that lexical matching counts: stemmed English, unspaced scripts as characters and pairs."""

import re
import unicodedata
from collections.abc import Iterable

import Stemmer

# Scripts written without spaces: Han, kana, Hangul syllables excepted (Korean has spaces).
_UNSPACED = "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_PIECES = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:'[^\W\d_{_UNSPACED}]+)?")
_HYPHENATED = re.compile(r"(?<=\b[a-z])-(?=[a-z])")


def split_words(text: str) -> list[str]:
    """Words as BM25 counts them, before stemming.

    NFKC and lower case; runs of letters and digits are words, one-letter prefixes join what they are hyphenated with
    ("T-shirt" is "tshirt"); a run of an unspaced script gives each character and each pair of neighbours.
    """
    normal = _HYPHENATED.sub("", unicodedata.normalize("NFKC", text).lower().replace("’", "'"))
    words: list[str] = []
    for piece in _PIECES.findall(normal):
        if re.match(f"[{_UNSPACED}]", piece):
            words.extend(piece)
            words.extend(piece[i : i + 2] for i in range(len(piece) - 1))
        else:
            words.append(piece)
    return words


class Analyzer:
    """Split texts into stemmed words.

    Args:
        language: a Snowball language; its stemmer leaves words of other scripts alone. None does not stem.
    """

    def __init__(self, language: str | None = "english") -> None:
        self.language = language
        self._stemmer = Stemmer.Stemmer(language) if language else None

    def __call__(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, in order."""
        split = [split_words(text) for text in texts]
        return split if self._stemmer is None else [self._stemmer.stemWords(words) for words in split]


class RememberingAnalyzer(Analyzer):
    """The same for texts that are read again and again: each is split once."""

    def __init__(self, language: str | None = "english") -> None:
        super().__init__(language)
        self._known: dict[str, list[str]] = {}

    def __call__(self, texts: Iterable[str]) -> list[list[str]]:
        """The words of each text, in order."""
        asked = list(texts)
        new = list(dict.fromkeys(text for text in asked if text not in self._known))
        self._known |= zip(new, super().__call__(new), strict=True)
        return [self._known[text] for text in asked]
