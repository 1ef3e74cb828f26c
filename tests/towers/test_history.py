from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from towers.history import HistoryEncoder, ItemEncoder, gap_buckets, push_right


def test_gap_buckets_by_hand() -> None:
    # 1 + floor(log2(1 + s)): 0 s -> 1, 1 s -> 2, 2 s -> 2, 3 s -> 3, a day of 86,400 s -> 1 + 16; negative as 0 s
    seconds = tf.constant([0, 1, 2, 3, 86_400, -5, 2**62], tf.int64)
    assert gap_buckets(seconds).numpy().tolist() == [1, 2, 2, 3, 17, 1, 31]


def test_push_right_keeps_the_order_of_what_is_there() -> None:
    present = tf.constant([[True, False, True, False], [False, False, False, False], [True, True, True, True]])
    values = tf.constant([[1, 2, 3, 4], [5, 6, 7, 8], [1, 2, 3, 4]])
    moved_present, moved = push_right(present, values)
    assert moved_present.numpy()[0].tolist() == [False, False, True, True]
    assert moved.numpy()[0, 2:].tolist() == [1, 3]
    assert moved.numpy()[2].tolist() == [1, 2, 3, 4]


@pytest.fixture
def encoder() -> HistoryEncoder:
    layer = HistoryEncoder(length=6, dim=8, blocks=2, heads=2, dropout=0.0)
    layer.build((None, 6, 8))
    for block in layer.blocks:
        block.distance_bias.assign(np.random.default_rng(1).normal(size=(6, 2)))
    return layer


def states(encoder: HistoryEncoder, items: np.ndarray, kinds: list[int], timestamps: list[int]) -> np.ndarray:
    kind = tf.constant([kinds], tf.int32)
    return np.asarray(
        encoder(
            tf.constant(items[None], tf.float32),
            kinds=kind,
            timestamps=tf.constant([timestamps], tf.int64),
            present=kind > 0,
        )
    )[0]


@pytest.fixture
def items() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(6, 8)).astype(np.float32)


def test_padding_on_the_left_changes_nothing(encoder: HistoryEncoder, items: np.ndarray) -> None:
    short = states(encoder, items[:3], [2, 3, 2], [100, 160, 400])
    padded = states(encoder, np.concatenate([9 * items[3:], items[:3]]), [0, 0, 0, 2, 3, 2], [0, 0, 0, 100, 160, 400])
    np.testing.assert_allclose(padded[3:], short, atol=1e-5)


def test_the_future_changes_nothing(encoder: HistoryEncoder, items: np.ndarray) -> None:
    before = states(encoder, items, [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6])
    items[4:] = 5.0
    after = states(encoder, items, [1, 2, 3, 4, 1, 1], [1, 2, 3, 4, 999, 9999])
    np.testing.assert_allclose(after[:4], before[:4], atol=1e-5)


def test_times_count_only_as_gaps(encoder: HistoryEncoder, items: np.ndarray) -> None:
    kinds = [1, 2, 3, 4, 5, 6]
    early, late = (
        states(encoder, items, kinds, [0, 9, 30, 31, 90, 99]),
        states(encoder, items, kinds, [7, 16, 37, 38, 97, 106]),
    )
    np.testing.assert_allclose(early, late, atol=1e-6)
    assert np.abs(states(encoder, items, kinds, [0, 900, 930, 931, 990, 999]) - early).max() > 1e-3


def test_kinds_and_order_matter(encoder: HistoryEncoder, items: np.ndarray) -> None:
    last = states(encoder, items, [1, 2, 3, 4, 5, 6], [0] * 6)[-1]
    assert np.abs(states(encoder, items, [1, 2, 3, 4, 5, 1], [0] * 6)[-1] - last).max() > 1e-3
    swapped = items[[1, 0, 2, 3, 4, 5]]
    assert np.abs(states(encoder, swapped, [2, 1, 3, 4, 5, 6], [0] * 6)[-1] - last).max() > 1e-4


@pytest.mark.parametrize("blocks", [0, 1, 2])
def test_the_last_state_alone_is_that_of_the_whole(blocks: int, items: np.ndarray) -> None:
    encoder = HistoryEncoder(length=6, dim=8, blocks=blocks, heads=2, dropout=0.3)
    encoder.build((None, 6, 8))
    kinds = tf.constant([[0, 0, 1, 2, 1, 3]], tf.int32)
    inputs = {"kinds": kinds, "timestamps": tf.constant([[0, 0, 10, 20, 500, 501]], tf.int64), "present": kinds > 0}
    vectors = tf.constant(items[None], tf.float32)
    last = encoder.last(vectors, **inputs)
    np.testing.assert_allclose(last, encoder(vectors, **inputs)[:, -1], atol=1e-5)
    # Nor does it depend on how much padding there is on the left.
    shorter = encoder.last(vectors[:, 2:], **{name: values[:, 2:] for name, values in inputs.items()})
    np.testing.assert_allclose(last, shorter, atol=1e-5)


def test_read_scales_and_shifts_by_the_time_since(encoder: HistoryEncoder) -> None:
    table = np.zeros((32, 16), np.float32)
    table[2, :8], table[2, 8:] = 1.0, 0.5  # bucket 2 is 1 to 2 seconds: state * (1 + 1) + 0.5
    encoder.since.set_weights([table])
    state = tf.ones((3, 8))
    answers = encoder.read(state, tf.constant([1, 0, 1], tf.int64), tf.constant([True, True, False])).numpy()
    np.testing.assert_allclose(answers[:, 0], [2.5, 1.0, 0.0])


PARTS = {"kind": [1.0, 0.0], "gap": [0.0, 2.0]}


@pytest.mark.parametrize(
    ("gaps", "kinds", "total"),
    [(True, True, [4.0, 6.0]), (False, True, [4.0, 4.0]), (True, False, [3.0, 6.0]), (False, False, [3.0, 4.0])],
)
def test_what_is_switched_off_is_neither_added_nor_there(gaps: bool, kinds: bool, total: list[float]) -> None:
    encoder = HistoryEncoder(length=2, dim=2, blocks=0, heads=1, dropout=0.0, gaps=gaps, kinds=kinds)
    encoder.build((None, 2, 2))
    on = {"kind": kinds, "gap": gaps}
    for name, vector in PARTS.items():
        if on[name]:
            table = getattr(encoder, name)
            table.set_weights([np.tile(vector, (table.input_dim, 1))])
    # The item [3, 4] plus [1, 0] for its kind and [0, 2] for its gap, over the root of the mean square of all that.
    state = states(encoder, np.array([[3.0, 4.0]]), [2], [100])[0]
    np.testing.assert_allclose(state, np.array(total) / np.sqrt(np.square(total).mean()), atol=1e-5)
    # Weights: two scales of norms; one table of kinds; those of gaps and of the time since.
    assert len(encoder.weights) == 2 + kinds + 2 * gaps
    assert {variable.path.split("/")[-2] for variable in encoder.weights} == {
        "norm_in", "norm_out", *(["kind"] if kinds else []), *(["gap", "since"] if gaps else [])
    }  # fmt: skip


def test_without_gaps_no_time_is_read(items: np.ndarray) -> None:
    encoder = HistoryEncoder(length=6, dim=8, blocks=1, heads=2, dropout=0.0, gaps=False)
    encoder.build((None, 6, 8))
    kinds = [1, 2, 3, 4, 5, 6]
    early, late = (
        states(encoder, items, kinds, times) for times in ([0, 1, 2, 3, 4, 5], [0, 900, 930, 931, 990, 9999])
    )
    np.testing.assert_array_equal(early, late)
    since = tf.constant([0, 86_400, 1], tf.int64)
    answers = encoder.read(tf.fill((3, 8), 2.0), since, tf.constant([True, True, False])).numpy()
    np.testing.assert_array_equal(answers[:, 0], [2.0, 2.0, 0.0])


def test_without_kinds_all_events_are_alike(items: np.ndarray) -> None:
    encoder = HistoryEncoder(length=6, dim=8, blocks=1, heads=2, dropout=0.0, kinds=False)
    encoder.build((None, 6, 8))
    mixed, clicks = (states(encoder, items, kinds, [0, 9, 30, 31, 90, 99]) for kinds in ([1, 2, 3, 4, 5, 6], [3] * 6))
    np.testing.assert_array_equal(mixed, clicks)


def test_an_item_is_the_sum_of_its_parts() -> None:
    layer = ItemEncoder(categories=3, dim=4)
    identity, content = tf.ones((1, 2, 4)), tf.constant([[[1.0, 0, 0, 0], [0.0, 0, 0, 0]]])
    layer.build((1, 2, 4))
    layer.content.set_weights([np.eye(4) * 2])
    layer.category.set_weights([np.array([[0.0] * 4, [10.0] * 4, [20.0] * 4])])
    item = layer(identity, category=tf.constant([[1, 2]]), content=content).numpy()
    np.testing.assert_allclose(item[0], [[13, 11, 11, 11], [21, 21, 21, 21]])


@pytest.mark.parametrize("off", [{}, {"gaps": False}, {"kinds": False, "norm": "post"}])
def test_round_trips(off: dict[str, Any], items: np.ndarray) -> None:
    encoder = HistoryEncoder(length=6, dim=8, blocks=2, heads=2, dropout=0.0, **off)
    encoder.build((None, 6, 8))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(encoder))
    if not again.built:
        again.build((None, 6, 8))
    again.set_weights(encoder.get_weights())
    assert again.get_config() == encoder.get_config()
    assert again.get_config().items() >= off.items()
    kinds, timestamps = [1, 2, 3, 4, 5, 6], [0, 9, 30, 31, 90, 99]
    np.testing.assert_allclose(
        states(again, items, kinds, timestamps), states(encoder, items, kinds, timestamps), atol=1e-6
    )
    item = ItemEncoder(categories=3, dim=4)
    assert ItemEncoder.from_config(item.get_config()).get_config() == item.get_config()
