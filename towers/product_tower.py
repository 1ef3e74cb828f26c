"""The product tower: text, picture, behaviour and id to one unit vector."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from towers.behaviour import RAW_BEHAVIOUR, BehaviourEncoder
from towers.config import TowersConfig
from towers.fusion import make_fusion
from towers.identity import HashedIdentity
from towers.preset_text import PresetTextEncoder
from towers.text import TextEncoder
from towers.tower_image import ImageProjection

PRODUCT_MODALITIES = ("text", "image", "behaviour", "identity")
CONTENT_MODALITIES = ("text", "image")
"""What a product is, whatever happens to it: the modalities of the content vectors that histories read."""


def modality_mask(modalities: Sequence[str], kept: Sequence[str]) -> tf.Tensor:
    """[1, len(modalities)] bool, True for those of `kept`."""
    return tf.constant([[name in kept for name in modalities]])


class ProductTower(keras.layers.Layer):
    """Product modalities, in the order of PRODUCT_MODALITIES, fused to one unit vector.

    Args:
        config: of the towers.
        counters: names of the snapshot counters.
        text: the text encoder shared with the queries.
        image: the picture projection shared with the queries.
        identity: the table of hashed product ids shared with the histories.

    Call:
        inputs: tokens [batch, T] int32; image [batch, E] float; image_present [batch] bool; buckets [batch, 2] int32;
        and RAW_BEHAVIOUR.
        Returns [batch, dim] of unit length, and [batch, 4] float32 weights of the modalities.
    """

    def __init__(
        self,
        config: TowersConfig,
        counters: Sequence[str],
        text: TextEncoder | PresetTextEncoder,
        image: ImageProjection,
        identity: HashedIdentity,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # counters and prices outgrow 16 bits
        self.dim = config.dim
        self.id_dropout = config.training.id_dropout
        self.read = [name for name in PRODUCT_MODALITIES if name not in config.left_out]
        self.text, self.image, self.identity = text, image, identity
        self.behaviour = BehaviourEncoder(counters, config.dim, config.behaviour, name="behaviour")
        self.fusion = make_fusion(
            config.fusion,
            len(PRODUCT_MODALITIES),
            config.dim,
            config.training.modality_dropout,
            config.seed + 3,
            name="fusion",
        )
        self.random = keras.random.SeedGenerator(config.seed + 4)

    def build(self, inputs_shape: Any = None) -> None:
        self.behaviour.build()
        self.fusion.build((None, len(PRODUCT_MODALITIES), self.dim))
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        vectors, presence = self.vectors(inputs, training=training)
        return self.fuse(vectors, presence, training=training)

    def vectors(self, inputs: Mapping[str, tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Each modality apart: [batch, 4, dim] vectors and [batch, 4] bool presence.

        An id is present only with events: what a table row says before anybody met the product is noise.
        """
        text, has_text = self.text(inputs["tokens"], training=training)
        image = self.image(inputs["image"], presence=inputs["image_present"])
        behaviour, has_behaviour = self.behaviour(**{name: inputs[name] for name in RAW_BEHAVIOUR}, training=training)
        met = tf.reduce_any(inputs["counters"] > 0, axis=1)
        if training and self.id_dropout:
            met &= keras.random.uniform(tf.shape(met), seed=self.random) >= self.id_dropout
        identity = self.identity(inputs["buckets"])
        identity *= tf.cast(met, identity.dtype)[:, None]
        vectors = tf.stack([text, image, behaviour, identity], axis=1)
        presence = tf.stack([has_text, inputs["image_present"], has_behaviour, met], axis=1)
        return vectors, presence & modality_mask(PRODUCT_MODALITIES, self.read)

    def fuse(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Modality vectors to [batch, dim] of unit length, and the [batch, 4] weights."""
        fused, weights = self.fusion(vectors, presence=presence, training=training)
        return tf.math.l2_normalize(tf.cast(fused, tf.float32), axis=-1, epsilon=1e-9), weights
