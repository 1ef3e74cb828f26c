"""Trained towers over one catalogue: product vectors of a day, query vectors, the weights of the modalities."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.config import parse_config
from catalog.errors import ArtifactError, ConfigError
from catalog.feature_store import FeatureStore
from catalog.files import read_json, write_json
from catalog.schema import ShopData
from towers.checkpoints import load_weights
from towers.config import TowersConfig
from towers.query_tower import profile_buckets
from towers.tables import GraphTables, Vocabulary, make_tables
from towers.text import Tokenizer
from towers.two_towers import CatalogueEncoder, TwoTowers, encode_queries
from towers.validation import Questions

_CHUNK = 512


class Towers:
    """Both towers and the catalogue they look at.

    Args:
        model: the towers.
        tables: the catalogue.
        tokenizer: of the towers.
        vocabulary: of the towers.
        config: of the towers.
        features: the log, for the snapshots and the users' profiles.
    """

    def __init__(
        self,
        model: TwoTowers,
        tables: GraphTables,
        tokenizer: Tokenizer,
        vocabulary: Vocabulary,
        config: TowersConfig,
        features: FeatureStore,
    ) -> None:
        self.model, self.tables, self.tokenizer = model, tables, tokenizer
        self.vocabulary, self.config, self.features = vocabulary, config, features
        self._profile = profile_table(features, config)
        self._catalogue = CatalogueEncoder(model, tables)
        self._encoders: dict[tuple[str, ...], Any] = {}

    def refresh(self, day: int) -> npt.NDArray[np.float32]:
        """Compute the content vectors that histories read with the present weights; returns `product_embeddings`."""
        products, content = self._catalogue(day, self.features.snapshots[day])
        self.tables.content.assign(content)
        return products

    def product_embeddings(self, day: int, masked: Sequence[str] = ()) -> npt.NDArray[np.float32]:
        """[N, dim] float32 unit vectors of every product at the start of a day.

        Args:
            day: day number, 0 to the last day of the log + 1.
            masked: modalities of the products to hide: text, image, behaviour, identity.
        """
        return self._catalogue(day, self.features.snapshots[day], masked)[0]

    def query_embeddings(
        self,
        questions: Questions,
        images: npt.NDArray[np.float32] | None = None,
        masked: Sequence[str] = (),
    ) -> npt.NDArray[np.float32]:
        """[R, dim] float32 unit vectors.

        Args:
            questions: what is asked, by whom and when.
            images: [R, E] float32, the picture network's embeddings of pictures that are asked with, or None.
            masked: modalities of the queries to hide: text, image, history, profile.
        """
        return self._encode(questions, images, masked)[0]

    def modality_weights(
        self, questions: Questions, images: npt.NDArray[np.float32] | None = None
    ) -> npt.NDArray[np.float32]:
        """[R, 4] float32 weights of text, image, history and profile in each query's vector."""
        return self._encode(questions, images, ())[1]

    def _encode(
        self, questions: Questions, images: npt.NDArray[np.float32] | None, masked: Sequence[str]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        key = tuple(masked)
        if key not in self._encoders:
            self._encoders[key] = tf.function(
                lambda inputs: encode_queries(self.model, self.tables, inputs, key),
                autograph=False,
                reduce_retracing=True,
            )
        vectors = [np.zeros((0, self.config.dim), np.float32)]
        weights = [np.zeros((0, 4), np.float32)]
        for start in range(0, len(questions), _CHUNK):
            part = slice(start, start + _CHUNK)
            inputs = self._inputs(questions[part], None if images is None else images[part])
            chunk_vectors, chunk_weights = self._encoders[key](inputs)
            vectors.append(chunk_vectors.numpy())
            weights.append(chunk_weights.numpy())
        return np.concatenate(vectors), np.concatenate(weights)

    def _inputs(self, questions: Questions, images: npt.NDArray[np.float32] | None) -> dict[str, tf.Tensor]:
        profile = np.where((questions.users >= 0)[:, None], self._profile[questions.users], 0)
        inputs = {
            "tokens": tf.constant(self.tokenizer.encode(questions.texts.tolist(), self.config.text.query_tokens)),
            "rows": tf.constant(questions.rows),
            "kinds": tf.constant(questions.kinds),
            "timestamps": tf.constant(questions.timestamps),
            "timestamp": tf.constant(questions.timestamp),
            "profile": tf.constant(profile.astype(np.int32)),
        }
        if images is not None:
            inputs["image"] = tf.constant(images)
            inputs["image_present"] = tf.ones(len(images), tf.bool)
        return inputs


def load(out_dir: Path, shop: ShopData, features: FeatureStore, images_dir: Path) -> Towers:
    """The towers that `train` left in `out_dir`, over a catalogue and its log.

    Raises:
        ArtifactError: if a file is missing or broken, or the catalogue's features do not fit the towers.
    """
    config = parse_config(TowersConfig, read_json(out_dir / "config.json"), str(out_dir / "config.json"))
    vocabulary = read_vocabulary(out_dir / "vocabulary.json")
    tokenizer = Tokenizer(read_tokenizer(out_dir / "tokenizer.model"))
    pictures = pictures_dir(out_dir, images_dir, config)
    model = TwoTowers(config, vocabulary, tokenizer.vocab_size)
    load_weights(model, out_dir / "towers.weights.h5")
    tables = GraphTables(make_tables(shop, features, pictures, tokenizer, vocabulary), config.dim)
    towers = Towers(model, tables, tokenizer, vocabulary, config, features)
    towers.refresh(0)
    return towers


def pictures_dir(out_dir: Path, images_dir: Path, config: TowersConfig) -> Path:
    """Where the picture network and the embeddings are that these towers read."""
    return out_dir / "pictures" if config.training.finetune_images else images_dir


def read_tokenizer(path: Path) -> bytes:
    """The serialized tokenizer; ArtifactError if it is not there."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: no readable tokenizer ({error}); train the towers again") from error


def write_vocabulary(path: Path, vocabulary: Vocabulary) -> None:
    """Write a vocabulary as JSON."""
    write_json(path, asdict(vocabulary))


def read_vocabulary(path: Path) -> Vocabulary:
    """Read a vocabulary; ArtifactError if it is broken."""
    values: dict[str, Any] = read_json(path)
    try:
        return Vocabulary(**values | {name: tuple(values[name]) for name in ("categories", "counters")})
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path}: not the vocabulary of trained towers ({error}); train the towers again"
        ) from error


def profile_table(features: FeatureStore, config: TowersConfig) -> npt.NDArray[np.int32]:
    """[U, columns] int32 rows of the profile table for every user.

    Raises:
        ConfigError: if a configured column is not in the users table.
    """
    missing = [name for name in config.profile_columns if name not in features.user_columns]
    if missing:
        raise ConfigError(
            f"towers.profile_columns names {', '.join(missing)}, but the users table has "
            f"{', '.join(features.user_columns) or 'no profile columns'}; name those, or declare them for ingest"
        )
    table = np.zeros((len(features.user_ids), len(config.profile_columns)), np.int32)
    for index, name in enumerate(config.profile_columns):
        values = tf.constant(features.user_columns[name].tolist(), tf.string)
        table[:, index] = profile_buckets(name, values, config.profile_buckets).numpy()
    return table
