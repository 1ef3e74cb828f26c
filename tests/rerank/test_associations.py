"""What is chosen after a word, counted by hand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from made_up_shop import make_products, make_shop, train_tokenizer

from catalog.errors import ArtifactError
from rerank.associations import AssociationReader, Associations, fit_associations
from rerank.config import LexicalConfig
from rerank.lexical import hash_words, spelling_bits
from rerank.product_tables import ProductTables, build_tables

KEYS = ("category_top", "category_second", "category_leaf", "brand")
CATEGORIES = ["Dresses", "Dresses", "Watches", "Tops"]
LEAF = KEYS.index("category_leaf")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> ProductTables:
    shop = make_shop(make_products(["One", "Two", "Three", "Four"], {"category": CATEGORIES}))
    features = SimpleNamespace(launched=np.zeros(4, np.int32), slices=SimpleNamespace(rerank=(1, 2)))
    tokenizer = train_tokenizer(tmp_path_factory.mktemp("tokens") / "model", CATEGORIES * 9, 60)
    return build_tables(shop, features, tokenizer, KEYS, LexicalConfig())  # type: ignore[arg-type]


def searches(pairs: list[tuple[str, int]], later: list[tuple[str, int]] = ()) -> SimpleNamespace:  # type: ignore[assignment]
    """A log in which each query was followed by the choice of a product; `later` ones after the towers' slice."""
    queries = sorted({query for query, _ in [*pairs, *later]})
    return SimpleNamespace(
        queries=np.array(queries, object),
        example_query=np.array([queries.index(query) for query, _ in [*pairs, *later]], np.int32),
        example_product=np.array([product for _, product in [*pairs, *later]], np.int32),
        example_slice=np.array([0] * len(pairs) + [1] * len(later), np.int8),
    )


def fit(log: SimpleNamespace, tables: ProductTables, **settings: int) -> Associations:
    return fit_associations(log, tables, LexicalConfig(**settings))  # type: ignore[arg-type]


def read(associations: Associations, tables: ProductTables, *words: str, unknown: str = "") -> np.ndarray:
    """[N, 2 A + 1] for one query."""
    hashes = hash_words(tf.constant([list(words)]))
    columns = tf.constant(associations.columns(tables)[None, :4])
    return AssociationReader(associations)(hashes, spelling_bits(tf.constant([[unknown]])), columns).numpy()[0]


LOG = [("gown", 0)] * 6 + [("gown", 1)] * 4 + [("clock", 2)] * 8 + [("blue clock", 3)] * 2


def test_a_value_chosen_more_often_with_a_word_is_lifted(tables: ProductTables) -> None:
    # 20 choices: 10 dresses, 8 watches, 2 tops. P = (10.5, 8.5, 2.5, 0.5 for the rest) / 22.
    # After "gown": 10 of 10 were dresses, drawn to P by 10 choices: (10 + 10 x 10.5/22) / 20.
    found = read(fit(searches(LOG), tables), tables, "gown")
    share = np.array([10.5, 8.5, 2.5]) / 22
    dress = np.log((10 + 10 * share[0]) / 20 / share[0])
    watch, top = np.log(10 * share[1:] / 20 / share[1:])
    np.testing.assert_allclose(found[:, LEAF], [dress, dress, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(found[:, len(KEYS) + LEAF], [0, 0, watch, top], rtol=1e-5)
    # category_top says the same as the leaf here; there is no brand and no second level.
    np.testing.assert_allclose(found[:, -1], np.array([dress, dress, watch, top]) * 2, rtol=1e-5)


def test_of_several_words_the_highest_and_the_lowest_count(tables: ProductTables) -> None:
    associations = fit(searches(LOG), tables)
    gown, clock = (read(associations, tables, word) for word in ("gown", "clock"))
    both = read(associations, tables, "gown", "clock")
    np.testing.assert_allclose(both[:, :4], np.maximum(gown, clock)[:, :4], rtol=1e-5)
    np.testing.assert_allclose(both[:, 4:8], np.minimum(gown, clock)[:, 4:8], rtol=1e-5)
    np.testing.assert_allclose(both[:, 8], (gown + clock)[:, 8], rtol=1e-5)


def test_a_word_with_too_few_choices_says_nothing(tables: ProductTables) -> None:
    associations = fit(searches(LOG), tables)
    assert len(associations.word_hash) == 2  # "blue" was followed by two choices
    assert not read(associations, tables, "blue").any()
    assert not read(associations, tables, "").any()


def test_an_unknown_word_counts_as_the_one_spelt_most_alike(tables: ProductTables) -> None:
    associations = fit(searches(LOG), tables)
    right, wrong = read(associations, tables, "clock"), read(associations, tables, "", unknown="clokc")
    ratio = wrong[2, LEAF] / right[2, LEAF]
    assert 0.5 <= ratio < 1
    np.testing.assert_allclose(wrong, right * ratio, rtol=1e-5)
    assert not read(associations, tables, "", unknown="zebra").any()


def test_a_known_word_is_not_counted_twice(tables: ProductTables) -> None:
    associations = fit(searches(LOG), tables)
    np.testing.assert_array_equal(
        read(associations, tables, "clock", unknown="clock"), read(associations, tables, "clock")
    )


def test_what_happens_after_the_towers_slice_changes_nothing(tables: ProductTables) -> None:
    before, after = fit(searches(LOG), tables), fit(searches(LOG, [("gown", 3)] * 50), tables)
    np.testing.assert_array_equal(before.lift, after.lift)
    np.testing.assert_array_equal(before.word_hash, after.word_hash)


def test_rare_values_share_a_column(tables: ProductTables) -> None:
    # Two columns of a value's own: dresses as category_top and as category_leaf.
    associations = fit(searches(LOG), tables, association_values=2)
    columns = associations.columns(tables)
    assert columns[0, LEAF] == columns[1, LEAF]
    assert columns[2, LEAF] == columns[3, LEAF] != columns[0, LEAF]
    assert not columns[4].any()  # the absent product
    assert not columns[:, KEYS.index("brand")].any()


def test_a_shop_without_searches(tables: ProductTables) -> None:
    associations = fit(searches([]), tables)
    assert len(associations.word_hash) == 0
    assert not read(associations, tables, "gown", unknown="gwon").any()


def test_saved_and_loaded(tables: ProductTables, tmp_path: Path) -> None:
    associations = fit(searches(LOG), tables)
    associations.save(tmp_path / "a.npz")
    loaded = Associations.load(tmp_path / "a.npz")
    for name, value in vars(associations).items():
        np.testing.assert_array_equal(getattr(loaded, name), value)
    (tmp_path / "a.npz").write_bytes(b"PK broken")
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        Associations.load(tmp_path / "a.npz")
