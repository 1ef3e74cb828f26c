"""A pretrained text encoder with low-rank adapters, in place of the one that is trained here."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from catalog.errors import ConfigError
from towers.text import PAD

_START, _PADDING, _END, _UNKNOWN = (
    0,
    1,
    2,
    3,
)  # XLM-RoBERTa's own ids; its pieces are shifted right by one (Conneau et al. 2020)


def preset_tokenizer(preset: str) -> bytes:
    """The serialized SentencePiece model of a preset; ConfigError if it cannot be had."""
    return bytes(_from_preset("XLMRobertaTokenizer", preset).proto)


def _from_preset(kind: str, preset: str) -> Any:
    try:
        import keras_hub
    except ImportError as error:
        raise ConfigError(
            "text.preset needs keras-hub: install Tandem with its extra `presets`, or leave text.preset empty"
        ) from error
    try:
        return getattr(keras_hub.models, kind).from_preset(preset)
    except Exception as error:
        raise ConfigError(
            f"text.preset: received {preset!r}, which is no XLM-RoBERTa that keras-hub can read or download ({error}); "
            "expected its name, such as xlm_roberta_base_multi, or a folder that `save_to_preset` wrote"
        ) from error


class PresetTextEncoder(keras.layers.Layer):
    """XLM-RoBERTa from a keras-hub preset: mean of its token vectors, then a linear map that is trained.

    The pretrained weights stay as they are. With a rank, the query and value maps of each attention layer get a trained
    update of that rank (Hu et al. 2021, LoRA), and their biases are trained. Pieces that the preset does not know are
    padding at the end of a text and unknown inside of it.

    Args:
        preset: name or folder.
        dim: size of the text vectors.
        rank: of the updates; 0 trains the linear map alone.

    Call:
        tokens: [batch, length] int32, SentencePiece ids of the preset, 0 is padding.
        Returns [batch, dim] vectors, zero for a text without tokens, and [batch] bool, whether there were any.

    Raises:
        ConfigError: if keras-hub is missing or has no such preset.
    """

    def __init__(self, preset: str, dim: int, rank: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.preset, self.dim, self.rank = preset, dim, rank
        self.backbone = _from_preset("XLMRobertaBackbone", preset)
        if rank:
            self.backbone.enable_lora(rank)
        else:
            self.backbone.trainable = False
        self.out = keras.layers.Dense(dim, name="out")

    def build(self, tokens_shape: tuple[int | None, ...]) -> None:
        self.out.build((tokens_shape[0], self.backbone.hidden_dim))
        self.built = True

    def call(self, tokens: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        place = tf.range(tf.shape(tokens)[1])[None]
        length = tf.reduce_max(tf.where(tokens != PAD, place + 1, 0), axis=1, keepdims=True)
        inside = place < length
        pieces = tf.where(inside, tf.where(tokens != PAD, tokens + 1, _UNKNOWN), _PADDING)
        after = tf.pad(pieces, [[0, 0], [1, 1]], constant_values=_PADDING)
        place = tf.range(tf.shape(after)[1])[None]
        ids = tf.where(place == 0, _START, tf.where(place == length + 1, _END, after))
        visible = tf.cast(place <= length + 1, tf.int32)
        states = self.backbone({"token_ids": ids, "padding_mask": visible}, training=training)
        weights = ops.cast(inside, states.dtype)[:, :, None]
        mean = tf.math.divide_no_nan(tf.reduce_sum(states[:, 1:-1] * weights, axis=1), tf.reduce_sum(weights, axis=1))
        presence = length[:, 0] > 0
        return self.out(mean) * ops.cast(presence, states.dtype)[:, None], presence

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"preset": self.preset, "dim": self.dim, "rank": self.rank}
