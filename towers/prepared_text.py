"""Tokenizer and vocabulary of a training, and the key by which a killed one is known again."""

import hashlib
import json
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.files import atomic_path, read_json, write_json
from catalog.schema import TEXT_FIELDS, ShopData, product_texts
from towers.checkpoints import checkpoints_folder
from towers.config import TowersConfig
from towers.preset_text import preset_tokenizer
from towers.tables import Vocabulary, known_products, make_vocabulary
from towers.text import Tokenizer, train_tokenizer
from towers.trained import read_tokenizer, read_vocabulary, write_vocabulary

_COLUMNS = ("product_id", *TEXT_FIELDS, "price", "rating_average", "rating_count", "image_row", "image_sha256")
_UNREAD = ("request_", "impression_")


def training_key(shop: ShopData, features: FeatureStore, images_dir: Path, config: TowersConfig) -> str:
    """What a checkpoint must agree with to be gone on from: Tandem's version, the config and all that towers read."""
    settings = json.dumps(config.decisive(), sort_keys=True)
    digest = hashlib.sha256(f"{version('tandem-search')} {settings} {config.text.preset_fingerprint()}".encode())
    for name in _COLUMNS:
        _add(digest, name, np.array(shop.products[name].to_pylist(), object))
    for field in fields(features):
        if not field.name.startswith(_UNREAD):
            _add(digest, field.name, getattr(features, field.name))
    embeddings = images_dir / "embeddings.npy"
    if embeddings.exists():
        with embeddings.open("rb") as handle:
            digest.update(hashlib.file_digest(handle, "sha256").digest())
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", name: str, value: Any) -> None:
    """Add one named value: an array of numbers or of texts, arrays by name, or what is written out in full."""
    if isinstance(value, dict):
        for key in sorted(value):
            _add(digest, f"{name} {key}", value[key])
    elif not isinstance(value, np.ndarray):
        digest.update(f"{name} {value!r}\0".encode())
    else:
        digest.update(f"{name} {value.shape}\0".encode())
        if value.dtype == object:
            for text in value.tolist():
                digest.update(str(text).encode("utf-8", "replace") + b"\0")
        else:
            digest.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)


def prepare_text(
    shop: ShopData, features: FeatureStore, images_dir: Path, config: TowersConfig, out_dir: Path, key: str
) -> tuple[Tokenizer, Vocabulary]:
    """Tokenizer and vocabulary of the training with this key: made and written, or those that its checkpoints go with.

    Raises:
        DataError: if no product was launched in the towers' slice.
    """
    state = out_dir / "training.json"
    if checkpoints_folder(out_dir).exists() and state.exists() and read_json(state) == {"key": key}:
        return Tokenizer(read_tokenizer(out_dir / "tokenizer.model")), read_vocabulary(out_dir / "vocabulary.json")
    known = known_products(shop, features)
    if not known.num_rows:
        raise DataError(
            f"none of the {features.n_products:,} products was launched in the towers' slice (days 0 to "
            f"{features.slices.towers[1] - 1}); check created_at, or give the towers more days"
        )
    texts = product_texts(known)
    asked = np.unique(features.example_query[(features.example_slice == 0) & (features.example_query >= 0)])
    if config.text.preset:
        model = preset_tokenizer(config.text.preset)
    else:
        model = train_tokenizer([*texts, *features.queries[asked].tolist()], config.text.vocab_size, config.seed)
    tokenizer = Tokenizer(model)
    vocabulary = make_vocabulary(shop, features, images_dir, tokenizer, config)
    state.unlink(missing_ok=True)  # it must not speak for files of which only some are written
    with atomic_path(out_dir / "tokenizer.model") as temporary:
        temporary.write_bytes(model)
    write_vocabulary(out_dir / "vocabulary.json", vocabulary)
    write_json(out_dir / "config.json", config.model_dump(mode="json"))
    write_json(state, {"key": key})
    return tokenizer, vocabulary
