"""Maps that make predictions come true, against clicks whose probabilities are known."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import ArtifactError
from rerank.calibration import (
    Calibration,
    Calibrator,
    HeadMaps,
    Predicted,
    _fit,
    _knots,
    _slopes,
    fit_calibration,
    mapped,
)
from rerank.ranking_model import HeadLogs

EXAMINATION = np.array([1.0, 0.5, 0.25], np.float32)


def lists(log: np.ndarray, truth: np.ndarray, seed: int = 0) -> Any:
    """[R, 3] pages on which a product at position r is clicked with P(examined at r) x truth; nothing is bought."""
    random = np.random.default_rng(seed)
    position = np.broadcast_to(np.arange(1, 4), log.shape)
    click = random.random(log.shape) < truth * EXAMINATION
    none = np.zeros(log.shape, bool)
    return SimpleNamespace(position=position, shown=~none, click=click, cart=none, purchase=none)


def searches(log: np.ndarray) -> np.ndarray:
    return np.ones(len(log), bool)


def heads(log: np.ndarray) -> HeadLogs:
    return HeadLogs(*(np.asarray(log, np.float32) - shift for shift in (0.0, 2.0, 3.0)))


def fitted(
    log: np.ndarray,
    page: Any,
    asked: np.ndarray,
    training: Any = None,
    earlier_log: np.ndarray | None = None,
    met: np.ndarray | None = None,
    events: np.ndarray | None = None,
) -> Calibration:
    """Calibrated on those pages, of products that were all met and people without a history unless given.

    Training pages are none unless given, with the same predictions unless given too.
    """
    nothing = SimpleNamespace(**{name: np.zeros((0, 3), bool) for name in ("shown", "click", "cart", "purchase")})
    nothing.position = np.zeros((0, 3), np.int32)
    no_one = np.zeros(0, np.int64)
    none = Predicted(HeadLogs(*(np.zeros((0, 3)),) * 3), nothing, np.zeros(0, bool), nothing.shown, no_one)  # type: ignore[arg-type]
    told = log if earlier_log is None else earlier_log
    new = np.zeros(len(told), np.int64)
    earlier = none if training is None else Predicted(heads(told), training, searches(told), training.shown, new)
    known = page.shown if met is None else met
    lengths = np.zeros(len(log), np.int64) if events is None else events
    return fit_calibration(Predicted(heads(log), page, asked, known, lengths), earlier, EXAMINATION)


def calibrated(calibration: Calibration, log: Any) -> np.ndarray:
    return clicks(calibration, heads(log))


def clicks(
    calibration: Calibration,
    logs: HeadLogs,
    asked: np.ndarray | None = None,
    met: np.ndarray | None = None,
    events: np.ndarray | None = None,
) -> np.ndarray:
    """Logs of clicks, [B, C], of searches without a history and of products that were met unless told otherwise."""
    asked = searches(logs.click) if asked is None else asked
    known = np.ones(logs.click.shape, bool) if met is None else met
    whole = HeadLogs(*(tf.constant(part, tf.float32) for part in logs))
    lengths = tf.zeros(len(asked)) if events is None else tf.constant(events, tf.float32)
    return Calibrator(calibration)(whole, tf.constant(asked), tf.constant(known), lengths).click.numpy()


def both(maps: HeadMaps) -> Calibration:
    return Calibration(maps, maps, np.zeros(2, np.float32), np.zeros((2, 3, 4), np.float32))


def test_overconfident_predictions_come_true() -> None:
    log = np.log(np.random.default_rng(1).uniform(0.02, 0.9, (20_000, 3)))
    truth = 0.5 * np.exp(log) ** 1.5
    calibration = fitted(log, lists(log, truth), searches(log))
    told = np.exp(calibrated(calibration, log))
    # Below 0.1 lie some twenty clicks, which chance moves by a fifth; no part of the map rests on so few.
    for low, high in ((0.1, 0.3), (0.3, 0.6), (0.6, 0.9)):
        part = (np.exp(log) >= low) & (np.exp(log) < high)
        assert told[part].mean() / truth[part].mean() == pytest.approx(1.0, abs=0.1)


def test_a_head_with_few_positives_is_only_scaled_and_one_without_stays() -> None:
    log = np.full((30, 3), np.log(0.5))
    page = lists(log, np.full((30, 3), 0.25))
    page.click = np.zeros((30, 3), bool)
    page.click[:10, 0] = True
    # Expected 30 x 0.5 x (1 + 0.5 + 0.25) = 26.25, found 10: 10 / 26.25 of what was predicted.
    calibration = fitted(log, page, searches(log))
    np.testing.assert_allclose(np.exp(calibrated(calibration, log)), 0.5 * 10 / 26.25, rtol=1e-4)
    np.testing.assert_array_equal(calibration.search.knots[2], calibration.search.values[2])


def test_how_many_clicks_there_are_is_read_from_training_days_too() -> None:
    log = np.log(np.random.default_rng(3).uniform(0.1, 0.5, (20_000, 3)))
    # As many pages again had clicks by the prediction, the held-out ones half as many again: 1.25 in all.
    page, usual = lists(log, 1.5 * np.exp(log)), lists(log, np.exp(log), seed=1)
    told = np.exp(calibrated(fitted(log, page, searches(log), usual), log))
    assert told.mean() / np.exp(log).mean() == pytest.approx(1.25, rel=0.03)


def test_slopes_are_read_from_training_pages_too() -> None:
    random = np.random.default_rng(7)
    log, earlier = (np.log(random.uniform(0.002, 0.5, (pages, 3))) for pages in (150, 40_000))
    page, training = (lists(part, 0.5 * np.exp(part) ** 1.5, seed) for seed, part in enumerate((log, earlier)))
    # A dozen clicks on 150 pages tell next to nothing of slopes.
    told = np.exp(calibrated(fitted(log, page, searches(log), training, earlier), earlier))
    for low, high in ((0.1, 0.2), (0.2, 0.35), (0.35, 0.5)):
        part = (np.exp(earlier) >= low) & (np.exp(earlier) < high)
        assert told[part].sum() / (0.5 * np.exp(earlier[part]) ** 1.5).sum() == pytest.approx(1.0, abs=0.1)


def test_low_predictions_come_true_too() -> None:
    log = np.log(np.random.default_rng(5).uniform(0.002, 0.5, (60_000, 3)))
    truth = np.where(np.exp(log) < 0.05, 0.5, 1.0) * np.exp(log)
    told = np.exp(calibrated(fitted(log, lists(log, truth), searches(log)), log))
    for low, high in ((0.005, 0.02), (0.02, 0.04), (0.1, 0.5)):
        part = (np.exp(log) >= low) & (np.exp(log) < high)
        assert told[part].mean() / truth[part].mean() == pytest.approx(1.0, abs=0.15)


def test_predicted_and_found_positives_are_as_many() -> None:
    random = np.random.default_rng(2)
    log = np.log(random.uniform(0.05, 0.9, 5000))
    label = random.random(5000) < 0.3 * np.exp(log)
    seen = random.uniform(0.2, 1.0, 5000)
    knots = _knots(log, seen * np.exp(log), int(label.sum()))
    start, slopes = _slopes(log, label.astype(float), seen, knots)
    mapped = start + np.interp(log, knots, np.concatenate([[0], np.cumsum(slopes * np.diff(knots))]))
    assert (seen * np.exp(mapped)).sum() == pytest.approx(label.sum(), rel=1e-3)
    assert slopes.min() >= 0.25


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(-12, -1e-3), min_size=2, max_size=20))
def test_the_order_is_kept_and_probabilities_stay_below_one(seed: int, logs: list[float]) -> None:
    random = np.random.default_rng(seed)
    log = np.log(random.uniform(0.01, 0.99, (300, 3)))
    calibration = fitted(log, lists(log, random.random((300, 3)), seed), searches(log))
    told = calibrated(calibration, np.sort(logs)[None])[0]
    assert (np.diff(told) >= -1e-5).all()
    assert (told < 0).all()


def test_a_map_is_linear_between_its_knots_and_goes_on_beyond_them() -> None:
    knots, values = np.array([-3.0, -2.0, -1.0], np.float32), np.array([-4.0, -2.0, -1.5], np.float32)
    high = np.array([0.0, 1.0], np.float32)  # a map with fewer knots beside it
    maps = HeadMaps((knots, high, high), (values, high, high))
    told = clicks(both(maps), HeadLogs(*(np.array([[-3.5, -2.75, -1.5, -0.25]]),) * 3))[0]
    # Slope 2 below the first knot and between the first two, 0.5 between the others, 1 above the last.
    np.testing.assert_allclose(told, [-5.0, -3.5, -1.75, -0.75], rtol=1e-6)
    # What maps are fitted with is the same function.
    np.testing.assert_allclose(mapped(np.array([-3.5, -2.75, -1.5, -0.25]), knots, values), told, rtol=1e-6)


def test_the_level_counts_predictions_beyond_the_knots_as_they_are_served() -> None:
    random = np.random.default_rng(4)
    # Three neighbours are one group, so that the lowest and the highest prediction lie beyond the outer knots.
    log = np.sort(np.concatenate([np.log(random.uniform(0.01, 0.1, 17_998)), [-30.0, -0.5]]))
    happened, seen = random.random(18_000) < 0.5 * np.exp(log), np.ones(18_000)
    knots, values = _fit(log, happened, seen, np.ones(18_000))
    assert knots[0] > log[0]
    assert knots[-1] < log[-1]
    maps = HeadMaps((knots,) * 3, (values,) * 3)
    told = clicks(both(maps), HeadLogs(*(log[None],) * 3))[0]
    assert np.exp(told.astype(float)).sum() == pytest.approx(happened.sum(), rel=1e-5)
    assert told[-1] == pytest.approx(values[-1] + (log[-1] - knots[-1]), rel=1e-5)  # slope 1 above the last knot


def test_neither_cart_nor_purchase_is_likelier_than_a_click() -> None:
    up = np.array([-3.0, -2.0], np.float32)
    maps = HeadMaps((up, up, up), (up - 1, up + 1, up + 2))
    logs = HeadLogs(*(tf.constant([[-2.5]]),) * 3)
    click, cart, purchase = Calibrator(both(maps))(logs, tf.constant([True]), tf.constant([[True]]), tf.zeros(1))
    assert click.numpy() == cart.numpy() == purchase.numpy() == pytest.approx(-3.5)


def test_a_shop_that_logs_no_carts_sells_all_the_same() -> None:
    up = np.array([-3.0, -2.0], np.float32)
    maps = HeadMaps((up, up, up), (up, up, up))
    logs = HeadLogs(tf.constant([[-2.5]]), tf.constant([[-30.0]]), tf.constant([[-2.75]]))
    told = Calibrator(both(maps))(logs, tf.constant([True]), tf.constant([[True]]), tf.zeros(1))
    assert [log.numpy().item() for log in told] == pytest.approx([-2.5, -30.0, -2.75], abs=1e-5)


def test_searches_and_recommendations_have_maps_of_their_own() -> None:
    log = np.log(np.full((4000, 3), 0.4))
    asked = np.arange(4000) < 2000
    page = lists(log, np.where(asked, 0.4, 0.2)[:, None] * np.ones(3))
    calibration = fitted(log, page, asked)
    told = np.exp(clicks(calibration, heads(log), asked))
    assert told[0, 0] == pytest.approx(0.4, rel=0.08)
    assert told[-1, 0] == pytest.approx(0.2, rel=0.08)


def test_a_task_with_few_clicks_takes_the_maps_of_all() -> None:
    log = np.log(np.full((2000, 3), 0.4))
    page = lists(log, np.full((2000, 3), 0.3))
    calibration = fitted(log, page, np.arange(2000) > 5)
    everything = fitted(log, page, searches(log))
    for found, expected in zip(calibration.recommendation.values, everything.search.values, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_products_that_nobody_met_have_a_factor_of_their_own() -> None:
    random = np.random.default_rng(6)
    log, asked = np.log(random.uniform(0.1, 0.5, (20_000, 3))), np.arange(20_000) < 10_000
    met = random.random(log.shape) < 0.7
    # On recommendations such products are clicked half as often as predicted, on searches as others are.
    truth = np.exp(log) * np.where(met | asked[:, None], 1.0, 0.5)
    calibration = fitted(log, lists(log, truth), asked, met=met)
    assert np.exp(calibration.never_met) == pytest.approx([1.0, 0.5], abs=0.05)
    told = np.exp(clicks(calibration, heads(log), asked, met))
    for part in (~met & ~asked[:, None], met & ~asked[:, None], ~met & asked[:, None]):
        assert told[part].sum() / truth[part].sum() == pytest.approx(1.0, abs=0.06)


def test_a_few_clicks_on_products_that_nobody_met_move_little() -> None:
    log = np.log(np.full((400, 3), 0.4))
    page, met = lists(log, np.full((400, 3), 0.4)), np.ones((400, 3), bool)
    met[:5, 0] = False  # 5 at position 1, none of them clicked
    page.click[:5, 0] = False
    calibration = fitted(log, page, searches(log), met=met)
    told = float(np.exp(calibrated(calibration, log)[0, 0]))
    # None of 5 x told came; counted with twenty that came as predicted.
    assert np.exp(calibration.never_met[0]) == pytest.approx(20 / (20 + 5 * told), rel=1e-4)
    assert calibration.never_met[1] == 0  # no recommendation showed any


def test_what_is_added_by_the_length_of_a_history_is_linear_between_its_knots() -> None:
    flat = np.array([-3.0, -2.0], np.float32)
    maps = HeadMaps((flat,) * 3, (flat,) * 3)
    added = np.zeros((2, 3, 4), np.float32)
    added[0, 0], added[1, 0] = [0.4, 0, 0, 0], [0, -0.2, 0.1, 0.3]
    calibration = Calibration(maps, maps, np.zeros(2, np.float32), added)
    logs = heads(np.full((6, 1), -2.5))
    events = np.array([0, 1, 3, 7, 63, 500])
    # log4(1 + events) is 0, 0.5, 1, 1.5, 3 and 4.5, of which 3 counts at most.
    told = clicks(calibration, logs, np.zeros(6, bool), events=events)[:, 0]
    np.testing.assert_allclose(told, -2.5 + np.array([0, -0.1, -0.2, -0.05, 0.3, 0.3]), rtol=1e-5)
    told = clicks(calibration, logs, np.ones(6, bool), events=events)[:, 0]
    np.testing.assert_allclose(told, -2.5 + np.array([0.4, 0.2, 0, 0, 0, 0]), rtol=1e-5)


def test_short_and_long_histories_come_true_in_each_task() -> None:
    random = np.random.default_rng(8)
    log, asked = np.log(random.uniform(0.05, 0.4, (60_000, 3))), np.arange(60_000) < 30_000
    events = random.choice([0, 3, 15, 63], 60_000)
    # On recommendations the network takes no note of how long the history is; on searches nothing depends on it.
    worth = np.where(asked, 1.0, np.select([events == 0, events == 3], [1.3, 1.2], 0.8))
    truth = np.exp(log) * worth[:, None]
    calibration = fitted(log, lists(log, truth), asked, events=events)
    told = np.exp(clicks(calibration, heads(log), asked, events=events))
    for task in (asked, ~asked):
        for length in (0, 3, 15, 63):
            part = task & (events == length)
            assert told[part].sum() / truth[part].sum() == pytest.approx(1.0, abs=0.06)
    page = lists(log, truth)
    assert (told * EXAMINATION).sum() / page.click.sum() == pytest.approx(1.0, rel=0.01)


def test_carts_stay_as_many_whatever_the_length_says_of_clicks() -> None:
    random = np.random.default_rng(9)
    log, events = np.full((40_000, 3), np.log(0.3)), random.choice([0, 63], 40_000)
    page = lists(log, np.where(events == 0, 0.4, 0.2)[:, None] * np.ones(3))
    # Carts come of whoever has a long history.
    page.cart = page.click & (random.random(log.shape) < np.where(events == 0, 0.1, 0.8)[:, None])
    calibration = fitted(log, page, searches(log), events=events)
    logs = HeadLogs(*(tf.constant(part, tf.float32) for part in heads(log)))
    found = Calibrator(calibration)(
        logs, tf.constant(searches(log)), tf.constant(page.shown), tf.constant(events, tf.float32)
    )
    for head in ("click", "cart"):
        told = (np.exp(getattr(found, head).numpy().astype(float)) * EXAMINATION).sum()
        assert told / getattr(page, head).sum() == pytest.approx(1.0, rel=0.01)


def test_a_level_that_borrowed_maps_have_wrong_is_no_lengths() -> None:
    random = np.random.default_rng(10)
    log, asked = np.full((9500, 3), np.log(0.3)), np.arange(9500) < 8000
    events = np.where(random.random(9500) < 0.02, 63, 0)
    # Recommendations are clicked a tenth as often as searches, whose maps they take, whatever the history's length.
    page = lists(log, np.where(asked, 0.3, 0.02)[:, None] * np.ones(3))
    assert page.click[~asked].sum() < 100
    added = fitted(log, page, asked, events=events).by_history
    assert np.abs(added[:, 0]).max() < np.log(1.25)


def test_products_that_nobody_met_come_true_where_short_histories_see_more_of_them() -> None:
    random = np.random.default_rng(11)
    log, events = np.full((60_000, 3), np.log(0.2)), random.choice([0, 63], 60_000)
    met = random.random(log.shape) < np.where(events == 0, 0.5, 0.95)[:, None]
    truth = np.where(events == 0, 1.4, 0.7)[:, None] * np.exp(log)
    calibration = fitted(log, lists(log, truth), searches(log), met=met, events=events)
    told = np.exp(clicks(calibration, heads(log), searches(log), met, events))
    for part in (met, ~met):
        assert told[part].sum() / truth[part].sum() == pytest.approx(1.0, abs=0.05)


def test_a_few_clicks_of_short_histories_move_little() -> None:
    log = np.log(np.full((2000, 3), 0.3))
    page, events = lists(log, np.full((2000, 3), 0.3)), np.full(2000, 63)
    events[:6] = 0
    page.click[:6] = True  # 18 where 6 x 0.3 x (1 + 0.5 + 0.25) = 3.15 were predicted
    added = fitted(log, page, searches(log), events=events).by_history
    # Alone against 20 clicks as predicted, and as many that hold it to the next length: less than log(38 / 23.15).
    assert 0.1 < added[0, 0, 0] < np.log(38 / 23.15)
    assert abs(added[0, 0, 3]) < 0.01
    assert not added[1].any()  # no recommendations


def test_saved_and_loaded(tmp_path: Path) -> None:
    up = np.array([-3.0, -2.0], np.float32)
    added = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    maps = (HeadMaps((up, up - 1, up - 2), (up, up, up)), HeadMaps((up, up, up), (up - 5, up, up)))
    saved = Calibration(*maps, up, added)
    saved.save(tmp_path / "c.npz")
    loaded = Calibration.load(tmp_path / "c.npz")
    assert [knots.tolist() for knots in loaded.search.knots] == [[-3, -2], [-4, -3], [-5, -4]]
    assert loaded.recommendation.values[0].tolist() == [-8, -7]
    assert loaded.never_met.tolist() == [-3, -2]
    np.testing.assert_array_equal(loaded.by_history, added)
    (tmp_path / "c.npz").write_bytes(b"broken")
    with pytest.raises(ArtifactError, match="run the rerank stage again"):
        Calibration.load(tmp_path / "c.npz")
