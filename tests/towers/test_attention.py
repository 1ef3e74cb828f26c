import keras
import numpy as np
import pytest
import tensorflow as tf

from towers.attention import TransformerBlock, filled_length
from towers.config import Norm


def run(block: TransformerBlock, x: np.ndarray, visible: np.ndarray) -> np.ndarray:
    return np.asarray(block(x, visible=visible))


@pytest.fixture
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 5, 8)).astype(np.float32)


def test_what_is_not_visible_changes_nothing(x: np.ndarray) -> None:
    block = TransformerBlock(8, heads=2)
    visible = np.array([[True, True, True, False, False]] * 2)
    before = run(block, x, visible)
    x[:, 3:] = 99.0
    np.testing.assert_allclose(run(block, x, visible)[:, :3], before[:, :3], atol=1e-5)


def test_a_causal_block_sees_no_later_position(x: np.ndarray) -> None:
    block = TransformerBlock(8, heads=2, causal=True, max_distance=3)
    visible = np.ones((2, 5), bool)
    before = run(block, x, visible)
    x[:, 4] = -7.0
    after = run(block, x, visible)
    np.testing.assert_allclose(after[:, :4], before[:, :4], atol=1e-5)
    assert np.abs(after[:, 4] - before[:, 4]).max() > 0.1


def test_without_positions_a_permutation_of_the_input_permutes_the_output(x: np.ndarray) -> None:
    block = TransformerBlock(8, heads=2)
    visible = np.ones((2, 5), bool)
    order = [3, 0, 4, 1, 2]
    np.testing.assert_allclose(run(block, x[:, order], visible), run(block, x, visible)[:, order], atol=1e-5)


def test_distances_tell_positions_apart(x: np.ndarray) -> None:
    block = TransformerBlock(8, heads=2, max_distance=5)
    block.build((None, None, 8))
    block.distance_bias.assign(np.arange(10).reshape(5, 2))
    visible = np.ones((2, 5), bool)
    order = [3, 0, 4, 1, 2]
    changed = run(block, x[:, order], visible) - run(block, x, visible)[:, order]
    assert np.abs(changed).max() > 0.05


def test_nothing_visible_gives_numbers(x: np.ndarray) -> None:
    assert np.isfinite(run(TransformerBlock(8, heads=2, causal=True), x, np.zeros((2, 5), bool))).all()


def test_what_a_post_norm_block_returns_is_normed(x: np.ndarray) -> None:
    found = run(TransformerBlock(8, heads=2, norm="post"), x, np.ones((2, 5), bool))
    np.testing.assert_allclose((found**2).mean(-1), 1.0, rtol=1e-3)
    again = run(TransformerBlock(8, heads=2, norm="post"), 10 * x, np.ones((2, 5), bool))
    assert np.abs(again).max() < 3  # the root of 8 at most, however large what comes in


@pytest.mark.parametrize("max_distance", [0, 3, 8])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_last_position_alone_is_that_of_the_whole(
    x: np.ndarray, causal: bool, max_distance: int, norm: Norm
) -> None:
    block = TransformerBlock(8, heads=2, causal=causal, max_distance=max_distance, norm=norm)
    block.build((None, None, 8))
    for weight in block.weights:
        weight.assign(np.random.default_rng(2).normal(size=weight.shape, scale=0.5))
    visible = np.random.default_rng(3).random(x.shape[:2]) < 0.7
    whole = np.asarray(block(tf.constant(x), visible=tf.constant(visible)))
    last = np.asarray(block.last(tf.constant(x), visible=tf.constant(visible)))
    np.testing.assert_allclose(last, whole[:, -1], atol=1e-5)


def test_an_open_length_changes_nothing(x: np.ndarray) -> None:
    block = TransformerBlock(8, heads=2, causal=True, max_distance=8)
    block.build((None, None, 8))
    block.distance_bias.assign(np.random.default_rng(1).normal(size=(8, 2)))
    visible = np.ones(x.shape[:2], bool)
    opened = tf.function(
        lambda x, visible: block(x, visible=visible),
        input_signature=[tf.TensorSpec((None, None, 8)), tf.TensorSpec((None, None), tf.bool)],
        autograph=False,
    )
    whole = block(tf.constant(x), visible=tf.constant(visible))
    np.testing.assert_allclose(opened(x, visible), whole, atol=1e-5)


def test_heads_must_divide_dim() -> None:
    with pytest.raises(ValueError, match="heads=3, dim=8"):
        TransformerBlock(8, heads=3)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(ValueError, match="norm: received 'Post', expected one of pre, post"):
        TransformerBlock(8, heads=2, norm="Post")  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_round_trip(x: np.ndarray, norm: Norm) -> None:
    block = TransformerBlock(8, heads=2, dropout=0.1, causal=True, max_distance=4, norm=norm)
    visible = np.ones((2, 5), bool)
    expected = run(block, x, visible)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(block))
    if not again.built:
        again.build((None, None, 8))
    again.set_weights(block.get_weights())
    assert again.get_config() == block.get_config()
    np.testing.assert_allclose(run(again, x, visible), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("ends", "longest", "expected"),
    [([0, 0], 50, 9), ([9, 1], 50, 9), ([3, 10], 50, 18), ([46], 50, 50), ([1], 4, 1), ([2], 16, 3), ([16], 16, 16)],
)
def test_one_of_six_lengths_holds_what_is_filled(ends: list[int], longest: int, expected: int) -> None:
    assert int(filled_length(tf.constant(ends), longest)) == expected
    assert int(filled_length(tf.constant(ends), tf.constant(longest))) == expected  # known only as the graph runs


def test_an_empty_batch_still_has_a_length() -> None:
    assert int(filled_length(tf.zeros((0, 3), tf.int32), 50)) == 9
