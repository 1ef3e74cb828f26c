import numpy as np
import pytest
import tensorflow as tf

from rerank.config import RerankConfig
from rerank.losses import ListLabels, item_weights, list_loss, listwise_loss, pointwise_loss, teacher_loss
from rerank.ranking_model import HeadLogs, ranking_score

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


def test_teacher_loss_by_hand() -> None:
    # The teacher's odds are 3 : 1 : 4 over the three products, the network's 0.5 : 0.4 : 0.2; padding has none.
    teacher = tf.math.log([[3.0, 1.0, 4.0, 100.0]])
    share = np.array([0.5, 0.4, 0.2]) / 1.1
    expected = -(3 * np.log(share[0]) + np.log(share[1]) + 4 * np.log(share[2])) / 8
    np.testing.assert_allclose(teacher_loss(tf.math.log(CLICK), teacher, LABELS), [expected], rtol=1e-5)


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


def test_the_configured_losses_are_added() -> None:
    logs = HeadLogs(*(tf.math.log(values) for values in (CLICK, CART, PURCHASE)))
    examined = tf.math.log(EXAMINED)

    def loss(**settings: object) -> np.ndarray:
        config = RerankConfig(pointwise_weight=2.0, listwise_weight=0.5, unshown_weight=0.1, **settings)  # type: ignore[arg-type]
        return list_loss(logs, examined, LABELS, config).numpy()

    # Clicked and put in the cart, where a click counts 1 and a cart 1.
    listwise = listwise_loss(ranking_score(logs, 1.0, 2.0), examined, LABELS.click * 2.0, LABELS, 0.1).numpy()
    pointwise = pointwise_loss(logs, examined, LABELS).numpy()
    np.testing.assert_allclose(loss(loss="pointwise"), 2 * pointwise, rtol=1e-5)
    np.testing.assert_allclose(loss(loss="listwise"), 0.5 * listwise, rtol=1e-5)
    np.testing.assert_allclose(loss(), 2 * pointwise + 0.5 * listwise, rtol=1e-5)


def test_a_head_alone_learns_from_its_own_labels() -> None:
    logs = HeadLogs(*(tf.math.log(CLICK),) * 3)
    loss = list_loss(logs, tf.math.log(EXAMINED), LABELS, RerankConfig(heads="purchase", loss="pointwise"))
    # Nothing was bought: the shown ones at 0.5, and at 0.4 seen by half.
    np.testing.assert_allclose(loss, [-np.log(1 - 0.5) - np.log(1 - 0.2)], rtol=1e-5)
