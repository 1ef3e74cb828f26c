"""The examination curve, against curves and clicks that are known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from rerank.calibration import Predicted
from rerank.examination import Examination, fit_examination
from rerank.ranking_model import HeadLogs


def test_examination() -> None:
    examination = Examination(3)
    examination.start_from(np.array([1.0, 0.5, 0.25], np.float32))
    np.testing.assert_allclose(examination.curve(), [1.0, 0.5, 0.25], rtol=1e-5)
    # Unknown counts as examined; positions beyond the last share its value.
    np.testing.assert_allclose(np.exp(examination(tf.constant([0, 1, 2, 3, 9]))), [1, 1, 0.5, 0.25, 0.25], rtol=1e-5)


def test_a_power_of_the_position_is_met_exactly() -> None:
    examination = Examination(20)
    truth = np.arange(1, 21) ** -0.7
    examination.start_from(truth.astype(np.float32))
    np.testing.assert_allclose(examination.curve(), truth, rtol=1e-4)


def test_between_knots_the_curve_is_linear_in_logs() -> None:
    examination = Examination(5)
    examination.start_from(np.array([1.0, 0.5, 0.4, 0.9, 0.1], np.float32))
    # Knots 2, 3 and 5; position 4 lies log(4/3) / log(5/3) of the way from 3 to 5, whatever was given for it.
    share = np.log(4 / 3) / np.log(5 / 3)
    expected = [1, 0.5, 0.4, 0.4 ** (1 - share) * 0.1**share, 0.1]
    np.testing.assert_allclose(examination.curve(), expected, rtol=1e-4)


def test_a_curve_bends_where_its_power_changes() -> None:
    examination = Examination(5)
    examination.start_from((np.arange(1, 6) ** -0.7).astype(np.float32))
    assert float(examination.bend()) == pytest.approx(0, abs=1e-8)
    # Falls by a power of 1 up to position 2, of 0.5 up to 3 and of 0.8 up to 5: 0.5 and 0.3 of change.
    curve = np.array([1, 0.5, 0.5 * 1.5**-0.5, 0, 0.5 * 1.5**-0.5 * (5 / 3) ** -0.8])
    examination.start_from(curve.astype(np.float32))
    assert float(examination.bend()) == pytest.approx(0.5**2 + 0.3**2, rel=1e-3)
    assert float(Examination(5, learned=False).bend()) == 0


def test_without_position_bias_everything_is_examined() -> None:
    examination = Examination(5, learned=False)
    examination.start_from(np.full(5, 0.2, np.float32))
    assert examination.curve().tolist() == [1] * 5
    assert not examination.trainable_variables


def predicted(pages: int, curve: np.ndarray, evenness: float, seed: int = 0) -> Predicted:
    """Pages with better products higher, and a network that tells them apart too little where `evenness` is below 1."""
    random = np.random.default_rng(seed)
    log = np.sort(random.normal(-2.5, 0.7, (pages, len(curve))), axis=1)[:, ::-1].clip(max=-0.5)
    click = random.random(log.shape) < np.exp(log) * curve
    told = -2.5 + evenness * (log + 2.5)
    position = np.broadcast_to(np.arange(1, len(curve) + 1), log.shape)
    lists: Any = SimpleNamespace(shown=np.ones(log.shape, bool), position=position, click=click)
    asked, events = random.random(pages) < 0.7, np.zeros(pages, np.int64)
    return Predicted(HeadLogs(told, told - 1, told - 2), lists, asked, lists.shown, events)


def test_a_network_that_tells_products_apart_too_little_does_not_bend_the_curve() -> None:
    true = np.arange(1, 11) ** -0.7
    steep = true * np.arange(1, 11) ** -0.3  # what makes up for half of how products differ
    found = fit_examination([predicted(20_000, true, 0.5), predicted(20_000, true, 0.5, seed=1)], steep, 0.03)
    np.testing.assert_allclose(found, true, rtol=0.08)
    assert found[0] == 1


def test_clicks_enough_bend_a_curve() -> None:
    place = np.arange(1, 11)
    true = place**-0.3 * np.maximum(place / 5, 1) ** -1.2  # from position 5 on by a power of 1.5
    found = fit_examination([predicted(40_000, true, 1.0)], (place**-0.7).astype(np.float32), 0.3)
    np.testing.assert_allclose(found, true, rtol=0.1)


def test_too_few_clicks_leave_the_curve_as_it_was_learned() -> None:
    learned = np.array([1, 0.4, 0.3], np.float32)
    assert fit_examination([predicted(20, learned, 1.0)], learned, 0.03) is learned
