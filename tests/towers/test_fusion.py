from typing import get_args

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from towers.config import FusionKind
from towers.fusion import Fusion, GatedFusion, WeightedSumFusion, drop_modalities, make_fusion

PRESENCE = np.array([[True, True, True], [True, False, True], [False, True, False], [False, False, False]])


@pytest.fixture
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, 3, 6)).astype(np.float32)


@pytest.fixture(params=get_args(FusionKind))
def fusion(request: pytest.FixtureRequest) -> Fusion:
    layer = make_fusion(request.param, modalities=3, dim=6, dropout=0.5, seed=1, name="fusion")
    layer.build((None, 3, 6))
    return layer


class TestEveryFusion:
    def test_weights_are_shares_of_the_present_modalities(self, fusion: Fusion, vectors: np.ndarray) -> None:
        fused, weights = fusion(vectors, presence=tf.constant(PRESENCE))
        assert fused.shape == (4, 6)
        np.testing.assert_allclose(weights.numpy().sum(axis=1), [1, 1, 1, 0], atol=1e-5)
        assert (weights.numpy()[~PRESENCE] == 0).all()
        assert (weights.numpy() >= 0).all()

    def test_an_absent_modality_changes_nothing(self, fusion: Fusion, vectors: np.ndarray) -> None:
        fused, weights = fusion(vectors, presence=tf.constant(PRESENCE))
        vectors[~PRESENCE] = 123.0
        again, weights_again = fusion(vectors, presence=tf.constant(PRESENCE))
        np.testing.assert_allclose(again, fused, atol=1e-5)
        np.testing.assert_allclose(weights_again, weights, atol=1e-6)

    def test_nothing_present_gives_the_learned_vector(self, fusion: Fusion, vectors: np.ndarray) -> None:
        fused, _ = fusion(vectors, presence=tf.constant(PRESENCE))
        np.testing.assert_allclose(fused[3], fusion.nothing, atol=1e-6)
        assert np.linalg.norm(fused[3]) > 0

    def test_every_modality_can_matter(self, fusion: Fusion, vectors: np.ndarray) -> None:
        everything = tf.ones((4, 3), tf.bool)
        fused, _ = fusion(vectors, presence=everything)
        for modality in range(3):
            changed = vectors.copy()
            changed[:, modality] *= -1
            assert np.abs(fusion(changed, presence=everything)[0] - fused).max() > 1e-3

    def test_a_vector_s_length_does_not_buy_weight(self, fusion: Fusion, vectors: np.ndarray) -> None:
        fusion.align.set_weights([np.stack([np.eye(6)] * 3)])
        everything = tf.ones((4, 3), tf.bool)
        fused, _ = fusion(vectors, presence=everything)
        vectors[:, 0] *= 50.0
        np.testing.assert_allclose(fusion(vectors, presence=everything)[0], fused, atol=1e-3)

    def test_training_hides_modalities_and_evaluation_does_not(self, fusion: Fusion, vectors: np.ndarray) -> None:
        many = np.repeat(vectors[:1], 200, axis=0)
        everything = tf.ones((200, 3), tf.bool)
        _, weights = fusion(many, presence=everything, training=True)
        hidden = (weights.numpy() == 0).mean()
        assert (
            0.3 < hidden < 0.5
        )  # half of them, but for the one that stays: 3/8 are hidden of three at a half ... 0.46
        _, weights = fusion(many, presence=everything)
        assert (weights.numpy() > 0).all()

    def test_round_trip(self, fusion: Fusion, vectors: np.ndarray) -> None:
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(fusion))
        if not again.built:
            again.build((None, 3, 6))
        again.set_weights(fusion.get_weights())
        assert again.get_config() == fusion.get_config()
        presence = tf.constant(PRESENCE)
        np.testing.assert_allclose(
            again(vectors, presence=presence)[0], fusion(vectors, presence=presence)[0], atol=1e-6
        )


def test_gates_by_hand() -> None:
    # dim 1: after scaling every vector is +-1. Gate logits are log 3 for the first modality and 0 for the second:
    # weights 3/4 and 1/4, so +1 and -1 give 3/4 - 1/4 = 1/2; alone, the second has weight 1.
    layer = GatedFusion(2, 1)
    layer.build((None, 2, 1))
    layer.align.set_weights([np.ones((2, 1, 1))])
    layer.gate.set_weights([np.zeros((4, 2)), np.log([3.0, 1.0])])
    vectors = np.array([[[2.0], [-7.0]]] * 2, np.float32)
    fused, weights = layer(vectors, presence=tf.constant([[True, True], [False, True]]))
    np.testing.assert_allclose(weights, [[0.75, 0.25], [0, 1]], atol=1e-5)
    np.testing.assert_allclose(fused, [[0.5], [-1.0]], atol=1e-5)


def test_weighted_sum_by_hand() -> None:
    layer = WeightedSumFusion(2, 1)
    layer.build((None, 2, 1))
    layer.align.set_weights([np.ones((2, 1, 1))])
    layer.logits.assign(np.log([1.0, 4.0]))
    _, weights = layer(np.ones((1, 2, 1), np.float32), presence=tf.constant([[True, True]]))
    np.testing.assert_allclose(weights, [[0.2, 0.8]], atol=1e-6)


def test_no_modality_is_an_error() -> None:
    with pytest.raises(ValueError, match="modalities=0"):
        GatedFusion(0, 4)


@given(
    st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=8),
    st.floats(0, 1),
    st.integers(0, 2**31 - 1),
)
def test_dropout_keeps_one_of_those_present(presence: list[list[bool]], rate: float, seed: int) -> None:
    given_presence = np.array(presence)
    uniform = np.random.default_rng(seed).random(given_presence.shape).astype(np.float32)
    kept = drop_modalities(tf.constant(given_presence), tf.constant(uniform), rate).numpy()
    assert not (kept & ~given_presence).any()
    np.testing.assert_array_equal(kept.any(axis=1), given_presence.any(axis=1))


def test_dropout_by_hand() -> None:
    presence = tf.constant([[True, True, True], [True, False, False], [False, False, False]])
    uniform = tf.constant([[0.1, 0.6, 0.2], [0.1, 0.9, 0.9], [0.1, 0.1, 0.1]])
    kept = drop_modalities(presence, uniform, 0.5).numpy().tolist()
    assert kept == [[False, True, False], [True, False, False], [False, False, False]]
