"""Products that are made up: attributes drawn first, then titles and descriptions in two languages and a picture.

Some attributes show only in the picture (the pattern mostly, the colour often), some only in the text (brand, material,
usage), some in both. Relevance is judged on all of them.
"""

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from catalog.progress import track
from catalog.simulation.render import render_picture
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.vocabulary import (
    ADJECTIVES,
    AUDIENCES,
    BRANDS,
    COLOURS,
    DEPARTMENTS,
    MATERIALS,
    PATTERNS,
    TYPES,
    USAGES,
    ProductType,
    Words,
)

KEYS = ("gender", "colour", "pattern", "material", "usage", "brand")

VALUE_WORDS: dict[str, dict[str, Words]] = {
    "gender": AUDIENCES,
    "colour": {name: words for name, (words, _) in COLOURS.items()},
    "pattern": PATTERNS,
    "material": MATERIALS,
    "usage": USAGES,
    "brand": {name: Words((name,), (name,)) for name in BRANDS},
}
"""Surface forms of every attribute value, by key and canonical value."""

_COLOUR_WEIGHTS = np.array([16, 11, 9, 10, 7, 5, 5, 8, 10, 8, 4, 6, 6], float)
_PATTERN_WEIGHTS = np.array([40, 15, 11, 13, 13, 8], float)
_COLOUR_IN_TEXT, _PATTERN_IN_TEXT = 0.65, 0.35
_BROKEN_PICTURES = 3


@dataclass(frozen=True)
class MadeUpProduct:
    """What is true of one product, whether or not its text or picture shows it.

    Attributes:
        kind: index into TYPES.
        values: canonical value of each key of KEYS; "" where the type has none.
        shown: for each key, "text", "picture" or "both"; "" where there is no value.
        languages: "en", "zh" or both.
        picture: "drawn", "missing" or "broken".
    """

    kind: int
    values: dict[str, str]
    shown: dict[str, str]
    languages: tuple[str, ...]
    picture: str


def category_path(kind: ProductType) -> str:
    """The category column of a type: both languages at each level."""
    return f"{kind.department} {DEPARTMENTS[kind.department]} > {kind.label} {kind.words.zh[0]}"


def make_catalogue(config: SimulateConfig, random: np.random.Generator) -> tuple[pa.Table, list[MadeUpProduct]]:
    """Make up `config.products` products.

    Returns:
        The products table without price, dates, ratings, reviews and stock, and what is true of each row.
    """
    products = _draw_products(config, random)
    columns: dict[str, list[object]] = {
        name: [] for name in ("product_id", "title", "description", "category", "brand", "attributes", "image")
    }
    for number, product in enumerate(track(products, "making products up")):
        kind = TYPES[product.kind]
        columns["product_id"].append(f"p{number:0{max(5, len(str(config.products)))}d}")
        columns["title"].append(_title(product, random))
        missing = random.random() < config.missing_description_share
        columns["description"].append(None if missing else _description(product, random))
        columns["category"].append(category_path(kind))
        columns["brand"].append(product.values["brand"])
        columns["attributes"].append(_attributes(product))
        columns["image"].append(_picture(product, config.picture_pixels, random))
    table = pa.table({name: pa.array(cells, _COLUMN_TYPES.get(name, pa.string())) for name, cells in columns.items()})
    return table, products


_COLUMN_TYPES = {"image": pa.binary()}


def _draw_products(config: SimulateConfig, random: np.random.Generator) -> list[MadeUpProduct]:
    size = config.products
    weights = random.permutation(1.0 / np.arange(3, 3 + len(TYPES)) ** 0.6)
    kinds = random.choice(len(TYPES), size, p=weights / weights.sum())
    homes = [random.choice(list(DEPARTMENTS), 2, replace=False).tolist() for _ in BRANDS]
    sellers = {
        name: [brand for brand, home in zip(BRANDS, homes, strict=True) if name in home] or list(BRANDS)
        for name in DEPARTMENTS
    }
    pictures = np.where(random.random(size) < config.missing_picture_share, "missing", "drawn").astype("U8")
    pictures[random.choice(size, min(_BROKEN_PICTURES, size // 100), replace=False)] = "broken"
    return [
        _draw_product(int(kind), str(picture), sellers, config, random)
        for kind, picture in zip(kinds, pictures, strict=True)
    ]


def _draw_product(
    kind: int, picture: str, sellers: dict[str, list[str]], config: SimulateConfig, random: np.random.Generator
) -> MadeUpProduct:
    about = TYPES[kind]
    brands = sellers[about.department]
    fame = 1.0 / np.arange(1, len(brands) + 1) ** 0.7
    values = {
        "gender": _pick(about.audience, random) if about.audience else "",
        "colour": str(random.choice(list(COLOURS), p=_COLOUR_WEIGHTS / _COLOUR_WEIGHTS.sum())),
        "pattern": str(random.choice(list(PATTERNS), p=_PATTERN_WEIGHTS / _PATTERN_WEIGHTS.sum())),
        "material": _pick(about.materials, random),
        "usage": _pick(about.usages, random),
        "brand": str(random.choice(brands, p=fame / fame.sum())),
    }
    shown = {key: "text" if value else "" for key, value in values.items()}
    if picture == "drawn":
        shown["colour"] = "both" if random.random() < _COLOUR_IN_TEXT else "picture"
        shown["pattern"] = "both" if random.random() < _PATTERN_IN_TEXT else "picture"
    languages: tuple[str, ...] = config.languages
    if len(languages) > 1 and random.random() >= config.bilingual_share:
        languages = (_pick(languages, random),)
    return MadeUpProduct(kind, values, shown, languages, picture)


def _pick(items: tuple[str, ...], random: np.random.Generator) -> str:
    return items[int(random.integers(len(items)))]


def _say(key: str, value: str, language: str, random: np.random.Generator, usual: float = 0.75) -> str:
    """One surface form of a value, the usual one with probability `usual`."""
    return _form(VALUE_WORDS[key][value], language, random, usual)


def _form(words: Words, language: str, random: np.random.Generator, usual: float) -> str:
    forms = words.en if language == "en" else words.zh
    return forms[0] if random.random() < usual else _pick(forms, random)


_ENGLISH_ORDERS = (
    ("usage", "gender", "pattern", "colour", "material"),
    ("gender", "colour", "pattern", "material", "usage"),
)


def _title(product: MadeUpProduct, random: np.random.Generator) -> str:
    spoken = _spoken(
        product, random, {"gender": 0.6, "colour": 0.85, "pattern": 0.8, "material": 0.5, "usage": 0.3, "brand": 0.8}
    )
    adjective = ADJECTIVES[int(random.integers(len(ADJECTIVES)))] if random.random() < 0.7 else ("", "")
    titles = []
    for language in product.languages:
        said = {key: _say(key, product.values[key], language, random) for key in spoken}
        kind = _form(TYPES[product.kind].words, language, random, 0.7)
        if language == "zh":
            parts = [said.get(key, "") for key in ("brand", "material", "pattern", "colour", "usage", "gender")]
            titles.append(parts[0] + adjective[1] + "".join(parts[1:]) + kind)
            continue
        order = _ENGLISH_ORDERS[int(random.integers(2))]
        middle = [said[key] for key in order if key in said]
        words = [said.get("brand", ""), adjective[0], *middle, kind]
        titles.append(" ".join(word if word[:1].isupper() else word.capitalize() for word in words if word))
    return " | ".join(titles)


def _spoken(product: MadeUpProduct, random: np.random.Generator, chances: dict[str, float]) -> list[str]:
    return [
        key for key, chance in chances.items() if product.shown[key] in ("text", "both") and random.random() < chance
    ]


_SENTENCES = {
    "en": {
        "material": "Made of {}.", "usage": "A good choice for {}.", "colour": "Comes in {}.",
        "pattern": "With a {} design.", "gender": "Designed for {}.",
    },
    "zh": {
        "material": "采用{}材质。", "usage": "适合{}使用。", "colour": "颜色为{}。", "pattern": "{}设计。",
        "gender": "适合{}。",
    },
}  # fmt: skip
_OPENINGS = {
    "en": (
        "The {brand} {kind} is made to last.",
        "Meet the new {kind} from {brand}.",
        "{brand} brings you this {kind}.",
    ),
    "zh": ("{brand}{kind}，经久耐用。", "{brand}全新{kind}。", "{brand}为您带来这款{kind}。"),
}
_CLOSINGS = {
    "en": ("Easy to clean.", "Free returns within 30 days.", "Makes a lovely gift.", "Carefully packed."),
    "zh": ("易于清洁。", "支持三十天退换。", "送礼佳品。", "包装精美。"),
}


def _description(product: MadeUpProduct, random: np.random.Generator) -> str:
    spoken = _spoken(product, random, {"material": 0.7, "usage": 0.7, "colour": 0.4, "pattern": 0.5, "gender": 0.4})
    texts = []
    for language in product.languages:
        kind = _form(TYPES[product.kind].words, language, random, 0.6)
        sentences = [_pick(_OPENINGS[language], random).format(brand=product.values["brand"], kind=kind)]
        for key in spoken:
            sentences.append(_SENTENCES[language][key].format(_say(key, product.values[key], language, random, 0.6)))
        sentences.append(_pick(_CLOSINGS[language], random))
        texts.append((" " if language == "en" else "").join(sentences))
    return " ".join(texts)


def _attributes(product: MadeUpProduct) -> str:
    """The attributes column: what the text shows, in the product's first language; the brand has its own column."""
    language = product.languages[0]
    cells = {}
    for key in KEYS:
        if key != "brand" and product.shown[key] in ("text", "both"):
            words = VALUE_WORDS[key][product.values[key]]
            cells[key] = (words.en if language == "en" else words.zh)[0]
    return json.dumps(cells, ensure_ascii=False, sort_keys=True)


def _picture(product: MadeUpProduct, pixels: int, random: np.random.Generator) -> bytes | None:
    if product.picture == "missing":
        return None
    drawn = render_picture(
        TYPES[product.kind].silhouette, product.values["colour"], product.values["pattern"], pixels, random
    )
    return drawn[: len(drawn) // 3] if product.picture == "broken" else drawn
