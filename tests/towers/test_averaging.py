import keras
import pytest

from towers.averaging import WeightAverage


def test_the_average_follows_and_is_lent_to_the_model() -> None:
    weight = keras.Variable(0.0)
    average = WeightAverage([weight], decay=0.5)
    weight.assign(10.0)
    average.update()  # keeps min(0.5, 1 / 5) = 0.2: 0.2 * 0 + 0.8 * 10 = 8
    weight.assign(20.0)
    average.update()  # keeps min(0.5, 2 / 6) = 1 / 3: 8 / 3 + 20 * 2 / 3 = 16
    with average.applied():
        assert float(weight) == pytest.approx(16.0)
    assert float(weight) == 20.0
    for _ in range(3):
        average.update()  # 3 / 7, then 0.5, then 0.5: 20 - 4 * 3 / 7 * 0.5 * 0.5
    with average.applied():
        assert float(weight) == pytest.approx(20 - 4 * 3 / 7 / 4)


def test_the_models_own_weights_come_back_after_an_error() -> None:
    weight = keras.Variable(1.0)
    average = WeightAverage([weight], decay=0.0)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert float(weight) == 1.0


def test_a_decay_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="received 1"):
        WeightAverage([], decay=1.0)
