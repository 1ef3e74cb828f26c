"""A tiny encoder is pretrained on a few texts: it learns what goes with what, and the towers' text part reads it."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from benchmarks import text_preset
from benchmarks.text_preset import make_preset, read_texts
from catalog.errors import ConfigError, DataError
from catalog.schema import TEXT_FIELDS
from towers.preset_text import PresetTextEncoder, preset_tokenizer
from towers.text import Tokenizer

COLOURS, KINDS = ("red", "blue", "green", "black"), ("shirt", "skirt", "scarf", "shoe")
TEXTS = {
    "products": [f"{colour} {kind}, a {colour} {kind}" for colour in COLOURS for kind in KINDS] * 8,
    "queries": [f"{colour} {kind}" for colour in COLOURS for kind in KINDS] * 4,
}


def test_nothing_after_the_towers_slice_is_read() -> None:
    titles = ["lamp", "cup", "chair"]
    products = pa.table({name: titles if name == "title" else [""] * 3 for name in TEXT_FIELDS})
    features: Any = SimpleNamespace(
        launched=np.array([0, 4, 5]),
        slices=SimpleNamespace(towers=(0, 5)),
        queries=np.array(["a lamp", "a cup", "a chair"], object),
        example_query=np.array([0, 0, 1, -1]),
        example_slice=np.array([0, 0, 2, 0]),
    )
    shop: Any = SimpleNamespace(products=products)
    texts = read_texts(shop, features, 0)
    assert sorted(text.strip() for text in texts["products"]) == ["cup", "lamp"]
    assert texts["queries"] == ["a lamp"]


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is there already"):
        make_preset(TEXTS, 300, tmp_path, epochs=0, layers=1, width=16, seed=0)


def test_faulty_options_are_said_before_the_pipeline_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(text_preset, "load_config")
    given = ["text_preset", "--config", "none.yaml", "--folder", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit, match="is there already"):
        text_preset.main()
    monkeypatch.setattr(sys, "argv", [*given, "--epochs", "-1"])
    with pytest.raises(SystemExit):
        text_preset.main()
    assert "--epochs must be at least 0; received -1" in capsys.readouterr().err


def test_a_pretrained_encoder_guesses_hidden_pieces_and_the_towers_read_it(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra `presets`")
    made = {
        name: make_preset(TEXTS, 400, tmp_path / name, epochs=epochs, layers=1, width=32, seed=0)
        for name, epochs in (("random", 0), ("pretrained", 30))
    }
    assert made["random"]["weights"] == made["pretrained"]["weights"]
    assert made["pretrained"]["guessed"]["products"] > made["random"]["guessed"]["products"] + 0.3
    vectors = {}
    for name in made:
        preset = str(tmp_path / name)
        tokens = Tokenizer(preset_tokenizer(preset)).encode(["red shirt", "红色"], 8)
        vectors[name], present = PresetTextEncoder(preset, dim=8, rank=0)(tf.constant(tokens))
        assert present.numpy().all()
        assert np.isfinite(vectors[name]).all()
    assert np.abs(vectors["random"] - vectors["pretrained"]).max() > 1e-3


def test_few_texts_hold_none_out(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra `presets`")
    few = {"products": ["red shirt", "blue skirt"], "queries": ["red shirt"]}
    made = make_preset(few, 300, tmp_path / "preset", epochs=1, layers=1, width=16, seed=0)
    assert made["guessed"] == {"products": None, "queries": None}


def test_a_kind_without_texts_is_left_out(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub", reason="needs the extra `presets`")
    made = make_preset({**TEXTS, "queries": []}, 300, tmp_path / "preset", epochs=1, layers=1, width=16, seed=0)
    assert made["texts"].keys() == made["guessed"].keys() == {"products"}
    with pytest.raises(DataError, match="no product or query has any text"):
        make_preset({"products": [], "queries": []}, 300, tmp_path / "none", epochs=1, layers=1, width=16, seed=0)
