"""Both towers as one model, with what they share: text encoder, picture projection, table of ids, temperature."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from towers.attention import filled_length
from towers.config import TowersConfig
from towers.identity import HashedIdentity
from towers.preset_text import PresetTextEncoder
from towers.product_tower import CONTENT_MODALITIES, PRODUCT_MODALITIES, ProductTower, modality_mask
from towers.query_tower import QUERY_MODALITIES, QueryTower
from towers.tables import GraphTables, Vocabulary
from towers.text import TextEncoder
from towers.tower_image import ImageProjection

_LOG_TEMPERATURES = (math.log(0.01), math.log(0.5))  # a learned temperature stays between these


class HistoryTables(Protocol):
    """What histories read of a catalogue."""

    n_products: int

    def history(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Inputs of the history items [batch, H] by product row."""


class TwoTowers(keras.Model):
    """The query tower and the product tower.

    Args:
        config: of the towers.
        vocabulary: the sizes of the tables.
        pieces: the tokenizer's vocabulary.
        backbone: the picture network, where it is trained with the towers.
    """

    def __init__(
        self, config: TowersConfig, vocabulary: Vocabulary, pieces: int, backbone: keras.Model | None = None
    ) -> None:
        super().__init__(name="towers")
        self.text = _text_encoder(config, vocabulary, pieces)
        self.image = ImageProjection(config.dim, name="image")
        self.identity = HashedIdentity(vocabulary.id_buckets, config.dim, name="identity")
        self.query = QueryTower(
            config, len(vocabulary.categories) + 1, self.text, self.image, self.identity, name="query"
        )
        self.product = ProductTower(config, vocabulary.counters, self.text, self.image, self.identity, name="product")
        self.backbone = backbone
        self._log_temperature = self.add_weight(
            shape=(),
            initializer=keras.initializers.Constant(math.log(config.training.temperature)),
            trainable=config.training.learn_temperature,
            constraint=lambda value: tf.clip_by_value(value, *_LOG_TEMPERATURES),
            dtype="float32",
            name="log_temperature",
        )
        self.text.build((None, None))
        self.image.build((None, vocabulary.image_dim))
        self.identity.build((None, 2))
        self.query.build((None, len(QUERY_MODALITIES), config.dim))
        self.product.build()
        self.built = True

    @property
    def temperature(self) -> tf.Tensor:
        """The softmax temperature, a scalar."""
        return tf.exp(self._log_temperature.value)

    def call(self, inputs: Any) -> Any:
        raise NotImplementedError("call `query`, `product` or `encode_queries`; the towers never run as one")


def _text_encoder(config: TowersConfig, vocabulary: Vocabulary, pieces: int) -> TextEncoder | PresetTextEncoder:
    settings = config.text
    if settings.preset:
        return PresetTextEncoder(settings.preset, config.dim, settings.lora_rank, name="text")
    longest = max(vocabulary.product_tokens, settings.query_tokens)
    return TextEncoder(pieces, config.dim, longest, settings.layers, settings.heads, settings.dropout, name="text")


def encode_queries(
    model: TwoTowers,
    tables: HistoryTables,
    inputs: Mapping[str, tf.Tensor],
    masked: Sequence[str] = (),
) -> tuple[tf.Tensor, tf.Tensor]:
    """Queries to unit vectors: what evaluation and the exported query tower both run.

    Args:
        model: the towers.
        tables: the catalogue that history rows point into.
        inputs: tokens [batch, T] int32; rows, kinds [batch, H] int32 and timestamps [batch, H] int64, what is absent
            before what is there; timestamp [batch] int64; profile [batch, columns] int32; perhaps image [batch, E]
            float with image_present [batch] bool.
        masked: modalities to hide.

    Returns:
        [batch, dim] of unit length, and [batch, 4] float32 weights in the order of QUERY_MODALITIES.
    """
    text, has_text = model.text(inputs["tokens"])
    rows, kinds, timestamps = inputs["rows"], inputs["kinds"], inputs["timestamps"]
    present = (rows >= 0) & (rows < tables.n_products) & (kinds > 0)
    # Nothing depends on what lies before the longest history of the batch.
    longest = filled_length(tf.reduce_sum(tf.cast(present, tf.int32), axis=1), tf.shape(present)[1])
    present, rows, kinds, timestamps = (values[:, -longest:] for values in (present, rows, kinds, timestamps))
    rows = tf.where(present, rows, tables.n_products)
    kinds = tf.where(present, kinds, 0)
    state = model.query.last_state(**tables.history(rows), kinds=kinds, timestamps=timestamps, present=present)
    has_history = present[:, -1]
    history = model.query.history.read(
        state, seconds_since=inputs["timestamp"] - timestamps[:, -1], present=has_history
    )
    profile, has_profile = model.query.profile(inputs["profile"])
    image, has_image = tf.zeros_like(text), tf.zeros_like(has_text)
    if "image" in inputs:
        has_image = inputs["image_present"]
        image = model.image(inputs["image"], presence=has_image)
    vectors = tf.stack([text, image, history, tf.cast(profile, text.dtype)], axis=1)
    presence = tf.stack([has_text, has_image, has_history, has_profile], axis=1)
    kept = [name for name in QUERY_MODALITIES if name not in masked]
    return model.query(vectors, presence=presence & modality_mask(QUERY_MODALITIES, kept))


class CatalogueEncoder:
    """Every product's vectors as of one day.

    Args:
        model: the towers.
        tables: the catalogue.
        chunk: products a call.
    """

    def __init__(self, model: TwoTowers, tables: GraphTables, chunk: int = 1024) -> None:
        self._model, self._tables, self._chunk = model, tables, min(chunk, tables.n_products)
        self._content_mask = modality_mask(PRODUCT_MODALITIES, CONTENT_MODALITIES)
        self._compiled = tf.function(self._encode, autograph=False)

    def __call__(
        self, day: int, counters: npt.NDArray[np.float32], masked: Sequence[str] = ()
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Encode the whole catalogue.

        Args:
            day: day number.
            counters: [N, F] float32, the snapshot of that day.
            masked: modalities to hide from the products' vectors.

        Returns:
            [N, dim] float32 unit vectors; [N + 1, dim] float32 content vectors, which read text and picture alone and
            are the same on any day, the last one zero.
        """
        n, dim = self._tables.n_products, self._tables.content.shape[1]
        mask = modality_mask(PRODUCT_MODALITIES, [name for name in PRODUCT_MODALITIES if name not in masked])
        full, content = np.zeros((n, dim), np.float32), np.zeros((n + 1, dim), np.float32)
        for start in range(0, n, self._chunk):
            # The last chunk reaches back, so that all have one shape.
            rows = np.arange(self._chunk, dtype=np.int32) + min(start, n - self._chunk)
            counts = np.asarray(counters[rows], np.float32)
            vectors, contents = self._compiled(tf.constant(rows), tf.constant(day), tf.constant(counts), mask)
            full[rows], content[rows] = vectors.numpy(), contents.numpy()
        return full, content

    def _encode(
        self, rows: tf.Tensor, day: tf.Tensor, counters: tf.Tensor, mask: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        inputs = self._tables.product(rows, tf.fill(tf.shape(rows), day), counters)
        vectors, presence = self._model.product.vectors(inputs)
        full, _ = self._model.product.fuse(vectors, presence & mask)
        content, _ = self._model.product.fuse(vectors, presence & self._content_mask)
        return full, content
