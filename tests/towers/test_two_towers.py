"""Both towers on the toy shop's tables, with random weights: what masks, padding and presence must do."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from catalog.schema import product_texts
from towers.config import TowersConfig
from towers.product_tower import PRODUCT_MODALITIES
from towers.query_tower import ProfileEncoder, profile_buckets
from towers.tables import GraphTables, make_tables, make_vocabulary
from towers.text import Tokenizer, train_tokenizer
from towers.two_towers import CatalogueEncoder, TwoTowers, encode_queries

N, H = 48, 8


@pytest.fixture(scope="module")
def towers(toy, config: TowersConfig) -> tuple[TwoTowers, GraphTables]:
    tokenizer = Tokenizer(train_tokenizer(product_texts(toy.shop.products), 400))
    vocabulary = make_vocabulary(toy.shop, toy.features, toy.images_dir, tokenizer, config)
    tables = GraphTables(make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, vocabulary), config.dim)
    tables.content.assign(np.random.default_rng(0).normal(size=(N + 1, config.dim)))
    return TwoTowers(config, vocabulary, tokenizer.vocab_size), tables


def question(**changes: object) -> dict[str, tf.Tensor]:
    values: dict[str, object] = {
        "tokens": np.zeros((1, 8), np.int32),
        "rows": np.full((1, H), N, np.int32),
        "kinds": np.zeros((1, H), np.int32),
        "timestamps": np.zeros((1, H), np.int64),
        "timestamp": np.array([1000], np.int64),
        "profile": np.zeros((1, 2), np.int32),
    }
    return {name: tf.constant(value) for name, value in (values | changes).items()}


def history(rows: list[int], kinds: list[int], timestamps: list[int]) -> dict[str, np.ndarray]:
    return {
        "rows": np.array([rows], np.int32),
        "kinds": np.array([kinds], np.int32),
        "timestamps": np.array([timestamps], np.int64),
    }


def test_a_strangers_empty_query_has_an_answer(towers: tuple[TwoTowers, GraphTables]) -> None:
    vector, weights = encode_queries(*towers, question())
    assert np.linalg.norm(vector.numpy()) == pytest.approx(1.0, abs=1e-5)
    assert (weights.numpy() == 0).all()


def test_each_modality_alone_has_all_the_weight(towers: tuple[TwoTowers, GraphTables]) -> None:
    tokens = np.array([[5, 6, 0, 0, 0, 0, 0, 0]], np.int32)
    past = history([N] * 7 + [3], [0] * 7 + [2], [0] * 7 + [500])
    picture = {"image": np.ones((1, 12), np.float32), "image_present": np.array([True])}
    alone = [
        question(tokens=tokens),
        question(**picture),
        question(**past),
        question(profile=np.array([[0, 4]], np.int32)),
    ]
    for index, inputs in enumerate(alone):
        vector, weights = encode_queries(*towers, inputs)
        assert weights.numpy()[0, index] == pytest.approx(1.0)
        assert np.linalg.norm(vector.numpy()) == pytest.approx(1.0, abs=1e-5)
    everything = question(tokens=tokens, **past, **picture, profile=np.array([[1, 4]], np.int32))
    assert (encode_queries(*towers, everything)[1].numpy() > 0).all()
    masked = encode_queries(*towers, everything, masked=("text", "image", "profile"))[0]
    np.testing.assert_allclose(masked, encode_queries(*towers, question(**past))[0], atol=1e-5)


def test_rows_outside_the_catalogue_are_padding(towers: tuple[TwoTowers, GraphTables]) -> None:
    clean = history([N, N, N, N, N, 1, 2, 3], [0, 0, 0, 0, 0, 2, 3, 2], [0, 0, 0, 0, 0, 100, 200, 900])
    gone = history([N, N, N, N, N, 1, 2, 3], [5, 0, 2, 0, 0, 2, 3, 2], [50, 0, 60, 0, 0, 100, 200, 900])
    negative = history([-1, -1, N + 5, -1, -1, 1, 2, 3], [5, 0, 2, 0, 0, 2, 3, 2], [50, 0, 60, 0, 0, 100, 200, 900])
    expected = encode_queries(*towers, question(**clean))[0]
    for other in (gone, negative):
        np.testing.assert_allclose(encode_queries(*towers, question(**other))[0], expected, atol=1e-5)


def test_a_shorter_window_gives_the_same_answer(towers: tuple[TwoTowers, GraphTables]) -> None:
    full = history([N] * 5 + [1, 2, 3], [0] * 5 + [2, 3, 2], [0] * 5 + [100, 200, 900])
    short = history([1, 2, 3], [2, 3, 2], [100, 200, 900])
    np.testing.assert_allclose(
        encode_queries(*towers, question(**short))[0], encode_queries(*towers, question(**full))[0], atol=1e-5
    )


@pytest.mark.parametrize("off", ["gaps", "kinds"])
def test_what_histories_need_not_read_changes_no_answer(toy, config: TowersConfig, off: str) -> None:
    settings = config.model_copy(update={"history": config.history.model_copy(update={off: False})})
    tokenizer = Tokenizer(train_tokenizer(product_texts(toy.shop.products), 400))
    vocabulary = make_vocabulary(toy.shop, toy.features, toy.images_dir, tokenizer, settings)
    tables = GraphTables(make_tables(toy.shop, toy.features, toy.images_dir, tokenizer, vocabulary), settings.dim)
    towers = TwoTowers(settings, vocabulary, tokenizer.vocab_size), tables
    one = history([N] * 5 + [1, 2, 3], [0] * 5 + [2, 3, 2], [0] * 5 + [100, 200, 900])
    other = {
        "gaps": history([N] * 5 + [1, 2, 3], [0] * 5 + [2, 3, 2], [0] * 5 + [0, 1, 2]),
        "kinds": history([N] * 5 + [1, 2, 3], [0] * 5 + [6, 5, 4], [0] * 5 + [100, 200, 900]),
    }[off]
    asked = 5000 if off == "gaps" else 1000
    np.testing.assert_array_equal(
        encode_queries(*towers, question(**one))[0],
        encode_queries(*towers, question(**other, timestamp=np.array([asked], np.int64)))[0],
    )


def test_products_are_unit_vectors_and_masks_hide_modalities(toy, towers: tuple[TwoTowers, GraphTables]) -> None:
    encode = CatalogueEncoder(*towers, chunk=20)  # 48 products: the last chunk reaches back
    counters = toy.features.snapshots[8]
    full, content = encode(8, counters)
    np.testing.assert_allclose(np.linalg.norm(full, axis=1), 1.0, atol=1e-5)
    assert content.shape == (N + 1, 16)
    assert (content[N] == 0).all()
    whole, _ = CatalogueEncoder(*towers, chunk=1024)(8, counters)
    np.testing.assert_allclose(full, whole, atol=1e-5)
    hidden, _ = encode(8, counters, masked=("behaviour", "identity"))
    np.testing.assert_allclose(hidden, content[:N], atol=1e-5)


def test_content_does_not_depend_on_what_happened(toy, towers: tuple[TwoTowers, GraphTables]) -> None:
    encode = CatalogueEncoder(*towers)
    full_early, early = encode(1, toy.features.snapshots[1])
    full_late, late = encode(9, toy.features.snapshots[9])
    np.testing.assert_allclose(early, late, atol=1e-6)
    assert np.abs(full_early - full_late).max() > 1e-3


def test_an_id_that_nobody_met_is_not_read(toy, towers: tuple[TwoTowers, GraphTables]) -> None:
    model, tables = towers
    counters = np.zeros((2, len(toy.features.snapshot_features)), np.float32)
    counters[1, -1] = 1.0
    inputs = tables.product(tf.constant([3, 3]), tf.constant([5, 5]), tf.constant(counters))
    _, presence = model.product.vectors(inputs)
    identity = PRODUCT_MODALITIES.index("identity")
    assert presence.numpy()[:, identity].tolist() == [False, True]


def test_profile_rows_and_their_sum() -> None:
    rows = profile_buckets("country", tf.constant(["DE", "", "FR", "DE"]), 1000).numpy()
    assert rows[0] == rows[3] > 0
    assert rows[1] == 0
    assert rows[0] != rows[2]
    assert profile_buckets("city", tf.constant(["DE"]), 1000).numpy()[0] != rows[0]
    layer = ProfileEncoder(4, 2)
    layer.build((None, 2))
    layer.table.set_weights([np.array([[9.0, 9], [1, 0], [0, 2], [0, 0]])])
    vectors, present = layer(tf.constant([[1, 2], [1, 0], [0, 0]]))
    np.testing.assert_allclose(vectors, [[1, 2], [1, 0], [0, 0]])
    assert present.numpy().tolist() == [True, True, False]


def test_the_temperature_starts_where_it_is_told_and_stays_in_bounds(towers: tuple[TwoTowers, GraphTables]) -> None:
    model, _ = towers
    assert float(model.temperature) == pytest.approx(0.05, rel=1e-5)
    before = model._log_temperature.numpy()
    for gradient, bound in ((1.0, 0.01), (-1.0, 0.5)):
        keras.optimizers.SGD(99.0).apply([tf.constant(gradient)], [model._log_temperature])
        assert float(model.temperature) == pytest.approx(bound)
    keras.optimizers.SGD(1.0).apply([tf.constant(1.0)], [model._log_temperature])  # and it comes back from there
    assert 0.01 < float(model.temperature) < 0.5
    model._log_temperature.assign(before)


def test_the_towers_do_not_run_as_one(towers: tuple[TwoTowers, GraphTables]) -> None:
    with pytest.raises(NotImplementedError):
        towers[0](tf.zeros((1,)))
