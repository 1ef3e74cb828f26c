import tensorflow as tf

from towers.training_step import make_strangers


def test_the_unlucky_lose_their_history_and_half_of_them_their_profile() -> None:
    luck = tf.constant([0.0, 0.1, 0.2, 0.9])
    profile = tf.constant([[1], [2], [3], [4]])
    history, left = make_strangers(tf.constant([True, True, True, False]), profile, luck, share=0.2)
    assert history.numpy().tolist() == [False, False, True, False]
    assert left.numpy().tolist() == [[0], [2], [3], [4]]


def test_a_share_of_nothing_takes_nothing() -> None:
    history, left = make_strangers(tf.constant([True]), tf.constant([[7]]), tf.constant([0.0]), share=0.0)
    assert (history.numpy().tolist(), left.numpy().tolist()) == ([True], [[7]])
