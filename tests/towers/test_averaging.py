import keras
import pytest

from towers.averaging import WeightAverage


def test_the_average_follows_and_is_lent_to_the_model() -> None:
    weight = keras.Variable(0.0)
    average = WeightAverage([weight], decay=0.5)
    weight.assign(10.0)
    average.update()  # 1 update: decay min(0.5, 1 / 10) = 0.1: 0.1 * 0 + 0.9 * 10 = 9
    weight.assign(20.0)
    average.update()  # 2 updates: decay 2 / 11: 9 * 2 / 11 + 20 * 9 / 11 = 18
    with average.applied():
        assert float(weight) == pytest.approx(18.0)
    assert float(weight) == 20.0


def test_the_models_own_weights_come_back_after_an_error() -> None:
    weight = keras.Variable(1.0)
    average = WeightAverage([weight], decay=0.0)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert float(weight) == 1.0


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="received 1"):
        WeightAverage([], decay=1.0)
