import numpy as np
import pytest

from evaluation.position_rates import position_rates


def page(*clicks, first=1):
    return [{"product": 0, "position": first + place, "click": click} for place, click in enumerate(clicks)]


@pytest.fixture
def log(make_store):
    pages = [page(True, False), page(False, False), page(True, True), page(True, first=60)]
    requests = [
        {"query": 0, "slice": 0},
        {"query": 0, "slice": 2},
        {"query": 0, "slice": 3},  # a test day: not known yet
        {"query": -1, "slice": 1},
    ]
    return make_store(1, 1, ["red"], requests=requests, impressions=pages)


def test_rates_of_the_days_before_drawn_towards_their_mean(log):
    rates = position_rates(log, "search", "click")
    mean = (1 + 1) / (4 + 2)
    np.testing.assert_allclose(rates[1:3], [(1 + 20 * mean) / 22, (0 + 20 * mean) / 22])
    np.testing.assert_allclose(rates[[0, *range(3, 51)]], mean)
    assert len(rates) == 51


def test_deep_positions_share_the_last_rate(log):
    rates = position_rates(log, "recommendation", "click")
    mean = (1 + 1) / (1 + 2)
    assert rates[50] == pytest.approx((1 + 20 * mean) / 21)
    assert rates[1] == pytest.approx(mean)


def test_unknown_positions_have_a_rate_of_their_own(make_store):
    pages = [page(True, first=0), page(True, first=0), page(False, first=1)]
    requests = [{"query": 0, "slice": 0}] * 3
    rates = position_rates(make_store(1, 1, ["red"], requests=requests, impressions=pages), "search", "click")
    mean = (2 + 1) / (3 + 2)
    np.testing.assert_allclose(rates[:3], [(2 + 20 * mean) / 22, (0 + 20 * mean) / 21, mean])


def test_what_never_happened_is_not_impossible(log):
    assert (position_rates(log, "search", "purchase") > 0).all()


def test_what_was_bought_was_clicked(make_store):
    bought = [{"product": 0, "position": 1, "purchase": True}]
    log = make_store(1, 1, ["red"], requests=[{"query": 0, "slice": 0}], impressions=[bought])
    rates = [position_rates(log, "search", head)[1] for head in ("click", "cart", "purchase")]
    mean = (1 + 1) / (1 + 2)
    assert rates == pytest.approx([(1 + 20 * mean) / 21, 20 * (1 / 3) / 21, (1 + 20 * mean) / 21])
