from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from catalog.errors import ArtifactError
from catalog.files import write_npy
from catalog.schema import product_texts
from towers.config import TowersConfig
from towers.tables import GraphTables, ProductTables, Vocabulary, known_products, make_tables, make_vocabulary
from towers.text import Tokenizer, train_tokenizer


@pytest.fixture(scope="module")
def tokenizer(toy) -> Tokenizer:
    return Tokenizer(train_tokenizer(product_texts(toy.shop.products), 400))


@pytest.fixture(scope="module")
def vocabulary(toy, tokenizer: Tokenizer, config: TowersConfig) -> Vocabulary:
    return make_vocabulary(toy.shop, toy.features, toy.images_dir, tokenizer, config)


@pytest.fixture(scope="module")
def tables(toy, tokenizer: Tokenizer, vocabulary: Vocabulary) -> ProductTables:
    return make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, vocabulary)


def test_the_vocabulary_fits_the_shop(toy, vocabulary: Vocabulary) -> None:
    assert vocabulary.categories == tuple(sorted({f"Things > {name}" for name in ("shirt", "shoe", "watch", "手机壳")}))
    assert vocabulary.id_buckets == 64  # 48 products
    assert vocabulary.image_dim == 12
    assert vocabulary.product_tokens == 16
    assert vocabulary.counters == toy.features.snapshot_features


def test_it_does_not_look_at_products_launched_later(toy, tokenizer: Tokenizer, config: TowersConfig) -> None:
    changed = toy.features.launched.copy()
    hidden = np.flatnonzero(np.array(toy.shop.products["category"].to_pylist()) == "Things > watch")
    changed[hidden] = 11
    vocabulary = make_vocabulary(toy.shop, replace(toy.features, launched=changed), toy.images_dir, tokenizer, config)
    assert "Things > watch" not in vocabulary.categories
    assert "Things > watch" not in vocabulary.category_prices


def test_products_of_several_chunks_stay_in_them(toy) -> None:
    halves = [toy.shop.products.slice(0, 20), toy.shop.products.slice(20)]
    shop = replace(toy.shop, products=pa.concat_tables(halves))
    known = known_products(shop, toy.features)
    launched = np.flatnonzero(toy.features.launched < toy.features.slices.towers[1])
    assert known["product_id"].num_chunks == 2
    assert known["product_id"].to_pylist() == [f"p{row:04d}" for row in launched]
    assert 0 < len(launched) < 48


def test_rows_follow_the_products_and_the_last_one_is_absent(
    toy, tables: ProductTables, vocabulary: Vocabulary
) -> None:
    n = toy.shop.products.num_rows
    assert tables.n_products == n
    assert all(len(table) == n + 1 for name, table in vars(tables).items() if name != "images")
    assert tables.category[n] == 0
    assert tables.image_row[n] == len(toy.shop.images)
    assert (tables.tokens[n] == 0).all()
    row = int(np.flatnonzero(toy.shop.products["image_row"].to_numpy() < 0)[0])
    assert tables.image_row[row] == len(toy.shop.images)
    assert (tables.images[-1] == 0).all()
    category = toy.shop.products["category"][row].as_py()
    assert vocabulary.categories[tables.category[row] - 1] == category
    assert tables.category_price[row] == pytest.approx(vocabulary.category_prices[category])


def test_the_graph_gathers_what_the_tables_hold(toy, tables: ProductTables) -> None:
    graph = GraphTables(tables, dim=4)
    rows, days = tf.constant([3, 0]), tf.constant([5, 2])
    inputs = graph.product(rows, days, tf.zeros((2, 18)))
    np.testing.assert_array_equal(inputs["tokens"], tables.tokens[[3, 0]])
    np.testing.assert_array_equal(inputs["image_present"], tables.image_row[[3, 0]] < len(toy.shop.images))
    np.testing.assert_array_equal(inputs["age_days"], [5 - tables.launched[3], 2 - tables.launched[0]])
    graph.content.assign(np.arange(49 * 4).reshape(49, 4))
    assert graph.history(tf.constant([[2]]))["contents"].numpy().tolist() == [[[8, 9, 10, 11]]]


def test_a_shop_without_pictures(make_toy, tokenizer: Tokenizer, config: TowersConfig) -> None:
    toy = make_toy(pictures=False)
    vocabulary = make_vocabulary(toy.shop, toy.features, toy.images_dir, tokenizer, config)
    tables = make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, vocabulary)
    assert tables.images.shape == (1, 12)
    assert not GraphTables(tables, 4).has_image(tf.constant(tables.image_row)).numpy().any()
    nowhere = make_vocabulary(toy.shop, toy.features, Path("/nowhere"), tokenizer, config)
    assert nowhere.image_dim == 1


def test_parts_that_do_not_belong_together_are_named(
    toy, tokenizer: Tokenizer, vocabulary: Vocabulary, tmp_path: Path
) -> None:
    write_npy(tmp_path / "embeddings.npy", np.zeros((3, 12), np.float16))
    with pytest.raises(ArtifactError, match=r"3 embeddings for \d+ pictures"):
        make_tables(toy.shop, toy.features, tmp_path, tokenizer, vocabulary)
    with pytest.raises(ArtifactError, match="size 12, these towers read 99"):
        make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, replace(vocabulary, image_dim=99))
    with pytest.raises(ArtifactError, match="counters"):
        make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, replace(vocabulary, counters=("click_7d",)))
    fewer = replace(toy.shop, products=toy.shop.products.slice(0, 7))
    with pytest.raises(ArtifactError, match="48 products, the shop's table has 7"):
        make_tables(fewer, toy.features, toy.images_dir, tokenizer, vocabulary)
