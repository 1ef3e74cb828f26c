import numpy as np
import pytest
import tensorflow as tf

from towers.retrieval_task import RetrievalTask

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0]])
CANDIDATES = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])


def loss(
    rows: list[int],
    weights: list[float],
    probabilities: list[float],
    temperature: float = 1.0,
    logq: bool = True,
) -> float:
    return float(
        RetrievalTask(logq)(
            QUERIES,
            CANDIDATES,
            tf.constant(rows),
            tf.constant(weights),
            tf.constant(temperature),
            tf.constant(probabilities),
        )
    )


def softmax_loss(logits: list[float], answer: int) -> float:
    return float(np.log(np.exp(logits).sum()) - logits[answer])


def test_mean_of_softmax_losses_with_a_further_negative() -> None:
    # scores: query 0: 1, 0, 0.6; query 1: 0, 1, 0.8; all drawn alike, so logQ shifts every score by the same
    expected = (softmax_loss([1, 0, 0.6], 0) + softmax_loss([0, 1, 0.8], 1)) / 2
    assert loss([5, 6, 7], [1.0, 1.0], [0.1, 0.1, 0.1]) == pytest.approx(expected, rel=1e-5)


def test_weights_make_a_weighted_mean() -> None:
    expected = (3 * softmax_loss([1, 0, 0.6], 0) + softmax_loss([0, 1, 0.8], 1)) / 4
    assert loss([5, 6, 7], [3.0, 1.0], [0.1, 0.1, 0.1]) == pytest.approx(expected, rel=1e-5)


def test_logq_takes_the_log_of_the_probability_off() -> None:
    off = -np.log([0.5, 0.1, 0.01])
    expected = (
        softmax_loss([1 + off[0], off[1], 0.6 + off[2]], 0) + softmax_loss([off[0], 1 + off[1], 0.8 + off[2]], 1)
    ) / 2
    assert loss([5, 6, 7], [1.0, 1.0], [0.5, 0.1, 0.01]) == pytest.approx(expected, rel=1e-5)
    without = (softmax_loss([1, 0, 0.6], 0) + softmax_loss([0, 1, 0.8], 1)) / 2
    assert loss([5, 6, 7], [1.0, 1.0], [0.5, 0.1, 0.01], logq=False) == pytest.approx(without, rel=1e-5)


def test_an_accidental_hit_is_no_negative() -> None:
    # the third candidate is the product of query 0 again: query 0 is left with 1 and 0, query 1 keeps all three
    expected = (softmax_loss([1, 0], 0) + softmax_loss([0, 1, 0.8], 1)) / 2
    assert loss([5, 6, 5], [1.0, 1.0], [0.1, 0.1, 0.1]) == pytest.approx(expected, rel=1e-5)


def test_temperature_divides_the_scores() -> None:
    expected = (softmax_loss([2, 0, 1.2], 0) + softmax_loss([0, 2, 1.6], 1)) / 2
    assert loss([5, 6, 7], [1.0, 1.0], [0.1, 0.1, 0.1], temperature=0.5) == pytest.approx(expected, rel=1e-5)


def test_no_weight_at_all_is_a_loss_of_zero() -> None:
    assert loss([5, 6, 7], [0.0, 0.0], [0.1, 0.1, 0.1]) == 0.0


def test_an_extra_negative_that_no_one_wants_changes_little_and_never_lowers_the_loss() -> None:
    task = RetrievalTask()
    two = task(QUERIES, CANDIDATES[:2], tf.constant([1, 2]), tf.ones(2), tf.constant(0.1), tf.fill((2,), 0.1))
    three = task(QUERIES, CANDIDATES, tf.constant([1, 2, 3]), tf.ones(2), tf.constant(0.1), tf.fill((3,), 0.1))
    assert float(three) > float(two)


def test_it_runs_inside_a_graph_and_has_gradients() -> None:
    task = RetrievalTask()

    @tf.function(autograph=False)
    def gradient(queries: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(queries)
            value = task(queries, CANDIDATES, tf.constant([1, 2, 3]), tf.ones(2), tf.constant(1.0), tf.fill((3,), 0.1))
        return tape.gradient(value, queries)

    assert np.abs(gradient(QUERIES).numpy()).max() > 0
