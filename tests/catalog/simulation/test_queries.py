"""Wording, spelling and meaning of queries."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.simulation.attributes import encode
from catalog.simulation.catalogue import VALUE_WORDS
from catalog.simulation.queries import Lexicon, QueryBook, Wanted, draw_wanted, misspell, write_queries

CATEGORIES = ["Shoes 鞋靴 > Boots 靴子", "Shoes 鞋靴 > Sneakers 运动鞋", "Home 家居 > Mugs 马克杯"] * 40
COLUMNS = {"colour": ["red", "navy", "white"] * 40, "material": ["leather", "mesh", "glass"] * 40}
KEYS = ["colour", "material"]
ATTRIBUTES = encode(CATEGORIES, COLUMNS)


def _book(misspelt: float, language: int, count: int = 3000, seed: int = 0) -> tuple[QueryBook, Wanted, np.ndarray]:
    random = np.random.default_rng(seed)
    targets = random.integers(0, 120, count).astype(np.int32)
    wanted = draw_wanted(ATTRIBUTES, targets, random.random((count, 2)) < 0.7, KEYS, random)
    lexicon = Lexicon(ATTRIBUTES, KEYS, VALUE_WORDS)
    spoken = np.full(count, language, np.int8)
    book, numbers = write_queries(wanted, spoken, [language], lexicon, misspelt, random)
    return book, wanted, numbers


@pytest.mark.parametrize("language", [0, 1])
def test_one_string_one_meaning(language: int) -> None:
    book, wanted, numbers = _book(0.1, language)
    assert len(set(book.texts)) == len(book.texts)
    assert numbers.max() == len(book.texts) - 1
    assert (book.language == language).all()
    same = (book.wanted.values[numbers] == wanted.values).all(1) & (book.wanted.scope[numbers] == wanted.scope)
    assert same.mean() > 0.97


def test_chinese_has_no_spaces_and_varies() -> None:
    book, _, _ = _book(0.0, 1)
    assert not any(" " in text for text in book.texts)
    assert "红色真皮靴子" in book.texts
    assert any("的" in text for text in book.texts)
    assert len(book.texts) > 60


def test_english_varies() -> None:
    book, _, _ = _book(0.0, 0)
    for text in ("red leather boots", "navy mesh sneakers", "mug", "cup"):
        assert text in book.texts
    assert any(text.startswith(("cheap ", "best ", "new ", "buy ")) for text in book.texts)
    assert any("trainers" in text for text in book.texts)
    assert any(text.endswith(" sneaker") for text in book.texts)


def test_popular_queries_are_asked_again() -> None:
    book, _, numbers = _book(0.09, 0)
    counts = np.sort(np.bincount(numbers, minlength=len(book.texts)))[::-1]
    assert counts[: len(counts) // 10].sum() > 0.35 * counts.sum()
    assert 0.05 < book.misspelt[numbers].mean() < 0.12


def test_nothing_that_does_not_matter_is_said() -> None:
    random = np.random.default_rng(0)
    wanted = draw_wanted(ATTRIBUTES, np.arange(120, dtype=np.int32), np.zeros((120, 2), bool), KEYS, random)
    assert (wanted.values == -1).all()


@given(st.text(max_size=30), st.integers(0, 2**32 - 1))
def test_a_slip_changes_at_most_one_character(text: str, seed: int) -> None:
    slipped = misspell(text, np.random.default_rng(seed))
    assert abs(len(slipped) - len(text)) <= 1
    assert bool(slipped) == bool(text)


@pytest.mark.parametrize("text", ["sneakers", "红色连衣裙", "Norvik连衣裙"])
def test_long_enough_words_are_misspelt(text: str) -> None:
    slips = {misspell(text, np.random.default_rng(seed)) for seed in range(40)}
    assert text not in slips
    assert len(slips) > 5 or text == "红色连衣裙"


def test_real_values_are_said_as_shoppers_say_them() -> None:
    attributes = encode(["A > Tshirts", "A > Rain Hats"], {"base_colour": ["Grey", "Lime"]})
    lexicon = Lexicon(attributes, ["base_colour"], {})
    assert lexicon.scopes[0].en == ("rain hats", "rain hat")
    assert lexicon.scopes[1].en[0] == "tshirt"
    assert lexicon.values[0][0].en == ("grey", "gray")
    assert lexicon.values[0][1].en == ("lime",)
