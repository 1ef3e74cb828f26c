"""Tokenizer and vocabulary of a training, and the key by which a killed one is known again."""

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import atomic_path, read_json, write_json
from catalog.schema import ShopData, product_texts
from towers.config import TowersConfig
from towers.preset_text import preset_tokenizer
from towers.tables import Vocabulary, make_vocabulary
from towers.text import Tokenizer, train_tokenizer
from towers.trained import read_tokenizer, read_vocabulary, write_vocabulary


def training_key(shop: ShopData, features: FeatureStore, images_dir: Path, config: TowersConfig) -> str:
    """What a checkpoint must agree with to be gone on from: the config and what is learned from."""
    digest = hashlib.sha256(config.model_dump_json().encode())
    for text in (*shop.products["product_id"].to_pylist(), *product_texts(shop.products), *features.queries):
        digest.update(str(text).encode("utf-8", "replace") + b"\0")
    for array in (features.interaction_product, features.interaction_timestamp, features.example_product):
        digest.update(np.asarray(array).tobytes())
    digest.update(str(features.slices).encode())
    embeddings = images_dir / "embeddings.npy"
    if embeddings.exists():
        with embeddings.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def prepare_text(
    shop: ShopData, features: FeatureStore, images_dir: Path, config: TowersConfig, out_dir: Path, key: str
) -> tuple[Tokenizer, Vocabulary]:
    """Tokenizer and vocabulary of the training with this key: made and written, or those of the run that was killed.

    Raises:
        DataError: if no product was launched in the towers' slice.
    """
    state = out_dir / "training.json"
    if state.exists() and read_json(state) == {"key": key}:
        return Tokenizer(read_tokenizer(out_dir / "tokenizer.model")), read_vocabulary(out_dir / "vocabulary.json")
    known = np.flatnonzero(features.launched < features.slices.towers[1])
    if not len(known):
        raise DataError(
            f"none of the {features.n_products:,} products was launched in the towers' slice (days 0 to "
            f"{features.slices.towers[1] - 1}); check created_at, or give the towers more days"
        )
    texts = product_texts(shop.products.take(pa.array(known)))
    asked = np.unique(features.example_query[(features.example_slice == 0) & (features.example_query >= 0)])
    if config.text.preset:
        model = preset_tokenizer(config.text.preset)
    else:
        model = train_tokenizer([*texts, *features.queries[asked].tolist()], config.text.vocab_size, config.seed)
    tokenizer = Tokenizer(model)
    vocabulary = make_vocabulary(shop, features, images_dir, tokenizer, config)
    with atomic_path(out_dir / "tokenizer.model") as temporary:
        temporary.write_bytes(model)
    write_vocabulary(out_dir / "vocabulary.json", vocabulary)
    write_json(out_dir / "config.json", config.model_dump(mode="json"))
    write_json(state, {"key": key})
    return tokenizer, vocabulary
