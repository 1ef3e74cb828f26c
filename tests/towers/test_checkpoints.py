from pathlib import Path

import keras
import numpy as np
import pytest

from catalog.errors import ArtifactError
from towers.checkpoints import Checkpoints, Progress, load_weights, save_weights


def make(units: int = 2) -> tuple[keras.Model, keras.optimizers.Optimizer]:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.5, seed=7), keras.layers.Dense(units)])
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    return model, optimizer


def step(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    optimizer.apply(
        [np.ones(variable.shape, np.float32) for variable in model.trainable_variables], model.trainable_variables
    )


def test_a_restored_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model, optimizer = make()
    step(model, optimizer)
    ones = np.ones((4, 3), np.float32)
    first = model(ones, training=True)
    Checkpoints(tmp_path, model, optimizer).save(Progress("key", epoch=1, step=1, best_epoch=1, best=0.5))
    second = model(ones, training=True)
    step(model, optimizer)
    other, other_optimizer = make()
    progress = Checkpoints(tmp_path, other, other_optimizer).restore("key")
    assert progress == Progress("key", epoch=1, step=1, best_epoch=1, best=0.5)
    np.testing.assert_allclose(other(ones, training=True), second, atol=1e-6)  # what is dropped goes on as well
    assert not np.allclose(first, second)
    step(other, other_optimizer)
    for one, two in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_two_checkpoints_and_the_best_weights_are_kept(tmp_path: Path) -> None:
    model, optimizer = make()
    checkpoints = Checkpoints(tmp_path, model, optimizer)
    kept = []
    for epoch in range(1, 5):
        step(model, optimizer)
        kept.append(model.get_weights()[0])
        checkpoints.save(Progress("key", epoch=epoch, best_epoch=min(epoch, 2)))
    assert sorted(path.name for path in tmp_path.glob("epoch-*")) == ["epoch-0003", "epoch-0004"]
    load_weights(model, checkpoints.best_weights)
    np.testing.assert_allclose(model.get_weights()[0], kept[1])
    checkpoints.clear()
    assert not tmp_path.exists()


def test_a_kill_while_they_are_removed_leaves_nothing_to_go_on_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoints"
    model, optimizer = make()
    checkpoints = Checkpoints(folder, model, optimizer)
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

    model, optimizer = make()
    checkpoints, kept = Checkpoints(tmp_path, model, optimizer), []
    for epoch in (1, 2):
        step(model, optimizer)
        kept.append(model.get_weights()[0])
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
    model, optimizer = make()
    checkpoints = Checkpoints(tmp_path / "checkpoints", model, optimizer)
    assert checkpoints.restore("one") == Progress("one")
    checkpoints.save(Progress("one", epoch=1, best_epoch=1))
    assert checkpoints.restore("two") == Progress("two")
    assert not (tmp_path / "checkpoints").exists()


def test_weights_of_another_model_are_an_error(tmp_path: Path) -> None:
    save_weights(make()[0], tmp_path / "x.weights.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["x.weights.h5"]
    with pytest.raises(ArtifactError, match=r"x\.weights\.h5: not the weights of these towers"):
        load_weights(make(units=5)[0], tmp_path / "x.weights.h5")
    (tmp_path / "x.weights.h5").write_bytes(b"cut")
    with pytest.raises(ArtifactError, match="train the towers again"):
        load_weights(make()[0], tmp_path / "x.weights.h5")
