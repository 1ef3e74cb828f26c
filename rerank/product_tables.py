"""The product side of the features: words, values, tokens and counters of every product, looked up by row.

Row N of every table is the absent product: no words, no values, zeros.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow_text

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from rerank.behaviour import ProductFacts, behaviour_features, log_price, served_facts
from rerank.config import LexicalConfig, RerankConfig
from rerank.lexical import clean_text, hash_phrases, inverse_document_frequency, unspaced_share
from rerank.product_words import absent_row, distinct, find_unspaced_words, map_text, read_words, word_ids
from rerank.translations import translations

Ints = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

CATEGORY_KEYS = ("category_top", "category_second", "category_leaf", "brand")
_FEW_VALUES = 20  # so many distinct values are no identifier even where every product has its own
NO_HASH = np.iinfo(np.int64).max  # an empty vocabulary holds this one entry, which no word hashes to


@dataclass(frozen=True)
class Segment:
    """Words of one part of a product: distinct vocabulary ids [N + 1, W], 0 for none."""

    name: str
    words: Ints


@dataclass(frozen=True)
class ProductTables:
    """Everything `FeatureExtractor` looks up.

    segments: title, attributes, long. word_*: the vocabulary, `word_hash` rising; ids count from 1, place 0 is no word.
    name_idf: the idf from which a word is a name, see `LexicalConfig.named_products`.
    unspaced_words: what texts in scripts without spaces are cut into, see `split_words`.
    values: [N + 1, A] ids of the values of `keys`, 0 for none. value_hash rises; value_stands_for [Vv + 1] is the id
    that a value goes by, its translation's or its own, and value_keys [Vv + 1] has bit a set where the value or its
    translation occurs under key a. tokens: [N + 1, T] SentencePiece ids + 1, 0 for none.
    """

    keys: tuple[str, ...]
    segments: tuple[Segment, ...]
    word_hash: Hashes
    word_idf: Floats
    word_bits: Hashes
    name_idf: float
    unspaced_words: tuple[str, ...]
    values: Ints
    value_hash: Hashes
    value_stands_for: Ints
    value_keys: Ints
    tokens: Ints
    token_idf: Floats
    unspaced: Floats
    log_price: Floats
    facts: ProductFacts


def choose_keys(shop: ShopData, config: LexicalConfig) -> tuple[str, ...]:
    """The keys compared value by value: category levels, brand, and the most widely filled attributes."""
    filled: Counter[str] = Counter()
    distinct: dict[str, set[str]] = {}
    for attributes in _attributes(shop):
        for key, value in attributes.items():
            if text := first_value(value):
                filled[key] += 1
                distinct.setdefault(key, set()).add(text)
    usable = [key for key in filled if len(distinct[key]) <= min(config.max_values, max(filled[key] // 2, _FEW_VALUES))]
    chosen = sorted(usable, key=lambda key: (-filled[key], key))[: config.attribute_keys]
    return (*CATEGORY_KEYS, *(f"attributes.{key}" for key in chosen))


def build_tables(
    shop: ShopData, features: FeatureStore, tokenizer: Path, keys: tuple[str, ...], config: LexicalConfig
) -> ProductTables:
    """Read the catalogue once: words, values and tokens of every product by the functions that read queries.

    How rare a word is, is counted over the products launched before the reranker's slice ended.
    """
    texts, known = _texts(shop), known_products(features)
    limits = _limits(config)
    unspaced_words = find_unspaced_words(texts["attributes"], config.unspaced_words)
    spelling: dict[int, int] = {}
    hashes = _read_words(texts, limits, unspaced_words, spelling)
    word_hash = np.array(sorted(spelling) or [NO_HASH], dtype=np.int64)
    word_bits = np.array([0, *(spelling.get(word, 0) for word in word_hash.tolist())], dtype=np.int64)
    ids, counts = word_ids(hashes, word_hash, known)
    idf = np.concatenate([[0.0], inverse_document_frequency(counts, int(known.sum()))]).astype(np.float32)
    segments = (Segment(name, distinct(part, limits[name])) for name, part in zip(limits, ids, strict=True))
    values = _value_table(shop, keys, unspaced_words, np.concatenate([hashes[0], hashes[2]], axis=1))
    tokens, token_idf = _token_table(tokenizer, texts, config.product_tokens, known)
    return ProductTables(
        keys=keys,
        segments=tuple(segments),
        word_hash=word_hash,
        word_idf=idf,
        word_bits=word_bits,
        name_idf=float(inverse_document_frequency(np.array([config.named_products]), int(known.sum()))[0]),
        unspaced_words=unspaced_words,
        values=values.values,
        value_hash=values.hashes,
        value_stands_for=values.stands_for,
        value_keys=values.keys,
        tokens=tokens,
        token_idf=token_idf,
        unspaced=absent_row(map_text(texts["title"], lambda text: unspaced_share(clean_text(text)))),
        log_price=absent_row(log_price(_numbers(shop, "price")).astype(np.float32)),
        facts=product_facts(shop, features),
    )


def read_short_words(shop: ShopData, config: LexicalConfig) -> tuple[Hashes, tuple[str, ...]]:
    """[N, W] hashes of the words of every product's title, brand, category and attributes, 0 for none, repeated ones as
    they come; and the words that texts in scripts without spaces are cut into."""
    texts, limits = _texts(shop), _limits(config)
    short = {name: texts[name] for name in ("title", "attributes")}
    unspaced = find_unspaced_words(texts["attributes"], config.unspaced_words)
    return np.concatenate(_read_words(short, limits, unspaced, {}), axis=1), unspaced


def _read_words(
    texts: dict[str, list[str]], limits: dict[str, int], unspaced: tuple[str, ...], spelling: dict[int, int]
) -> list[Hashes]:
    # Twice as many words are read as are kept, since repeated ones are dropped.
    return [read_words(column, 2 * limits[name], unspaced, spelling) for name, column in texts.items()]


def _limits(config: LexicalConfig) -> dict[str, int]:
    return {"title": config.title_words, "attributes": config.attribute_words, "long": config.long_words}


def known_products(features: FeatureStore) -> npt.NDArray[np.bool_]:
    """[N] the products that the reranker may learn words and looks from: launched before its slice ended."""
    known = features.launched < features.slices.rerank[1]
    return known if known.any() else np.ones_like(known)


def met_products(features: FeatureStore, day: int) -> npt.NDArray[np.bool_]:
    """[N + 1] the products that anybody had met before the day, in any event, impressions too; the absent one is."""
    return np.append(np.asarray(features.snapshots[day]).any(1), True)


def product_facts(shop: ShopData, features: FeatureStore) -> ProductFacts:
    """The catalogue's columns that behaviour features read."""
    products = shop.products
    _, category = np.unique(np.asarray(products["category"].to_pylist(), dtype=str), return_inverse=True)
    return ProductFacts(
        category=category.astype(np.int32),
        price=_numbers(shop, "price"),
        rating_average=_numbers(shop, "rating_average"),
        rating_count=np.asarray(products["rating_count"].to_numpy(), dtype=np.int64),
        launched=np.asarray(features.launched, dtype=np.int32),
        has_picture=np.asarray(products["image_row"].to_numpy()) >= 0,
        has_description=np.asarray([bool(text) for text in products["description"].to_pylist()]),
    )


def served_behaviour_table(tables: ProductTables, features: FeatureStore, day: int, config: RerankConfig) -> Floats:
    """Behaviour features of one day, [N + 1, F], with few events made up for: how few people met a product is a reason
    to be cautious in training, and none to hide what is new."""
    counters = tuple(features.snapshot_features)
    facts, snapshot = served_facts(tables.facts, counters, features.snapshots[day], day, config.behaviour)
    return absent_row(behaviour_features(facts, counters, snapshot, day))


def behaviour_table(tables: ProductTables, features: FeatureStore, days: Sequence[int]) -> Floats:
    """Behaviour features of several days, [len(days) * (N + 1), F]: day slot s of row r is at s * (N + 1) + r."""
    counters = tuple(features.snapshot_features)
    return np.concatenate(
        [absent_row(behaviour_features(tables.facts, counters, features.snapshots[day], day)) for day in days]
    )


def first_value(value: Any) -> str:
    """One attribute value as text: the first of a list, "" for null."""
    if isinstance(value, list):
        return first_value(value[0]) if value else ""
    return "" if value is None or isinstance(value, dict) else str(value).strip()


def _attributes(shop: ShopData) -> Iterator[dict[str, Any]]:
    for text in shop.products["attributes"].to_pylist():
        yield json.loads(text) if text else {}


def _flatten(key: str, value: Any) -> str:
    """All words of an attribute: its values, or its name where the value is true."""
    if value is True:
        return key
    if isinstance(value, list):
        return " ".join(_flatten(key, item) for item in value)
    if isinstance(value, dict):
        return " ".join(_flatten(name, item) for name, item in value.items())
    return "" if value is None or value is False else str(value)


def _text_column(shop: ShopData, name: str) -> list[str]:
    return [str(text) for text in shop.products[name].to_pylist()]


def _texts(shop: ShopData) -> dict[str, list[str]]:
    column = {name: _text_column(shop, name) for name in ("title", "brand", "category", "description", "review_text")}
    values = [" ".join(_flatten(key, value) for key, value in item.items()) for item in _attributes(shop)]
    return {
        "title": column["title"],
        "attributes": [
            f"{brand} {category} {value}"
            for brand, category, value in zip(column["brand"], column["category"], values, strict=True)
        ],
        "long": [f"{text} {review}" for text, review in zip(column["description"], column["review_text"], strict=True)],
    }


class _ValueTable(NamedTuple):
    """See `ProductTables`."""

    values: Ints
    hashes: Hashes
    stands_for: Ints
    keys: Ints


def _value_table(shop: ShopData, keys: tuple[str, ...], unspaced: tuple[str, ...], words: Hashes) -> _ValueTable:
    """Values of every product; those that `words`, [N, W] of titles and long texts, show to be translations are one."""
    spelt, place = np.unique(np.asarray(_value_texts(shop, keys), dtype=str).ravel(), return_inverse=True)
    phrases = map_text(spelt.tolist(), lambda text: hash_phrases(clean_text(text), unspaced))
    share = map_text(spelt.tolist(), lambda text: unspaced_share(clean_text(text)))
    hashes = phrases[place].reshape(-1, len(keys))
    vocabulary = np.unique(hashes[hashes > 0])
    if not len(vocabulary):
        vocabulary = np.array([NO_HASH])

    def ids(wanted: Hashes) -> Ints:
        found = np.minimum(np.searchsorted(vocabulary, wanted), len(vocabulary) - 1)
        return np.where(vocabulary[found] == wanted, found + 1, 0).astype(np.int32)

    values = ids(hashes)
    without_spaces = np.zeros(len(vocabulary) + 1, dtype=bool)
    without_spaces[ids(phrases)] = share > 0.5
    occurs = np.zeros(len(vocabulary) + 1, dtype=np.int32)
    for bit in range(len(keys)):
        occurs[np.unique(values[:, bit])] |= 1 << bit
    occurs[0] = 0
    stands_for = translations(values, ids(words), occurs, without_spaces)
    np.bitwise_or.at(occurs, stands_for, occurs.copy())
    return _ValueTable(absent_row(stands_for[values]), vocabulary, stands_for, occurs)


def _value_texts(shop: ShopData, keys: tuple[str, ...]) -> list[list[str]]:
    names = [key.removeprefix("attributes.") for key in keys[len(CATEGORY_KEYS) :]]
    rows = []
    for path, brand, attributes in zip(
        _text_column(shop, "category"), _text_column(shop, "brand"), _attributes(shop), strict=True
    ):
        levels = [level.strip() for level in path.split(">")]
        second = levels[1] if len(levels) > 1 else ""
        rows.append([levels[0], second, levels[-1], brand, *(first_value(attributes.get(name)) for name in names)])
    return rows


def _token_table(
    tokenizer: Path, texts: dict[str, list[str]], limit: int, known: npt.NDArray[np.bool_]
) -> tuple[Ints, Floats]:
    splitter = tensorflow_text.SentencepieceTokenizer(model=tokenizer.read_bytes())
    size = int(splitter.vocab_size().numpy())
    column = [f"{title} {rest}" for title, rest in zip(texts["title"], texts["attributes"], strict=True)]
    ids = map_text(column, lambda text: splitter.tokenize(clean_text(text)).to_tensor(-1, shape=[None, 2 * limit]) + 1)
    kept = distinct(ids.astype(np.int32), limit)
    counts = np.bincount(kept[:-1][known].ravel(), minlength=size + 1)
    idf = inverse_document_frequency(counts.astype(np.int64), int(known.sum()))
    idf[0] = 0.0
    return kept, idf


def _numbers(shop: ShopData, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(shop.products[name].to_numpy(zero_copy_only=False), dtype=np.float64)
