"""Whole trainings of small towers on a toy shop."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError, ConfigError
from catalog.files import read_json
from towers.config import TowersConfig
from towers.train import TrainingError, _optimizer, train
from towers.trained import Towers, load
from towers.validation import Questions, example_questions


def with_training(config: TowersConfig, **changes: object) -> TowersConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def with_device(config: TowersConfig, **changes: object) -> TowersConfig:
    return config.model_copy(update={"device": config.device.model_copy(update=changes)})


def plainest(config: TowersConfig) -> TowersConfig:
    """Searches alone and texts without attention: for what is the same whatever the towers hold."""
    text = config.text.model_copy(update={"layers": 0})
    return with_training(config, next_items=0).model_copy(update={"text": text})


def ask(towers: Towers, *texts: str) -> np.ndarray:
    """Vectors of strangers' queries."""
    n, length = towers.features.n_products, towers.config.history.length
    none = np.full((len(texts), length), 0, np.int32)
    stamp = np.full(len(texts), towers.features.day0, np.int64)
    rows, users = none + n, np.full(len(texts), -1, np.int32)
    return towers.query_embeddings(Questions(np.array(texts, object), rows, none, none.astype(np.int64), stamp, users))


@pytest.fixture(scope="module")
def trained(toy, config: TowersConfig, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Towers]:
    out_dir = tmp_path_factory.mktemp("trained")
    train(
        toy.shop, toy.features, toy.images_dir, with_training(config, epochs=6, steps_per_epoch=30, patience=9), out_dir
    )
    return out_dir, load(out_dir, toy.shop, toy.features, toy.images_dir)


def test_the_rate_rises_on_after_the_warm_up(config: TowersConfig) -> None:
    settings = with_training(config, learning_rate=2e-3, warmup_steps=100)
    for steps, warmup in ((330, 33), (5000, 100)):
        rate = _optimizer(settings, steps)._learning_rate
        rates = np.array([float(rate(step)) for step in (*range(0, steps, 25), steps)])
        assert float(rate(warmup)) == pytest.approx(2e-3)
        assert rates[-1] == pytest.approx(1e-2)
        assert (np.diff(rates) > 0).all()


def test_it_writes_what_it_says(trained: tuple[Path, Towers], config: TowersConfig) -> None:
    out_dir, _ = trained
    names = {path.name for path in out_dir.iterdir()}
    assert names >= {
        "config.json",
        "vocabulary.json",
        "tokenizer.model",
        "towers.weights.h5",
        "metrics.json",
        "tensorboard",
    }
    assert "checkpoints" not in names
    assert list((out_dir / "tensorboard").iterdir())
    metrics = read_json(out_dir / "metrics.json")
    assert len(metrics["epochs"]) == 6
    best = max(metrics["epochs"], key=lambda epoch: epoch["recall/mean"])
    assert metrics["recall"]["recall/mean"] == best["recall/mean"]
    assert metrics["epochs"][-1]["loss"] < metrics["epochs"][0]["loss"] - 0.5
    assert metrics["epochs"][0]["examples_per_second"] > 0


def test_it_learns_what_words_mean(toy, trained: tuple[Path, Towers]) -> None:
    """Of a sixth of the products a colour's own, and of a quarter a type's: chance would be 1 / 6 and 1 / 4."""
    _, towers = trained
    products = towers.product_embeddings(8)
    titles = toy.shop.products["title"].to_pylist()
    colours, types = ("red", "green", "white", "黑色"), ("shirt", "watch", "手机壳")
    for words, floor in ((colours, 0.5), (types, 0.6)):
        ranked = np.argsort(-(ask(towers, *words) @ products.T), axis=1)[:, :5]
        right = [[word in titles[row] for row in rows] for word, rows in zip(words, ranked, strict=True)]
        assert np.mean(right) >= floor, dict(zip(words, right, strict=True))


def test_validated_and_loaded_towers_are_the_same(trained: tuple[Path, Towers], toy) -> None:
    from towers.validation import Validation

    out_dir, towers = trained
    validation = Validation(toy.features, towers.config.history.length, 3000, towers.config.seed)
    products = towers.product_embeddings(validation.day)
    recall = validation.recall(towers.query_embeddings, products)
    assert recall["recall/mean"] == pytest.approx(read_json(out_dir / "metrics.json")["recall"]["recall/mean"])


def test_masks_weights_and_pictures(trained: tuple[Path, Towers], toy) -> None:
    _, towers = trained
    n, length = towers.features.n_products, towers.config.history.length
    users = np.zeros(2, np.int32)
    rows, kinds, stamps = toy.features.history(users, np.repeat(toy.features.user_start[1], 2), length)
    now = np.repeat(stamps.max() + 60, 2)
    questions = Questions(np.array(["red shirt", ""], object), rows, kinds, stamps, now, users)
    weights = towers.modality_weights(questions)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert (weights[:, 1] == 0).all()
    assert weights[1, 0] == 0
    empty = Questions(questions.texts, np.full_like(rows, n), np.zeros_like(kinds), np.zeros_like(stamps), now, users)
    masked = towers.query_embeddings(questions, masked=("history",))
    np.testing.assert_allclose(masked, towers.query_embeddings(empty), atol=1e-5)
    pictured = towers.query_embeddings(questions, images=np.ones((2, 12), np.float32))
    assert np.abs(pictured - towers.query_embeddings(questions)).max() > 1e-3
    assert np.abs(towers.product_embeddings(8) - towers.product_embeddings(8, masked=("text",))).max() > 1e-3


@pytest.mark.usefixtures("eagerly")
def test_a_killed_training_goes_on_after_its_last_epoch(toy, config: TowersConfig, tmp_path: Path) -> None:
    settings = with_training(plainest(config), epochs=3, steps_per_epoch=4)
    (tmp_path / "config.json").write_text(settings.model_dump_json())
    out_dir = tmp_path / "towers"
    code = """
import os, signal, sys
from pathlib import Path
from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from tests.eager import eagerly
from towers import train as training
from towers.batches import Batches
from towers.config import TowersConfig

class Killed(Batches):
    def epoch(self, epoch, replica=0):
        for step, batch in enumerate(super().epoch(epoch, replica)):
            if (epoch, step) == (1, 2):
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

training.Batches = Killed
folder, config, out = map(Path, sys.argv[1:])
settings = TowersConfig.model_validate_json(config.read_text())
with eagerly():
    shop, features = ShopData.load(folder / "tables"), FeatureStore.load(folder / "features")
    training.train(shop, features, folder / "images", settings, out)
"""
    command = [sys.executable, "-c", code, str(toy.folder), str(tmp_path / "config.json"), str(out_dir)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr[-3000:]
    before = read_json(out_dir / "checkpoints" / "epoch-0001" / "progress.json")
    tokenizer = (out_dir / "tokenizer.model").read_bytes()
    train(toy.shop, toy.features, toy.images_dir, settings, out_dir)
    metrics = read_json(out_dir / "metrics.json")
    assert metrics["epochs"][:1] == before["epochs"]
    assert len(metrics["epochs"]) == 3
    assert metrics["steps"] == 12
    assert metrics["epochs"][1]["loss"] < before["epochs"][0]["loss"]
    assert (out_dir / "tokenizer.model").read_bytes() == tokenizer


@pytest.mark.usefixtures("eagerly")
def test_other_data_or_settings_start_anew(
    trained: tuple[Path, Towers], toy, config: TowersConfig, tmp_path: Path
) -> None:
    out_dir = tmp_path / "towers"
    shutil.copytree(trained[0], out_dir)
    other = with_training(plainest(config), epochs=1).model_copy(update={"dim": 8})
    train(toy.shop, toy.features, toy.images_dir, other, out_dir)
    assert load(out_dir, toy.shop, toy.features, toy.images_dir).product_embeddings(3).shape == (48, 8)
    assert len(read_json(out_dir / "metrics.json")["epochs"]) == 1


@pytest.mark.usefixtures("eagerly")
def test_training_stops_when_validation_gets_no_better(
    toy, config: TowersConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A learning rate of next to nothing changes no ranking: the first epoch is the best one, one more is tried.
    settings = with_training(plainest(config), epochs=9, patience=1, learning_rate=1e-12)
    told: list[list[float]] = []
    train(toy.shop, toy.features, toy.images_dir, settings, tmp_path, told.append)
    metrics = read_json(tmp_path / "metrics.json")
    assert metrics["stopped_early"]
    assert metrics["best_epoch"] == 1
    assert told == [[epoch["recall/mean"] for epoch in metrics["epochs"][:count]] for count in (1, 2)]
    assert len(metrics["epochs"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "towers: kept the weights of epoch 1 of 2: no better validation recall in 1 more" in said
    assert metrics["steps"] == 2 * 40
    little = re.search(r"a pass over it takes (\d+) steps, and an epoch goes over it (\d+\.\d) times", said)
    assert little is not None
    assert f"{40 / int(little[1]):.1f}" == little[2]


@pytest.mark.usefixtures("eagerly")
def test_a_loss_that_is_no_number_stops_with_the_step(toy, config: TowersConfig, tmp_path: Path) -> None:
    settings = with_training(plainest(config), learning_rate=1e30, warmup_steps=0)
    with pytest.raises(TrainingError, match=r"the loss of step \d+ is nan, not a number.*lower"):
        train(toy.shop, toy.features, toy.images_dir, settings, tmp_path)
    assert not (tmp_path / "towers.weights.h5").exists()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("shop", [{"searches": False, "pictures": False}, {"products": 3, "users": 6}])
def test_shops_that_lack_something(make_toy: Callable, config: TowersConfig, tmp_path: Path, shop: dict) -> None:
    toy = make_toy(**shop)
    train(toy.shop, toy.features, toy.images_dir, with_training(config, epochs=1), tmp_path)
    towers = load(tmp_path, toy.shop, toy.features, toy.images_dir)
    vectors = towers.product_embeddings(5)
    assert vectors.shape == (toy.shop.products.num_rows, 16)
    assert np.isfinite(vectors).all()
    assert np.isfinite(ask(towers, "red", "")).all()


@pytest.mark.usefixtures("eagerly")
def test_what_goes_on_is_the_same_training(toy, config: TowersConfig, tmp_path: Path) -> None:
    settings = with_training(config, epochs=2, steps_per_epoch=1)

    def losses(folder: Path) -> list[float]:
        train(toy.shop, toy.features, toy.images_dir, settings, folder)
        return [epoch["loss"] for epoch in read_json(folder / "metrics.json")["epochs"]]

    def stop(recalls: list[float]) -> None:
        if len(recalls) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(toy.shop, toy.features, toy.images_dir, settings, tmp_path / "stopped", stop)
    np.testing.assert_allclose(losses(tmp_path / "stopped"), losses(tmp_path / "straight"), rtol=1e-4)


@pytest.mark.usefixtures("eagerly")
def test_without_validation_the_last_epoch_counts(toy, config: TowersConfig, tmp_path: Path) -> None:
    slices = np.where(toy.features.example_slice == 2, -1, toy.features.example_slice).astype(np.int8)
    settings = with_training(config, epochs=4, patience=1, steps_per_epoch=1)
    train(toy.shop, replace(toy.features, example_slice=slices), toy.images_dir, settings, tmp_path)
    assert read_json(tmp_path / "metrics.json")["best_epoch"] == 4


@pytest.mark.usefixtures("eagerly")
def test_another_fusion_hard_negatives_profiles_and_no_histories(toy, config: TowersConfig, tmp_path: Path) -> None:
    settings = with_training(config, epochs=2, hard_negatives=8, next_items=0)
    settings = settings.model_copy(update={"fusion": "concat", "profile_columns": ("country",)})
    train(toy.shop, toy.features, toy.images_dir, settings, tmp_path)
    towers = load(tmp_path, toy.shop, toy.features, toy.images_dir)
    assert towers.config.fusion == "concat"
    assert np.isfinite(ask(towers, "red")).all()


def test_searches_read_no_more_than_a_history_holds(toy, config: TowersConfig, tmp_path: Path) -> None:
    short = config.history.model_copy(update={"length": 3, "search_length": 6})
    settings = with_training(plainest(config), epochs=2, steps_per_epoch=1, hard_negatives=4)
    train(toy.shop, toy.features, toy.images_dir, settings.model_copy(update={"history": short}), tmp_path)
    assert len(read_json(tmp_path / "metrics.json")["epochs"]) == 2


@pytest.mark.usefixtures("eagerly")
def test_what_is_left_out_is_never_read(toy, config: TowersConfig, tmp_path: Path) -> None:
    left_out = config.model_copy(update={"left_out": ("text", "identity", "history")})
    train(toy.shop, toy.features, toy.images_dir, with_training(left_out, epochs=1, alignment=0.1), tmp_path)
    towers = load(tmp_path, toy.shop, toy.features, toy.images_dir)
    vectors = towers.product_embeddings(3)
    np.testing.assert_array_equal(vectors, towers.product_embeddings(3, masked=("text", "identity")))
    assert np.abs(vectors - towers.product_embeddings(3, masked=("image",))).max() > 1e-3
    assert np.abs(ask(towers, "red shirt") - ask(towers, "blue shoe")).max() > 1e-3  # queries keep their text
    asked = example_questions(toy.features, np.arange(8), config.history.length)
    np.testing.assert_array_equal(towers.query_embeddings(asked), towers.query_embeddings(asked, masked=("history",)))


def test_a_profile_column_that_nobody_has(toy, config: TowersConfig, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"profile_columns names age, but the users table has country"):
        train(toy.shop, toy.features, toy.images_dir, config.model_copy(update={"profile_columns": ("age",)}), tmp_path)


@pytest.mark.usefixtures("eagerly")
def test_mixed_precision(toy, config: TowersConfig, tmp_path: Path) -> None:
    train(
        toy.shop,
        toy.features,
        toy.images_dir,
        with_device(with_training(config, epochs=1), precision="mixed_float16"),
        tmp_path,
    )
    towers = load(tmp_path, toy.shop, toy.features, toy.images_dir)
    assert towers.product_embeddings(5).dtype == np.float32
    assert np.isfinite(ask(towers, "red")).all()


def test_broken_artifacts_say_what_to_do(trained: tuple[Path, Towers], toy, tmp_path: Path) -> None:
    out_dir, _ = trained
    for name in ("config.json", "vocabulary.json", "tokenizer.model", "towers.weights.h5"):
        broken = tmp_path / name
        broken.mkdir()
        for path in out_dir.iterdir():
            if path.is_file():
                (broken / path.name).write_bytes(b"{" if path.name == name else path.read_bytes())
        if name == "tokenizer.model":
            (broken / name).unlink()
        with pytest.raises(ArtifactError, match=name):
            load(broken, toy.shop, toy.features, toy.images_dir)


def test_two_replicas_train_on_negatives_of_both(toy, config: TowersConfig, tmp_path: Path) -> None:
    small = with_training(plainest(config), epochs=2, next_items=config.training.next_items)
    settings = with_device(small, strategy="mirrored")
    (tmp_path / "config.json").write_text(settings.model_dump_json())
    code = """
import sys
from pathlib import Path
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from catalog.schema import ShopData
from catalog.feature_store import FeatureStore
from towers.config import TowersConfig
from towers.train import train
from towers.trained import load
folder, config, out = map(Path, sys.argv[1:])
shop, features = ShopData.load(folder / "tables"), FeatureStore.load(folder / "features")
train(shop, features, folder / "images", TowersConfig.model_validate_json(config.read_text()), out)
assert load(out, shop, features, folder / "images").product_embeddings(5).shape == (48, 16)
"""
    command = [sys.executable, "-c", code, str(toy.folder), str(tmp_path / "config.json"), str(tmp_path / "towers")]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [epoch["loss"] for epoch in read_json(tmp_path / "towers" / "metrics.json")["epochs"]]
    assert losses[1] < losses[0]
