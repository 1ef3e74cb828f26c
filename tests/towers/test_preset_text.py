"""A tiny XLM-RoBERTa with random weights, saved as a preset: alone, trained in towers, loaded and exported."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf

from catalog.errors import ConfigError
from towers.config import TextConfig, TowersConfig
from towers.preset_text import PresetTextEncoder, preset_tokenizer
from towers.text import Tokenizer
from towers.train import train
from towers.trained import load

keras_hub = pytest.importorskip("keras_hub", reason="needs the extra `presets`")


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("preset")
    words = ["red shirt", "green shoe", "blue watch", "navy blue shirt", "white shoe", "黑色 手机壳"]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(words * 5),
        model_prefix=str(folder / "pieces"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    tokenizer = keras_hub.models.XLMRobertaTokenizer(proto=(folder / "pieces.model").read_bytes())
    keras.utils.set_random_seed(0)
    backbone = keras_hub.models.XLMRobertaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=64,
    )
    backbone.save_to_preset(str(folder / "preset"))
    tokenizer.save_to_preset(str(folder / "preset"))
    return str(folder / "preset")


@pytest.mark.parametrize("text", ["navy blue shirt", "navy ☃ shirt"])
def test_it_reads_what_the_preset_reads(preset: str, text: str) -> None:
    encoder = PresetTextEncoder(preset, dim=8)
    tokens = Tokenizer(preset_tokenizer(preset)).encode([text], 14)
    vectors, present = encoder(tf.constant(tokens))
    own = keras_hub.models.XLMRobertaTokenizer.from_preset(preset)(text)
    ids = tf.concat([[0], tf.cast(own, tf.int32), [2]], axis=0)[None]
    states = encoder.backbone({"token_ids": ids, "padding_mask": tf.ones_like(ids)})
    expected = encoder.out(tf.reduce_mean(states[:, 1:-1], axis=1))
    assert present.numpy().tolist() == [True]
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_padding_changes_nothing_and_no_text_is_a_zero(preset: str) -> None:
    encoder, tokenizer = PresetTextEncoder(preset, dim=8), Tokenizer(preset_tokenizer(preset))
    short, long = (encoder(tf.constant(tokenizer.encode(["red shirt", ""], length))) for length in (10, 30))
    np.testing.assert_allclose(short[0], long[0], atol=1e-5)
    assert short[1].numpy().tolist() == [True, False]
    assert not short[0][1].numpy().any()


# The linear map has two; query and value have a bias and an update of two matrices each.
@pytest.mark.parametrize(("rank", "trained"), [(0, 2), (3, 8)])
def test_only_the_updates_and_the_linear_map_are_trained(preset: str, rank: int, trained: int) -> None:
    encoder = PresetTextEncoder(preset, dim=8, rank=rank)
    encoder.build((None, None))
    assert len(encoder.trainable_variables) == trained
    assert encoder.get_config()["rank"] == rank


def test_loaded_updates_answer_the_same(preset: str, tmp_path: Path) -> None:
    tokens = tf.constant(Tokenizer(preset_tokenizer(preset)).encode(["red shirt"], 8))
    encoder = PresetTextEncoder(preset, dim=8, rank=2)
    given = keras.Input((8,), dtype="int32")
    model = keras.Model(given, encoder(given)[0])
    updates = [variable for variable in encoder.trainable_variables if "lora" in variable.name]
    for variable in updates:
        variable.assign(keras.random.normal(variable.shape, seed=1))
    before = encoder(tokens)[0].numpy()
    model.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(encoder(tokens)[0], before, atol=1e-4)


def test_towers_are_trained_and_loaded_with_it(toy, config: TowersConfig, preset: str, tmp_path: Path) -> None:
    text = TextConfig(product_tokens=16, query_tokens=8, preset=preset, lora_rank=2)
    training = config.training.model_copy(update={"epochs": 1, "steps_per_epoch": 3})
    settings = config.model_copy(update={"text": text, "training": training})
    train(toy.shop, toy.features, toy.images_dir, settings, tmp_path)
    towers = load(tmp_path, toy.shop, toy.features, toy.images_dir)
    assert (tmp_path / "tokenizer.model").read_bytes() == preset_tokenizer(preset)
    vectors = towers.product_embeddings(3)
    assert np.isfinite(vectors).all()
    assert np.abs(vectors - towers.product_embeddings(3, masked=("text",))).max() > 1e-3


@pytest.mark.parametrize("make", [preset_tokenizer, lambda name: PresetTextEncoder(name, dim=8)])
def test_what_is_no_preset_is_named(make: Callable, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is no XLM-RoBERTa that keras-hub can read"):
        make(str(tmp_path / "nothing"))
