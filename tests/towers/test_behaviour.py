import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from catalog.thin_behaviour import ThinBehaviourConfig
from towers.behaviour import BehaviourEncoder, behaviour_presence, category_log_prices

COUNTERS = tuple(
    f"{kind}_{w}" for w in ("7d", "all") for kind in ("impression", "view", "click", "cart", "favourite", "purchase")
)
NAN = float("nan")


def inputs(**changes: object) -> dict[str, tf.Tensor]:
    values: dict[str, object] = {
        "counters": [[0.0] * 12],
        "price": [NAN],
        "category_price": [0.0],
        "rating_average": [NAN],
        "rating_count": [0.0],
        "age_days": [0.0],
    }
    return {name: tf.constant(value, tf.float32) for name, value in (values | changes).items()}


@pytest.fixture
def encoder() -> BehaviourEncoder:
    layer = BehaviourEncoder(COUNTERS, dim=4)
    layer.build()
    layer.rate_priors.assign([[0.05, 0.1, 0.2], [0.05, 0.1, 0.2]])
    layer.rating_prior.assign(4.0)
    return layer


def test_features_by_hand(encoder: BehaviourEncoder) -> None:
    counters = [[80.0, 0, 9, 2, 0, 1, 0, 0, 0, 0, 0, 0]]
    raw = encoder.features(
        **inputs(
            counters=counters,
            price=[19.0],
            category_price=[math.log(10)],
            rating_average=[3.0],
            rating_count=[10.0],
            age_days=[6.0],
        )
    ).numpy()[0]
    np.testing.assert_allclose(raw[:6], np.log1p(counters[0][:6]), rtol=1e-6)
    # clicks of impressions: (9 + 20 * 0.05) / (80 + 20) = 0.1, twice the prior
    # carts of clicks: (2 + 5 * 0.1) / (9 + 5) = 0.178571, over 0.1; purchases: (1 + 5 * 0.2) / 14 = 0.142857, over 0.2
    np.testing.assert_allclose(raw[12:15], np.log([2.0, 1.785714, 0.714286]), rtol=1e-5)
    np.testing.assert_allclose(raw[15:18], 0.0, atol=1e-6)  # nothing in the other window: as everywhere
    # price 19: log 20, over the category's log 10 by log 2; rating (3 * 10 + 4 * 10) / 20 = 3.5
    np.testing.assert_allclose(raw[18:], [1, math.log(20), math.log(2), 1, 3.5, math.log(11), math.log(7)], rtol=1e-5)


def test_unknown_numbers_are_zeros_not_nan(encoder: BehaviourEncoder) -> None:
    raw = encoder.features(**inputs(age_days=[-3.0])).numpy()[0]
    np.testing.assert_allclose(raw[18:], [0, 0, 0, 0, 4.0, 0, 0], rtol=1e-6)
    assert np.isfinite(raw).all()


def test_a_rating_without_any_count_is_unknown(encoder: BehaviourEncoder) -> None:
    raw = encoder.features(**inputs(rating_average=[5.0], rating_count=[0.0])).numpy()[0]
    assert raw[21] == 0
    assert raw[22] == 4.0


def test_presence() -> None:
    counters = tf.constant([[0.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    present = behaviour_presence(counters, tf.constant([NAN, NAN, 4.0, 4.0]), tf.constant([0.0, 0.0, 2.0, 0.0]))
    assert present.numpy().tolist() == [False, True, True, False]


def test_absent_behaviour_is_a_zero_vector(encoder: BehaviourEncoder) -> None:
    vector, present = encoder(**inputs(price=[5.0]))
    assert not present.numpy()[0]
    assert (vector.numpy() == 0).all()


def test_adapt_standardises_what_it_saw(encoder: BehaviourEncoder) -> None:
    rng = np.random.default_rng(0)
    sample = {
        "counters": rng.poisson(20, (500, 12)).astype(np.float32),
        "price": rng.lognormal(3, 1, 500).astype(np.float32),
        "category_price": np.full(500, 3.0, np.float32),
        "rating_average": rng.uniform(1, 5, 500).astype(np.float32),
        "rating_count": np.ones(500, np.float32),
        "age_days": rng.uniform(0, 90, 500).astype(np.float32),
    }
    encoder.adapt(sample, np.arange(12, dtype=np.float32), 3.0)
    np.testing.assert_array_equal(encoder.typical_counters.value, np.arange(12))
    assert float(encoder.typical_ratings.value) == 3
    raw = encoder.features(**{name: tf.constant(value) for name, value in sample.items()})
    standard = ((raw - encoder.mean.value) / encoder.deviation.value).numpy()
    assert np.abs(standard.mean(axis=0)).max() < 1e-3
    varying = raw.numpy().std(axis=0) > 1e-3
    np.testing.assert_allclose(standard.std(axis=0)[varying], 1.0, atol=1e-2)
    clicks = sample["counters"][:, 2].sum() / sample["counters"][:, 0].sum()
    assert float(encoder.rate_priors.value[0, 0]) == pytest.approx(min(clicks, 1.0), rel=1e-4)
    assert float(encoder.rating_prior.value) == pytest.approx(float(sample["rating_average"].mean()), rel=1e-4)


def test_adapt_on_a_log_without_events(encoder: BehaviourEncoder) -> None:
    encoder.adapt({name: np.repeat(value.numpy(), 3, axis=0) for name, value in inputs().items()})
    vector, _ = encoder(**inputs(counters=[[1e9] * 12], price=[1e12], rating_average=[5.0], rating_count=[1e12]))
    assert np.isfinite(vector.numpy()).all()


def test_category_prices_are_medians() -> None:
    by_category, catalogue = category_log_prices(["a", "a", "a", "b", "c"], np.array([1.0, 3.0, 100.0, 8.0, NAN]))
    assert by_category == {"a": pytest.approx(math.log(4)), "b": pytest.approx(math.log(9))}
    assert catalogue == pytest.approx(math.log1p(5.5))  # of 1, 3, 8, 100
    assert category_log_prices(["a"], np.array([NAN])) == ({}, 0.0)


@pytest.fixture
def thin(encoder: BehaviourEncoder) -> BehaviourEncoder:
    """Typically 40 events in all, 10 of them in the last week, and 4 ratings; thin below 20 events, lift 2."""
    encoder.config = ThinBehaviourConfig(thin_share=0.5, lift=2.0)
    encoder.typical_counters.assign([8.0, 0, 2, 0, 0, 0, 30, 0, 10, 0, 0, 0])
    encoder.typical_ratings.assign(4.0)
    return encoder


def test_a_product_nobody_met_counts_as_a_typical_one(thin: BehaviourEncoder) -> None:
    counters, average, count = thin.made_up(
        tf.zeros((1, 12)), tf.constant([NAN]), tf.constant([0.0]), tf.constant([0.0])
    )
    np.testing.assert_allclose(counters[0], [16.0, 0, 4, 0, 0, 0, 60, 0, 20, 0, 0, 0])
    assert (float(average[0]), float(count[0])) == (4.0, 4.0)
    vector, present = thin(**inputs())
    assert present.numpy()[0]
    assert (vector.numpy() != 0).any()


def test_training_reads_the_counters_as_they_were(thin: BehaviourEncoder) -> None:
    vector, present = thin(**inputs(), training=True)
    assert not present.numpy()[0]
    assert (vector.numpy() == 0).all()


def test_a_share_of_nothing_makes_nothing_up(thin: BehaviourEncoder) -> None:
    thin.config = ThinBehaviourConfig(thin_share=0.0)
    assert not thin(**inputs())[1].numpy()[0]


def test_round_trip(encoder: BehaviourEncoder) -> None:
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(encoder))
    if not again.built:
        again.build()
    again.set_weights(encoder.get_weights())
    assert again.get_config() == encoder.get_config()
    given = inputs(counters=[[3.0] * 12])
    np.testing.assert_allclose(again(**given)[0], encoder(**given)[0], atol=1e-6)
