"""A pretrained text encoder without a download: a small XLM-RoBERTa that learns a shop's words by guessing hidden ones.

    .venv/bin/python -m benchmarks.text_preset --config pipelines/configs/demo.yaml --folder build/presets/pretrained
    .venv/bin/python -m benchmarks.text_preset --config ... --folder build/presets/random --epochs 0

Writes a keras-hub preset that `towers.text.preset` and the `--presets` of `benchmarks.ablations` read; with 0 epochs
the same encoder with the random weights that it begins with. Runs first what `tandem run` has not finished up to the
features. Pieces and texts are those of the towers' own tokenizer: products launched in the towers' slice and the
queries asked in it, so that the encoder has seen nothing of the days that it is judged on. One text in twenty is held
out; the table tells how many of their hidden pieces it guesses. Needs the extra `presets`.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.outcome import add_out, finish
from catalog.errors import ConfigError, TandemError
from catalog.feature_store import FeatureStore
from catalog.files import atomic_directory
from catalog.progress import track
from catalog.schema import ShopData, product_texts
from pipelines.config import load_config
from pipelines.run import run_pipeline
from towers.tables import known_products
from towers.text import train_tokenizer

_TOKENS = {"products": 64, "queries": 16}  # the longest window of each, with start and end
_HIDDEN = 0.15
_BATCH = {"products": 32, "queries": 128}
_RATE, _WARMUP = 1e-3, 0.1
_HELD_OUT = 20


def read_texts(shop: ShopData, features: FeatureStore, seed: int) -> dict[str, list[str]]:
    """The distinct texts that the towers' tokenizer is trained on, in random order: of products, and of queries."""
    asked = np.unique(features.example_query[(features.example_slice == 0) & (features.example_query >= 0)])
    texts = {"products": product_texts(known_products(shop, features)), "queries": features.queries[asked].tolist()}
    shuffled = np.random.default_rng(seed).permutation
    return {name: [str(text) for text in shuffled(sorted(set(found) - {""}))] for name, found in texts.items()}


def check_folder(folder: Path) -> None:
    """Say so if the preset's folder is there already.

    Raises:
        ConfigError: if it is.
    """
    if folder.exists():
        raise ConfigError(f"--folder: {folder} is there already; remove it, or name another one")


def make_preset(
    texts: dict[str, list[str]], vocab_size: int, folder: Path, epochs: int, layers: int, width: int, seed: int
) -> dict[str, Any]:
    """Pretrain an encoder on `texts` and write it to `folder`.

    Args:
        texts: by kind, products and queries; a kind without any is left out.
        vocab_size: pieces at most.
        folder: must not be there yet.
        epochs: passes over the texts; 0 writes random weights.
        layers, width: of the encoder; a head has 64 numbers.
        seed: of its weights.

    Returns:
        Weights, pieces, texts and seconds, and by kind the share of hidden pieces of held-out texts that are guessed.

    Raises:
        ConfigError: if the folder is there, or keras-hub is not.
        DataError: if there is no text at all.
    """
    check_folder(folder)
    try:
        import keras_hub
    except ImportError as error:
        raise ConfigError("this benchmark needs keras-hub: install Tandem with its extra `presets`") from error
    models = keras_hub.models
    texts = {kind: found for kind, found in texts.items() if found}
    keras.utils.set_random_seed(seed)
    everything = [text for found in texts.values() for text in found]
    tokenizer = models.XLMRobertaTokenizer(proto=train_tokenizer(everything, vocab_size, seed))
    backbone = models.XLMRobertaBackbone(
        vocabulary_size=tokenizer.vocabulary_size(),
        num_layers=layers,
        num_heads=max(1, width // 64),
        hidden_dim=width,
        intermediate_dim=2 * width,
        dropout=0.0,
        max_sequence_length=512,
    )
    model = models.XLMRobertaMaskedLM(backbone=backbone, preprocessor=None)
    prepared = {kind: _windows(models, tokenizer, kind) for kind in texts}
    learned = {kind: found[len(found) // _HELD_OUT :] for kind, found in texts.items()}
    steps = epochs * sum(math.ceil(len(found) / _BATCH[kind]) for kind, found in learned.items())
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, max(1, steps - int(steps * _WARMUP)), warmup_target=_RATE, warmup_steps=int(steps * _WARMUP)
    )
    model.compile(
        optimizer=keras.optimizers.Adam(rate, global_clipnorm=1.0),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        weighted_metrics=[keras.metrics.SparseCategoricalAccuracy(name="guessed")],
    )
    started = time.perf_counter()
    for _ in track(range(epochs), "pretraining: epoch"):
        for kind, found in learned.items():
            model.fit(_batches(found, kind, prepared[kind]), verbose=0)
    seconds = time.perf_counter() - started
    guessed = {kind: _guessed(model, found, kind, prepared[kind]) for kind, found in texts.items()}
    with atomic_directory(folder) as temporary:
        backbone.save_to_preset(str(temporary))
        tokenizer.save_to_preset(str(temporary))
    return {
        "weights": backbone.count_params(),
        "pieces": tokenizer.vocabulary_size(),
        "texts": {kind: len(found) for kind, found in texts.items()},
        "seconds": round(seconds, 1),
        "guessed": guessed,
    }


def _windows(models: Any, tokenizer: Any, kind: str) -> Any:
    """What hides pieces of a batch of texts of one kind, anew each time."""
    length = _TOKENS[kind]
    return models.XLMRobertaMaskedLMPreprocessor(
        tokenizer,
        sequence_length=length,
        mask_selection_rate=_HIDDEN,
        mask_selection_length=math.ceil(_HIDDEN * length),
    )


def _batches(texts: list[str], kind: str, prepared: Any) -> Any:
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(texts).shuffle(len(texts)).batch(_BATCH[kind]).map(prepared)


def _guessed(model: Any, texts: list[str], kind: str, prepared: Any) -> float | None:
    """Of the hidden pieces of the held-out texts; None if they are too few to hold any out."""
    held_out = texts[: len(texts) // _HELD_OUT]
    if not held_out:
        return None
    return round(float(model.evaluate(_batches(held_out, kind, prepared), verbose=0, return_dict=True)["guessed"]), 4)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    parser.add_argument("--folder", type=Path, required=True, help="where the preset goes")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the texts; 0: random weights")
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    add_out(parser)
    arguments = parser.parse_args()
    if arguments.epochs < 0:
        parser.error(f"--epochs must be at least 0; received {arguments.epochs}")
    return arguments


def main() -> None:
    """Pretrain, write, print the table and the line of JSON."""
    arguments = _arguments()
    try:
        check_folder(arguments.folder)  # before the pipeline's minutes
        config = load_config(arguments.config, arguments.source)
        workspace = run_pipeline(config, until="features")
        shop, features = ShopData.load(workspace / "tables"), FeatureStore.load(workspace / "features")
        texts = read_texts(shop, features, arguments.seed)
        shape = (arguments.epochs, arguments.layers, arguments.width, arguments.seed)
        made = make_preset(texts, config.towers.text.vocab_size, arguments.folder, *shape)
    except TandemError as error:
        sys.exit(f"error: {error}")
    table = Table(title="Pretrained by guessing hidden pieces", title_justify="left")
    for name in ("", "texts", "held-out pieces guessed"):
        table.add_column(name, justify="right" if name else "left")
    for kind, count in made["texts"].items():
        table.add_row(kind, f"{count:,}", str(made["guessed"][kind]))
    Console(stderr=True).print(table)
    about = {"config": config.name, "epochs": arguments.epochs, "layers": arguments.layers, "width": arguments.width}
    finish("text_preset", {**about, **made}, arguments.out)


if __name__ == "__main__":
    main()
