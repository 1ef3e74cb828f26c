import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import DataError
from catalog.schema import TEXT_FIELDS, product_text
from towers.text import TextEncoder, Tokenizer, graph_product_text, train_tokenizer

CORPUS = [
    "red summer dress",
    "Navy Blue men's shirt",
    "红色 连衣裙",
    "黑色手机壳",
    "größe XL",
    "black analog watch",
] * 3


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer(CORPUS, vocab_size=8000))


def test_a_small_corpus_gives_a_small_vocabulary(tokenizer: Tokenizer) -> None:
    assert 256 < tokenizer.vocab_size < 600  # 256 bytes, padding, unknown, and some pieces


def test_encode_pads_with_zeros_and_cuts(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(["red", "", "   ", "red summer dress " * 50], 6)
    assert tokens.dtype == np.int32
    assert tokens.shape == (4, 6)
    assert tokens[0, 0] > 1
    assert (tokens[1:3] == 0).all()
    assert (tokens[3] > 0).all()


def test_case_and_width_are_folded(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.encode(["Navy BLUE", "navy blue", "ｎａｖｙ　ｂｌｕｅ"], 8)
    assert (tokens[0] == tokens[1]).all()
    assert (tokens[0] == tokens[2]).all()


def test_an_unseen_script_becomes_bytes_not_unknowns(tokenizer: Tokenizer) -> None:
    for text in ("🦄", "платье"):
        tokens = tokenizer.encode([text], 20)[0]
        assert (tokens[tokens > 0] != 1).all()


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_the_graph_tokenizes_as_python_does(tokenizer: Tokenizer, texts: list[str]) -> None:
    clean = [text.encode("utf-8", "replace").decode() for text in texts]
    graph = tokenizer.graph()(tf.constant(clean, tf.string), 8)
    np.testing.assert_array_equal(graph.numpy(), tokenizer.encode(clean, 8))


def test_the_graph_takes_bytes_that_are_no_text(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.graph()(tf.constant([b"\xff\xfe red", b"", b"red"]), 8).numpy()
    assert tokens.shape == (3, 8)
    assert (tokens[1] == 0).all()


def test_no_text_at_all_is_an_error() -> None:
    with pytest.raises(DataError, match="no product or query has any text"):
        train_tokenizer(["", "  "], vocab_size=400)


def test_one_word_is_enough() -> None:
    assert Tokenizer(train_tokenizer(["a"], vocab_size=400)).encode(["a"], 2)[0, 0] > 0


@given(
    st.fixed_dictionaries(
        {name: st.text(st.characters(exclude_categories=["Cs"]), max_size=12) for name in TEXT_FIELDS}
    )
)
@settings(max_examples=50, deadline=None)
def test_product_text_in_the_graph_is_that_of_the_catalogue(fields: dict[str, str]) -> None:
    graph = graph_product_text({name: tf.constant([value]) for name, value in fields.items()})
    assert graph.numpy()[0].decode() == product_text(fields)


def encoder() -> TextEncoder:
    return TextEncoder(50, dim=8, max_tokens=6, layers=1, heads=2)


def test_padding_changes_nothing_and_no_tokens_give_zero() -> None:
    layer = encoder()
    short, present = layer(tf.constant([[4, 5, 6], [0, 0, 0]]))
    padded, _ = layer(tf.constant([[4, 5, 6, 0, 0, 0], [0, 0, 0, 0, 0, 0]]))
    np.testing.assert_allclose(short, padded, atol=1e-5)
    assert present.numpy().tolist() == [True, False]
    assert (short.numpy()[1] == 0).all()


def test_the_order_of_words_matters_a_little() -> None:
    layer = encoder()
    one, _ = layer(tf.constant([[4, 5, 6]]))
    other, _ = layer(tf.constant([[6, 5, 4]]))
    assert np.abs(one - other).max() > 1e-4


@pytest.mark.parametrize("layers", [0, 2])
def test_round_trip(layers: int) -> None:
    layer = TextEncoder(50, dim=8, max_tokens=6, layers=layers, heads=2)
    tokens = tf.constant([[4, 5, 6, 0], [7, 0, 0, 0]])
    expected, _ = layer(tokens)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    if not again.built:
        again.build((None, None))
    again.set_weights(layer.get_weights())
    assert again.get_config() == layer.get_config()
    np.testing.assert_allclose(again(tokens)[0], expected, atol=1e-6)
