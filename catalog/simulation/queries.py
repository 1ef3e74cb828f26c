"""How shoppers put a wish into words: wording, specificity, spelling and language. One string, one meaning."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import capwords

import numpy as np
import numpy.typing as npt

from catalog.simulation.appeal import Rows
from catalog.simulation.attributes import Attributes
from catalog.simulation.everyday_words import FILLERS, HOMOPHONES, SYNONYMS
from catalog.simulation.vocabulary import TYPES, Words

_WORDINGS = 8
_WORDING_POWER = 1.4
_SPELLINGS = 3
_BROAD_SHARE = 0.08
_SPECIFICITY = (0.18, 0.34, 0.31, 0.17)
_OTHER_LANGUAGE = 0.04
_LEAD = (
    "brand", "usage", "season", "gender", "audience", "colour", "color", "base_colour", "base_color", "pattern",
    "material",
)  # fmt: skip
"""The usual order of words before the type."""

_CHINESE = re.compile("[\u3400-\u9fff]")


@dataclass(frozen=True)
class Wanted:
    """What searches ask for.

    Attributes:
        scope: [rows] int32, a type, or the number of types plus a parent category.
        values: [rows, keys] int16, the value asked for, -1 for none.
    """

    scope: Rows
    values: npt.NDArray[np.int16]


@dataclass(frozen=True)
class QueryBook:
    """Every distinct query string and its one meaning.

    Attributes:
        texts: the strings.
        wanted: the meaning of each.
        language: [queries] int8, 0 English, 1 Chinese. misspelt: [queries] bool.
    """

    texts: list[str]
    wanted: Wanted
    language: npt.NDArray[np.int8]
    misspelt: npt.NDArray[np.bool_]


class Lexicon:
    """Surface forms of types, parent categories and attribute values in each language.

    Args:
        attributes: the codes to name.
        keys: attribute keys in the column order of `Wanted.values`.
        values: words by key and value; values without an entry are said as they are written, or by SYNONYMS.
    """

    def __init__(self, attributes: Attributes, keys: list[str], values: Mapping[str, Mapping[str, Words]]) -> None:
        made_up = {f"{kind.label} {kind.words.zh[0]}": kind.words for kind in TYPES}
        leaves = [name.split(" > ")[-1] for name in attributes.parents]
        types = [made_up.get(name) or _plain_type(name) for name in attributes.types]
        self.scopes = [*types, *(_bilingual(name) for name in leaves)]
        self.keys = keys
        self.values = [
            [values.get(key, {}).get(name) or _plain(name) for name in attributes.values[key]] for key in keys
        ]


def _plain(name: str) -> Words:
    forms = SYNONYMS.get(name.lower(), (name.lower(),))
    return Words(forms, forms)


def _plain_type(name: str) -> Words:
    """A leaf of a real catalogue: its everyday synonyms, or its singular and plural."""
    word = name.lower()
    if word in SYNONYMS:
        return _plain(name)
    singular = word[:-1] if word.endswith("s") and not word.endswith("ss") else word
    forms = tuple(dict.fromkeys((word, singular)))
    return Words(forms, forms)


def _bilingual(name: str) -> Words:
    """A level of a category path that carries both languages, "Shoes 鞋靴"."""
    chinese = "".join(part for part in name.split() if _CHINESE.search(part))
    english = " ".join(part for part in name.split() if not _CHINESE.search(part)).lower()
    return Words((english or chinese,), (chinese or english,))


def draw_wanted(
    attributes: Attributes, targets: Rows, matters: npt.NDArray[np.bool_], keys: list[str], random: np.random.Generator
) -> Wanted:
    """Say part of a wish: a type (sometimes only its department) and none to three of the attributes that matter.

    Types without a name, in a catalogue without categories, are asked for by what attributes they have.

    Args:
        targets: [rows] the product in mind. matters: [rows, keys] its attributes that matter.
    """
    rows = len(targets)
    kinds = attributes.type[targets].astype(np.int32)
    sizes = np.bincount(attributes.type, minlength=len(attributes.types))
    siblings = np.bincount(attributes.type_parent, sizes >= 20, minlength=len(attributes.parents))
    named = np.array([name != "" for name in attributes.parents])
    parent = attributes.type_parent[kinds].astype(np.int32)
    broad = (random.random(rows) < _BROAD_SHARE) & (siblings[parent] >= 2) & named[parent]
    said = random.choice(len(_SPECIFICITY), rows, p=_SPECIFICITY)
    nameless = np.array([name == "" for name in attributes.types])[kinds]
    said = np.where(nameless, np.maximum(said, 1), said)
    matters = matters | (nameless[:, None] & np.ones(len(keys), bool))
    priority = np.where(matters, random.random((rows, len(keys))), 2.0)
    rank = np.argsort(np.argsort(priority, axis=1, kind="stable"), axis=1, kind="stable")
    codes = np.stack([attributes.codes[key][targets] for key in keys], 1) if keys else np.zeros((rows, 0), np.int16)
    values = np.where(matters & (rank < said[:, None]), codes, -1).astype(np.int16)
    return Wanted(np.where(broad, len(attributes.types) + parent, kinds).astype(np.int32), values)


def write_queries(
    wanted: Wanted,
    language: npt.NDArray[np.int8],
    languages: Sequence[int],
    lexicon: Lexicon,
    misspelt_share: float,
    random: np.random.Generator,
) -> tuple[QueryBook, Rows]:
    """Word every search. Popular wordings are used again; a string keeps the meaning of its most frequent use.

    Args:
        wanted: what each search asks for. language: [searches] language of the shopper.

    Returns:
        The distinct queries, and [searches] the query of each search.
    """
    count = len(wanted.scope)
    if len(languages) > 1:
        language = np.where(random.random(count) < _OTHER_LANGUAGE, 1 - language, language).astype(np.int8)
    weights = 1.0 / np.arange(1, _WORDINGS + 1) ** _WORDING_POWER
    wording = random.choice(_WORDINGS, count, p=weights / weights.sum())
    spelling = np.where(random.random(count) < misspelt_share, random.integers(1, _SPELLINGS + 1, count), 0)
    rows = np.column_stack((wanted.scope, wanted.values, language, wording, spelling)).astype(np.int32)
    distinct, inverse, uses = np.unique(rows, axis=0, return_inverse=True, return_counts=True)
    number_of: dict[str, int] = {}
    owner: list[int] = []
    numbers = np.empty(len(distinct), np.int32)
    for row in np.lexsort((np.arange(len(distinct)), -uses)).tolist():
        text = _write(distinct[row], lexicon, random)
        if text not in number_of:
            number_of[text] = len(owner)
            owner.append(row)
        numbers[row] = number_of[text]
    kept = distinct[owner]
    keys = len(lexicon.keys)
    book = QueryBook(
        texts=list(number_of),
        wanted=Wanted(kept[:, 0].astype(np.int32), kept[:, 1 : 1 + keys].astype(np.int16)),
        language=kept[:, 1 + keys].astype(np.int8),
        misspelt=kept[:, -1] > 0,
    )
    return book, numbers[inverse.ravel()]


def _write(row: npt.NDArray[np.int32], lexicon: Lexicon, random: np.random.Generator) -> str:
    keys = len(lexicon.keys)
    language = "en" if row[1 + keys] == 0 else "zh"
    wording, spelling = int(row[2 + keys]), int(row[3 + keys])
    said = {
        key: _choose(lexicon.values[column][row[1 + column]], language, wording, random)
        for column, key in enumerate(lexicon.keys)
        if row[1 + column] >= 0
    }
    kind = _choose(lexicon.scopes[row[0]], language, wording, random)
    text = _english(said, kind, wording, random) if language == "en" else _chinese(said, kind, wording, random)
    return misspell(text, random) if spelling else text


def _choose(words: Words, language: str, wording: int, random: np.random.Generator) -> str:
    """The usual form in the first wording; later wordings draw, the usual form still as likely as all others."""
    forms = words.en if language == "en" else words.zh
    if wording == 0 or len(forms) == 1 or random.random() < 0.45:
        return forms[0]
    return forms[int(random.integers(1, len(forms)))]


def _ordered(said: Mapping[str, str], wording: int, random: np.random.Generator) -> list[str]:
    keys = sorted(said, key=lambda key: _LEAD.index(key) if key in _LEAD else len(_LEAD))
    if wording >= 3:
        keys = [keys[place] for place in random.permutation(len(keys))]
    return keys


def _english(said: dict[str, str], kind: str, wording: int, random: np.random.Generator) -> str:
    audience = next((key for key in ("gender", "audience") if key in said), None)
    tail = ""
    if audience is not None and wording >= 2 and random.random() < 0.5:
        tail = " for " + said.pop(audience)
    elif "brand" in said and wording >= 4 and random.random() < 0.4:
        tail = " by " + said.pop("brand")
    parts = [said[key] for key in _ordered(said, wording, random)]
    words = [kind, *parts] if wording >= 5 and random.random() < 0.4 else [*parts, kind]
    if wording >= 3 and random.random() < 0.35:
        words.insert(0, FILLERS["en"][int(random.integers(len(FILLERS["en"])))])
    text = " ".join(words) + tail
    if wording == 1 and not tail:
        text = _toggle_plural(text)
    return text if random.random() < 0.93 else capwords(text)


def _toggle_plural(text: str) -> str:
    if not text or text.endswith("ss") or not text[-1].isascii() or not text[-1].isalpha():
        return text
    if text.endswith(("sses", "xes", "ches")):
        return text[:-2]
    if text.endswith("s"):
        return text[:-1]
    return text + ("es" if text.endswith(("x", "ch", "sh")) else "s")


def _chinese(said: dict[str, str], kind: str, wording: int, random: np.random.Generator) -> str:
    parts = [said[key] for key in _ordered(said, wording, random)]
    if wording >= 5 and random.random() < 0.4:
        text = kind + "".join(parts)
    elif parts and wording >= 2 and random.random() < 0.4:
        text = "".join(parts) + "的" + kind
    else:
        text = "".join(parts) + kind
    if wording >= 3 and random.random() < 0.35:
        text = FILLERS["zh"][int(random.integers(len(FILLERS["zh"])))] + text
    return text


def misspell(text: str, random: np.random.Generator) -> str:
    """One slip: in a Latin word of four letters or more a swapped, lost, doubled or neighbouring letter; in Chinese a
    homophone or a lost character. Texts too short to slip in come back as they are.
    """
    words = re.findall(r"[A-Za-z]{4,}", text)
    if words and (not _CHINESE.search(text) or random.random() < 0.5):
        word = words[int(random.integers(len(words)))]
        return text.replace(word, _slip(word, random), 1)
    swapped = [place for place, character in enumerate(text) if ord(character) in HOMOPHONES]
    if swapped and random.random() < 0.75:
        place = swapped[int(random.integers(len(swapped)))]
        return text[:place] + text[place].translate(HOMOPHONES) + text[place + 1 :]
    if len(text) >= 4 and _CHINESE.search(text):
        place = int(random.integers(1, len(text)))
        return text[:place] + text[place + 1 :]
    return text


_NEIGHBOURS = dict(zip("abcdefghijklmnopqrstuvwxyz", "svxfrdhjoklknmiowtarybecux", strict=True))
"""A key beside each letter on the keyboard."""


def _slip(word: str, random: np.random.Generator) -> str:
    place = int(random.integers(1, len(word) - 1))
    slip = int(random.integers(4))
    if slip == 0 and word[place] != word[place + 1]:
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if slip == 1:
        return word[:place] + word[place + 1 :]
    if slip == 2:
        return word[:place] + word[place] + word[place:]
    letter = _NEIGHBOURS[word[place].lower()]
    return word[:place] + letter + word[place + 1 :]
