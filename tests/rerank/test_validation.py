import numpy as np

from rerank.lists import RankingLists
from rerank.validation import click_gains, head_metrics, mean_ndcg, order_metrics

EXAMINATION = np.array([1.0, 0.5, 0.05], np.float32)


def lists() -> RankingLists:
    """Three shown products, the second and third clicked, and a candidate that was not shown."""
    flags = np.array([[False, True, True, False]])
    none = np.zeros((1, 4), bool)
    return RankingLists(
        row=np.array([[0, 1, 2, 3]], np.int32),
        score=np.array([[0.9, 0.8, 0.7, 0.6]], np.float32),
        rank=np.array([[0, 1, 2, 3]], np.float32),
        best_score=np.array([0.9], np.float32),
        position=np.array([[1, 2, 3, 0]], np.int32),
        shown=np.array([[True, True, True, False]]),
        retrieved=np.ones((1, 4), bool),
        click=flags,
        cart=none,
        purchase=none,
    )


def test_clicks_are_weighted_by_inverse_examination_up_to_ten() -> None:
    np.testing.assert_allclose(click_gains(lists(), EXAMINATION), [[0, 2, 10, 0]])


def test_mean_ndcg_by_hand() -> None:
    everything = np.ones((1, 4), bool)
    gain = np.array([[0, 1, 1, 0]], np.float32)
    # Ranks 2 and 3: 1 / log2(3) + 1 / log2(4) over 1 + 1 / log2(3).
    expected = (1 / np.log2(3) + 0.5) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(mean_ndcg(lists().score, gain, everything), expected)
    assert mean_ndcg(-lists().score, gain, np.array([[False, True, True, False]])) == 1.0
    assert np.isnan(mean_ndcg(lists().score, 0 * gain, everything))


def test_order_and_heads() -> None:
    perfect = np.array([[-4.0, -1.0, -0.5, -5.0]], np.float32)
    orders = order_metrics(lists(), perfect, EXAMINATION, lists().shown)
    assert orders["ndcg@10_after"] == orders["corrected_ndcg@10_after"] == 1.0
    assert orders["ndcg@10_before"] < 1
    heads = head_metrics(lists(), {"click": perfect, "cart": perfect}, EXAMINATION)
    assert heads["click"]["examples"] == 3
    np.testing.assert_allclose(heads["click"]["base_rate"], 2 / 3)
