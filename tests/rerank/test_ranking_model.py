import keras
import numpy as np
import pytest
import tensorflow as tf

from rerank.artifacts import FeatureSpec, build_model
from rerank.config import RerankConfig
from rerank.ranking_model import HeadLogs, ranking_score

SPEC = FeatureSpec(keys=("brand", "colour"), counters=(), names=tuple("abcdef"), dim=1, kind_weights=())


def logs_of(config: RerankConfig, seed: int = 0) -> HeadLogs:
    keras.utils.set_random_seed(seed)
    random = np.random.default_rng(seed)
    numeric = random.normal(size=(2, 5, 6)).astype(np.float32)
    profile = np.zeros((2, len(config.profile_columns)), np.int32)
    return build_model(config, SPEC)(numeric, random.integers(0, 9, (2, 5, 2)).astype(np.int32), profile)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_shapes_and_types(precision: str) -> None:
    logs = logs_of(RerankConfig(precision=precision, profile_columns=("city",)))  # type: ignore[arg-type]
    for log in logs:
        assert log.shape == (2, 5)
        assert log.dtype == tf.float32
        assert (log.numpy() < 0).all()


def test_vectors_of_values_that_are_looked_up_give_what_buckets_give() -> None:
    model = build_model(RerankConfig(), SPEC)
    random = np.random.default_rng(0)
    numeric, profile = random.normal(size=(2, 5, 6)).astype(np.float32), np.zeros((2, 0), np.int32)
    value = random.integers(0, 3, (2, 5, 2)).astype(np.int32)
    vectors = model.value_vectors(value)
    assert not vectors.numpy()[(value == 0).all(-1)].any()
    for straight, looked_up in zip(model(numeric, value, profile), model.rank(numeric, vectors, profile), strict=True):
        np.testing.assert_allclose(looked_up, straight, rtol=1e-6)


def test_conditional_heads_never_expect_more_carts_than_clicks() -> None:
    logs = logs_of(RerankConfig(heads="conditional"))
    assert (logs.cart <= logs.click).numpy().all()
    assert (logs.purchase <= logs.click).numpy().all()


def test_outliers_are_clipped() -> None:
    model = build_model(RerankConfig(), SPEC)
    model.adapt(np.ones(6, np.float32), np.full(6, 2.0, np.float32))
    value, profile = np.zeros((1, 1, 2), np.int32), np.zeros((1, 0), np.int32)
    # (11 - 1) / 2 = 5 deviations is where the clip stands.
    far = [model(np.full((1, 1, 6), number, np.float32), value, profile).click.numpy() for number in (11, 1e30)]
    np.testing.assert_allclose(far[0], far[1])


def test_a_column_that_never_varies_is_only_shifted() -> None:
    model = build_model(RerankConfig(), SPEC)
    model.adapt(np.full(6, 3.0, np.float32), np.zeros(6, np.float32))
    assert np.isfinite(np.asarray(model.scale)).all()


def test_score_is_the_log_of_the_expected_value() -> None:
    logs = HeadLogs(*(tf.math.log([value]) for value in (0.5, 0.2, 0.1)))
    np.testing.assert_allclose(ranking_score(logs, 1.0, 2.0), np.log([0.5 + 0.2 + 2 * 0.1]), rtol=1e-6)
    np.testing.assert_allclose(ranking_score(logs, 0.0, 0.0), np.log([0.5]), rtol=1e-6)


@pytest.mark.parametrize("head", ["click", "cart", "purchase"])
def test_one_head_stands_for_all(head: str) -> None:
    logs = logs_of(RerankConfig(heads=head))  # type: ignore[arg-type]
    np.testing.assert_array_equal(logs.click, logs.cart)
    np.testing.assert_array_equal(logs.click, logs.purchase)
