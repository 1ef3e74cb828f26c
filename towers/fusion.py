"""Modalities and their presence to one vector, and the weight each modality got."""

from typing import Any

import keras
import tensorflow as tf

from towers.attention import TransformerBlock
from towers.config import FusionKind

_HIDDEN = -1e9


def drop_modalities(presence: tf.Tensor, uniform: tf.Tensor, rate: float) -> tf.Tensor:
    """Hide a share of the present modalities, of each example all but one at most.

    Args:
        presence: [batch, modalities] bool.
        uniform: [batch, modalities] float in [0, 1), random.
        rate: share of the present modalities to hide.

    Returns:
        [batch, modalities] bool; a row with any present modality keeps one, a row without any stays so.
    """
    luckiest = tf.argmax(tf.where(presence, uniform, -1.0), axis=1)
    stays = tf.one_hot(luckiest, presence.shape[1], on_value=True, off_value=False)
    return presence & ((uniform >= rate) | stays)


class Fusion(keras.layers.Layer):
    """Base of the fusions: hides modalities in training, aligns them, and has an answer when all are absent.

    Each modality's vector goes through a linear map of its own and is scaled to length sqrt(dim), so that a weight
    says how much of the fused vector is that modality. A row without any modality gets a learned vector and weights
    of zero.

    Args:
        modalities: number of modalities.
        dim: size of each modality's vector and of the output.
        dropout: share of (example, modality) pairs hidden in training; at least one stays.

    Call:
        vectors: [batch, modalities, dim] float. presence: [batch, modalities] bool.
        Returns [batch, dim], and [batch, modalities] float32 weights that sum to one where anything is present.

    Raises:
        ValueError: if no modality is declared.
    """

    def __init__(self, modalities: int, dim: int, dropout: float = 0.0, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if modalities < 1:
            raise ValueError(f"a fusion needs at least one modality; received modalities={modalities}")
        self.modalities, self.dim, self.dropout, self.seed = modalities, dim, dropout, seed
        self.align = keras.layers.EinsumDense("bmd,mde->bme", (modalities, dim), name="align")
        self.random = keras.random.SeedGenerator(seed)

    def build(self, vectors_shape: tuple[int | None, ...], **_: Any) -> None:
        self.align.build(vectors_shape)
        self.nothing = self.add_weight(
            shape=(self.dim,), initializer=keras.initializers.RandomNormal(stddev=1.0), name="nothing"
        )
        self.build_combination(vectors_shape)
        self.built = True

    def build_combination(self, vectors_shape: tuple[int | None, ...]) -> None:
        """Create the weights of `combine`."""

    def combine(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """Aligned vectors, zero where absent, to [batch, dim] and [batch, modalities] weights."""
        raise NotImplementedError

    def call(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        if training and self.dropout:
            uniform = keras.random.uniform(tf.shape(presence), seed=self.random)
            presence = drop_modalities(presence, uniform, self.dropout)
        aligned = self.align(vectors)
        length = tf.math.rsqrt(tf.reduce_mean(tf.square(aligned), axis=-1, keepdims=True) + 1e-6)
        aligned = aligned * length * tf.cast(presence, aligned.dtype)[..., None]
        fused, weights = self.combine(aligned, presence, training)
        anything = tf.reduce_any(presence, axis=1, keepdims=True)
        fused = tf.where(anything, fused, tf.cast(self.nothing, fused.dtype)[None])
        return fused, weights * tf.cast(presence, tf.float32)

    def get_config(self) -> dict[str, Any]:
        names = ("modalities", "dim", "dropout", "seed")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _masked_softmax(logits: tf.Tensor, presence: tf.Tensor) -> tf.Tensor:
    return tf.nn.softmax(tf.where(presence, tf.cast(logits, tf.float32), _HIDDEN), axis=-1)


def _weighted(vectors: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(vectors * tf.cast(weights, vectors.dtype)[..., None], axis=1)


@keras.saving.register_keras_serializable("tandem")
class GatedFusion(Fusion):
    """Softmax gates over the modalities present, each computed from all of them.

        w = softmax over present m of (G [x_1; ...; x_M] + b)_m;  fused = sum of w_m x_m

    Gates follow Arevalo et al. 2017, eq. 3, normalised over the modalities present. Arguments as in `Fusion`.
    """

    def build_combination(self, vectors_shape: tuple[int | None, ...]) -> None:
        self.gate = keras.layers.Dense(self.modalities, name="gate")
        self.gate.build((vectors_shape[0], self.modalities * (self.dim + 1)))

    def combine(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        flat = tf.reshape(vectors, (-1, self.modalities * self.dim))
        logits = self.gate(tf.concat([flat, tf.cast(presence, flat.dtype)], axis=1))
        weights = _masked_softmax(logits, presence)
        return _weighted(vectors, weights), weights


@keras.saving.register_keras_serializable("tandem")
class AttentionFusion(Fusion):
    """Modalities attend to one another, then a learned query weighs them (Lee et al. 2019, PMA).

    Arguments as in `Fusion`.
    """

    def build_combination(self, vectors_shape: tuple[int | None, ...]) -> None:
        self.block = TransformerBlock(self.dim, heads=1, name="block")
        self.block.build(vectors_shape)
        self.key = keras.layers.Dense(1, use_bias=False, name="key")
        self.key.build(vectors_shape)

    def combine(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        mixed = self.block(vectors, visible=presence, training=training)
        weights = _masked_softmax(self.key(mixed)[..., 0], presence)
        return _weighted(mixed, weights), weights


@keras.saving.register_keras_serializable("tandem")
class ConcatFusion(Fusion):
    """One linear map of all modalities, a silent one being zero. A weight is the length of its part over all lengths.

    Arguments as in `Fusion`.
    """

    def build_combination(self, vectors_shape: tuple[int | None, ...]) -> None:
        self.part = keras.layers.EinsumDense("bmd,mde->bme", (self.modalities, self.dim), name="part")
        self.part.build(vectors_shape)

    def combine(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        parts = self.part(vectors)  # the map of a concatenation is the sum of the maps of its parts
        lengths = tf.norm(tf.cast(parts, tf.float32), axis=-1) * tf.cast(presence, tf.float32)
        return tf.reduce_sum(parts, axis=1), tf.math.divide_no_nan(lengths, tf.reduce_sum(lengths, 1, keepdims=True))


@keras.saving.register_keras_serializable("tandem")
class WeightedSumFusion(Fusion):
    """One learned weight a modality, the same for every example, normalised over those present.

    Arguments as in `Fusion`.
    """

    def build_combination(self, vectors_shape: tuple[int | None, ...]) -> None:
        self.logits = self.add_weight(shape=(self.modalities,), initializer="zeros", name="logits")

    def combine(self, vectors: tf.Tensor, presence: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        weights = _masked_softmax(tf.zeros_like(presence, tf.float32) + tf.cast(self.logits, tf.float32), presence)
        return _weighted(vectors, weights), weights


_FUSIONS: dict[str, type[Fusion]] = {
    "gated": GatedFusion,
    "attention": AttentionFusion,
    "concat": ConcatFusion,
    "weighted_sum": WeightedSumFusion,
}


def make_fusion(kind: FusionKind, modalities: int, dim: int, dropout: float, seed: int, name: str) -> Fusion:
    """The fusion of that kind; arguments as in `Fusion`."""
    return _FUSIONS[kind](modalities, dim, dropout, seed, name=name)
