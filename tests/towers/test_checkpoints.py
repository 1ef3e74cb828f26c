from pathlib import Path

import keras
import numpy as np
import pytest

from catalog.errors import ArtifactError
from towers.averaging import WeightAverage
from towers.checkpoints import Checkpoints, Progress, load_weights, save_weights

Parts = tuple[keras.Model, keras.optimizers.Optimizer, WeightAverage]


def make(units: int = 2) -> Parts:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=7), keras.layers.Dense(units)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer, WeightAverage(model.trainable_variables, 0.5)


def step(model: keras.Model, optimizer: keras.optimizers.Optimizer, average: WeightAverage) -> None:
    optimizer.apply(
        [np.ones(variable.shape, np.float32) for variable in model.trainable_variables], model.trainable_variables
    )
    average.update()


def averaged(model: keras.Model, average: WeightAverage) -> list[np.ndarray]:
    with average.applied():
        return model.get_weights()


def test_a_restored_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model, optimizer, average = make()
    step(model, optimizer, average)
    ones = np.ones((4, 3), np.float32)
    first = model(ones, training=True)
    Checkpoints(tmp_path, model, optimizer, average).save(Progress("key", epoch=1, step=1, best_epoch=1, best=0.5))
    second = model(ones, training=True)
    step(model, optimizer, average)
    other, other_optimizer, other_average = make()
    progress = Checkpoints(tmp_path, other, other_optimizer, other_average).restore("key")
    assert progress == Progress("key", epoch=1, step=1, best_epoch=1, best=0.5)
    np.testing.assert_allclose(other(ones, training=True), second, atol=1e-6)  # what is dropped goes on as well
    assert not np.allclose(first, second)
    step(other, other_optimizer, other_average)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    for one, two in zip(averaged(model, average), averaged(other, other_average), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_low_rank_updates_go_on_and_are_counted_once(tmp_path: Path) -> None:
    def make_updated(update: tuple[float, float]) -> Parts:
        layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")
        model = keras.Sequential([keras.Input((1,)), layer])
        layer.enable_lora(1)
        optimizer = keras.optimizers.Adam(0.1)
        optimizer.build(model.trainable_variables)
        average = WeightAverage(model.trainable_variables, 0.0)  # the same as the weights
        layer.lora_kernel_a.assign([[update[0]]])
        layer.lora_kernel_b.assign([[update[1]]])
        average.update()
        return model, optimizer, average

    one = np.ones((1, 1), np.float32)
    Checkpoints(tmp_path, *make_updated((2.0, 3.0))).save(Progress("key", epoch=1, best_epoch=1))
    model, optimizer, average = make_updated((0.0, 0.0))
    checkpoints = Checkpoints(tmp_path, model, optimizer, average)
    checkpoints.restore("key")
    # A kernel of 1 and an update of 2 x 3; with the update in the kernel already it would be 1 + 6 + 6.
    assert model(one).numpy() == pytest.approx(7.0)
    with average.applied():
        assert model(one).numpy() == pytest.approx(7.0)
    load_weights(model, checkpoints.best_weights)
    assert model(one).numpy() == pytest.approx(7.0)


def test_two_checkpoints_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    model, optimizer, average = make()
    checkpoints = Checkpoints(tmp_path, model, optimizer, average)
    kept = []
    for epoch in range(1, 5):
        step(model, optimizer, average)
        kept.append(averaged(model, average)[0])
        checkpoints.save(Progress("key", epoch=epoch, best_epoch=min(epoch, 2)))
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == ["epoch-0003", "epoch-0004"]
    assert not np.allclose(model.get_weights()[0], kept[-1])  # to train on, the model has its own
    load_weights(model, checkpoints.best_weights)
    np.testing.assert_allclose(model.get_weights()[0], kept[1])
    checkpoints.clear()
    assert not tmp_path.exists()


def test_a_kill_while_they_are_removed_leaves_nothing_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"
    model, optimizer, average = make()
    checkpoints = Checkpoints(folder, model, optimizer, average)
    checkpoints.save(Progress("key", epoch=1, best_epoch=1))
    with monkeypatch.context() as killed:
        killed.setattr("towers.checkpoints.shutil.rmtree", lambda path, ignore_errors: None)
        checkpoints.clear()
    assert checkpoints.restore("key") == Progress("key")
    checkpoints.clear()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("killed_in", "known"), [("atomic_directory", 1), ("save_weights", 2)])
def test_the_best_weights_are_those_of_the_epoch_that_is_known_to_be_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_in: str, known: int
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    model, optimizer, average = make()
    checkpoints, kept = Checkpoints(tmp_path, model, optimizer, average), []
    for epoch in (1, 2):
        step(model, optimizer, average)
        kept.append(averaged(model, average)[0])
        if epoch == 1:
            checkpoints.save(Progress("key", epoch=1, best_epoch=1))
    with monkeypatch.context() as patched:
        patched.setattr(f"towers.checkpoints.{killed_in}", kill)
        with pytest.raises(KeyboardInterrupt):
            checkpoints.save(Progress("key", epoch=2, best_epoch=2))
    assert checkpoints.restore("key").best_epoch == known
    load_weights(model, checkpoints.best_weights)
    np.testing.assert_allclose(model.get_weights()[0], kept[known - 1])


def test_another_key_starts_anew(tmp_path: Path) -> None:
    model, optimizer, average = make()
    checkpoints = Checkpoints(tmp_path / "checkpoints", model, optimizer, average)
    assert checkpoints.restore("one") == Progress("one")
    checkpoints.save(Progress("one", epoch=1, best_epoch=1))
    assert checkpoints.restore("two") == Progress("two")
    assert not (tmp_path / "checkpoints").exists()


def test_a_checkpoint_of_other_towers_is_an_error(tmp_path: Path) -> None:
    Checkpoints(tmp_path, *make()).save(Progress("key", epoch=1))
    wider, deeper = make(units=5), make()
    deeper[0].add(keras.layers.Dense(2))
    for parts in (wider, deeper):
        with pytest.raises(ArtifactError, match=r"epoch-0001/variables\.npz: the variables of other towers; delete"):
            Checkpoints(tmp_path, *parts).restore("key")


def test_weights_of_another_model_are_an_error(tmp_path: Path) -> None:
    save_weights(make()[0], tmp_path / "x.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["x.weights.h5"]
    with pytest.raises(ArtifactError, match=r"x\.weights\.h5: not the weights of these towers"):
        load_weights(make(units=5)[0], tmp_path / "x.weights.h5")
    (tmp_path / "x.weights.h5").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="train the towers again"):
        load_weights(make()[0], tmp_path / "x.weights.h5")
