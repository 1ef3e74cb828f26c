import numpy as np
import pytest
import tensorflow as tf

from rerank.losses import ListLabels, item_weights, listwise_loss, pointwise_loss
from rerank.ranking_model import HeadLogs

# Three products: shown and clicked, shown and not, retrieved only; the last place is padding.
LABELS = ListLabels(
    click=tf.constant([[1.0, 0.0, 0.0, 0.0]]),
    cart=tf.constant([[1.0, 0.0, 0.0, 0.0]]),
    purchase=tf.zeros([1, 4]),
    shown=tf.constant([[True, True, False, False]]),
    present=tf.constant([[True, True, True, False]]),
)
CLICK = np.array([[0.5, 0.4, 0.2, 0.9]], np.float32)
CART, PURCHASE = CLICK / 2, CLICK / 4
EXAMINED = np.array([[1.0, 0.5, 1.0, 1.0]], np.float32)


def test_item_weights() -> None:
    np.testing.assert_allclose(item_weights(LABELS, 0.1), [[1, 1, 0.1, 0]])


def test_pointwise_loss_by_hand() -> None:
    logs = HeadLogs(*(tf.math.log(values) for values in (CLICK, CART, PURCHASE)))
    loss = pointwise_loss(logs, tf.math.log(EXAMINED), LABELS)
    clicked = -np.log(0.5) - np.log(0.25) - np.log(1 - 0.125)
    skipped = -np.log(1 - 0.2) - np.log(1 - 0.1) - np.log(1 - 0.05)
    # The third product was not shown and the fourth is padding.
    np.testing.assert_allclose(loss, [clicked + skipped], rtol=1e-5)


def test_certainty_keeps_the_loss_finite() -> None:
    logs = HeadLogs(*(tf.zeros([1, 4]) for _ in range(3)))
    assert np.isfinite(pointwise_loss(logs, tf.zeros([1, 4]), LABELS)).all()


def test_listwise_loss_by_hand() -> None:
    loss = listwise_loss(tf.math.log(CLICK), tf.math.log(EXAMINED), LABELS.click, LABELS, 0.1)
    # Odds of being the one that is chosen: 0.5, 0.4 x 0.5 and 0.2 x 0.1.
    np.testing.assert_allclose(loss, [-np.log(0.5 / (0.5 + 0.2 + 0.02))], rtol=1e-5)


@pytest.mark.parametrize("unshown_weight", [0.0, 0.1])
def test_a_list_without_clicks_adds_nothing(unshown_weight: float) -> None:
    nothing = LABELS._replace(click=tf.zeros([1, 4]))
    loss = listwise_loss(tf.math.log(CLICK), tf.math.log(EXAMINED), nothing.click, nothing, unshown_weight)
    np.testing.assert_allclose(loss, [0.0])


def test_padding_changes_nothing() -> None:
    longer = ListLabels(*(tf.pad(column, [[0, 0], [0, 2]]) for column in LABELS))
    pad = lambda values: np.pad(np.log(values), ((0, 0), (0, 2)))  # noqa: E731
    short = HeadLogs(*(tf.math.log(values) for values in (CLICK, CART, PURCHASE)))
    long = HeadLogs(*(tf.constant(pad(values)) for values in (CLICK, CART, PURCHASE)))
    np.testing.assert_allclose(
        pointwise_loss(short, tf.math.log(EXAMINED), LABELS),
        pointwise_loss(long, tf.constant(pad(EXAMINED)), longer),
        rtol=1e-6,
    )
    np.testing.assert_allclose(
        listwise_loss(short.click, tf.math.log(EXAMINED), LABELS.click, LABELS, 0.1),
        listwise_loss(long.click, tf.constant(pad(EXAMINED)), longer.click, longer, 0.1),
        rtol=1e-6,
    )
