"""Training on labels, with a small network in EfficientNet's place."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import towers.image_pretraining as pretraining
from towers.image_config import ImageConfig
from towers.image_labels import PictureLabels
from towers.image_pretraining import pretrain_on_labels

SIDE = 32
CONFIG = ImageConfig(size=SIDE, embedding_dim=8, pretrain_epochs=4, pretrain_batch=16, learning_rate=0.02)


def small_backbone() -> keras.Model:
    keras.utils.set_random_seed(3)
    pixels = keras.Input((None, None, 3))
    features = keras.layers.Rescaling(1 / 255)(pixels)
    features = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(features)
    features = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.GlobalAveragePooling2D()(features))
    any_size = keras.Model(pixels, keras.layers.Dense(8)(features), name="pictures_of_any_size")
    inputs = keras.Input((SIDE, SIDE, 3))
    return keras.Model(inputs, any_size(inputs))


def coloured(count: int = 120) -> tuple[np.ndarray, PictureLabels, np.ndarray]:
    """Red, green and blue pictures with noise; every fourth colour is not told; every fifth picture is held out."""
    random = np.random.default_rng(0)
    colour = np.arange(count) % 3
    images = random.integers(0, 80, (count, SIDE, SIDE, 3))
    images[np.arange(count), :, :, colour] += 150
    values = np.where(np.arange(count) % 4 == 3, -1, colour).astype(np.int32)[:, None]
    labels = PictureLabels(("colour",), (("red", "green", "blue"),), values)
    return images.astype(np.uint8), labels, np.arange(count) % 5 == 0


def weights(model: keras.Model) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in model.variables]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, dict[str, Any]]:
    model = small_backbone()
    return model, pretrain_on_labels(model, *coloured(), CONFIG, tmp_path_factory.mktemp("whole") / "state.npz")


def test_learns_the_labels_and_says_how_well(trained: tuple[keras.Model, dict[str, Any]]) -> None:
    report = trained[1]
    assert report["steps"] == 48  # 96 pictures are trained on, 4 times, by half of 16: that is under 400 steps
    assert report["held_out_pictures"] == 24
    assert report["tasks"]["colour"]["classes"] == 3
    assert report["tasks"]["colour"]["accuracy"] >= 0.9
    assert report["tasks"]["colour"]["commonest_class"] < 0.6


def test_a_killed_training_ends_where_an_unbroken_one_does(
    trained: tuple[keras.Model, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CONFIG.model_copy(update={"checkpoint_seconds": 1e-6})
    step = pretraining._Trainer.step

    def killed(self: Any, pixels: Any, targets: Any, side: int, number: int, rate: float) -> Any:
        if number == 30:
            raise KeyboardInterrupt
        return step(self, pixels, targets, side, number, rate)

    with monkeypatch.context() as patch:
        patch.setattr(pretraining._Trainer, "step", killed)
        with pytest.raises(KeyboardInterrupt):
            pretrain_on_labels(small_backbone(), *coloured(), config, tmp_path / "state.npz")
    assert (tmp_path / "state.npz").exists()
    keras.utils.set_random_seed(99)
    resumed = small_backbone()
    pretrain_on_labels(resumed, *coloured(), config, tmp_path / "state.npz")
    assert not (tmp_path / "state.npz").exists()
    for one, other in zip(weights(trained[0]), weights(resumed), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_checkpoint_that_is_broken_or_anothers_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels, held_out = coloured()
    rows = np.flatnonzero(~held_out)
    trainer = pretraining._Trainer(small_backbone(), images, labels, rows, CONFIG)
    path = tmp_path / "state.npz"
    trainer.save(path, 7, 48)
    assert trainer.restore(path, 48) == 7
    assert trainer.restore(path, 50) == 0
    relabelled = replace(labels, values=np.roll(labels.values, 1, axis=0))
    renamed = replace(labels, classes=tuple((*names[::-1],) for names in labels.classes))
    settings = CONFIG.model_copy(update={"seed": 1})
    for changed in (
        (images, labels, rows, settings),
        (images[::-1], labels, rows, CONFIG),
        (images, relabelled, rows, CONFIG),
        (images, renamed, rows, CONFIG),
        (images, labels, rows[1:], CONFIG),
    ):
        assert pretraining._Trainer(small_backbone(), *changed).restore(path, 48) == 0
    assert pretraining._Trainer(small_backbone(), images.copy(), labels, rows, CONFIG).restore(path, 48) == 7
    with monkeypatch.context() as upgraded:
        upgraded.setattr(pretraining, "version", lambda _: "another")
        assert pretraining._Trainer(small_backbone(), images, labels, rows, CONFIG).restore(path, 48) == 0
    path.write_bytes(path.read_bytes()[:100])
    assert trainer.restore(path, 48) == 0


@pytest.mark.parametrize("augmented", [True, False])
def test_pictures_change_from_step_to_step_only_if_augmented(augmented: bool) -> None:
    images, labels, held_out = coloured(16)
    config = CONFIG.model_copy(update={"augment": augmented})
    trainer = pretraining._Trainer(small_backbone(), images, labels, np.flatnonzero(~held_out), config)
    # Nothing is learned at a rate of 0, so the same pictures cost the same.
    first, second = (float(trainer.step(images, labels.values, SIDE, number, 0.0)) for number in (0, 1))
    assert (first != pytest.approx(second, rel=1e-5)) == augmented


def test_missing_labels_teach_nothing() -> None:
    images, labels, held_out = coloured()
    trainer = pretraining._Trainer(small_backbone(), images, labels, np.flatnonzero(~held_out), CONFIG)
    logits = tf.constant([[2.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    # Softmax of [2, 0, 0]: log p = [2, 0, 0] - log(e^2 + 2) = [-0.23954, -2.23954, -2.23954]; smoothed by 0.05:
    # 0.95 * 0.23954 + 0.05 * (0.23954 + 2 * 2.23954) / 3 = 0.30621. The second row is missing.
    assert float(trainer._label_loss(logits, tf.constant([[0], [-1]]))) == pytest.approx(0.30621, abs=1e-4)
    assert float(trainer._label_loss(logits, tf.constant([[-1], [-1]]))) == 0


def test_heads_start_at_the_log_frequencies() -> None:
    labels = PictureLabels(("a",), (("x", "y"),), np.asarray([[0], [0], [0], [1], [-1]], np.int32))
    # Counts 3 and 1, each plus one: 4/6 and 2/6.
    np.testing.assert_allclose(pretraining._log_frequencies(labels, np.arange(5)), np.log([4 / 6, 2 / 6]), rtol=1e-6)


def test_batches_are_passes_and_the_same_from_any_step() -> None:
    rows = np.arange(100, 110)
    whole = list(pretraining._batches(rows, 4, 0, 5, seed=0))
    assert sorted(np.concatenate(whole).tolist()) == sorted([*rows, *rows])  # 20 places are two passes over ten
    resumed = list(pretraining._batches(rows, 4, 3, 5, seed=0))
    np.testing.assert_array_equal(np.stack(resumed), np.stack(whole[3:]))


def test_learning_rate_warms_up_and_falls_to_zero() -> None:
    rates = [pretraining._learning_rate(step, 20, ImageConfig(learning_rate=1.0)) for step in range(20)]
    assert rates[:3] == [0.5, 1.0, 1.0]  # two steps of warm-up, then the top of the cosine
    assert rates[11] == pytest.approx(0.5)  # halfway through the other 18
    assert 0 < rates[-1] < 0.01
