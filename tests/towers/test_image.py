"""The image stage, with the real network on a few pictures, and with a small one where any will do."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest

import towers.image
from catalog.errors import ArtifactError, ConfigError
from catalog.progress import console
from towers.image import build_backbone, forget_images, load_backbone, prepare_images
from towers.image_cache import weights_fingerprint
from towers.image_config import ImageConfig

CONFIG = ImageConfig(size=32, embedding_dim=16, pretrain_epochs=0.5, pretrain_batch=32, min_label_count=2, holdout=0.2)


def shop(pictures: int, labelled: bool = True, side: int = 32) -> Any:
    """One product a picture, and one with none."""
    rows = np.arange(-1, pictures)
    products = pa.table(
        {
            "image_row": pa.array(rows, pa.int32()),
            "image_sha256": ["" if row < 0 else hashlib.sha256(bytes([row])).hexdigest() for row in rows],
            "category": [f"C{row % 2}" if labelled else "" for row in rows],
            "attributes": [json.dumps({"colour": "red" if row % 3 else "blue"} if labelled else {}) for row in rows],
        }
    )
    images = np.random.default_rng(0).integers(0, 256, (pictures, side, side, 3)).astype(np.uint8)
    return SimpleNamespace(products=products, images=images)


def said(work: Callable[[], None]) -> str:
    with console.capture() as capture:
        work()
    return " ".join(capture.get().split())


def small_convolutions(config: ImageConfig) -> keras.Model:
    """What stands in for EfficientNet up to its pooled features."""
    pixels = keras.Input((None, None, 3))
    features = keras.layers.Rescaling(1 / 255)(pixels)
    features = keras.layers.Conv2D(8, 3, strides=4, activation="relu")(features)
    return keras.Model(pixels, keras.layers.GlobalAveragePooling2D()(features))


def small_network(seed: int) -> keras.Model:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(towers.image, "_convolutions", small_convolutions)
        return build_backbone(CONFIG.model_copy(update={"seed": seed}))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    prepare_images(shop(80), CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def made(prepared: Path) -> keras.Model:
    """The network of `prepared`, as it was first written."""
    return load_backbone(prepared)


def test_writes_network_embeddings_and_how_good_they_are(prepared: Path, made: keras.Model) -> None:
    embeddings = np.load(prepared / "embeddings.npy")
    assert embeddings.shape == (80, 16)
    assert embeddings.dtype == np.float16
    assert np.isfinite(embeddings).all()
    training = json.loads((prepared / "metrics.json").read_text())["training"]
    assert set(training["tasks"]) == {"category 1", "colour"}
    assert not (prepared / "pretraining.npz").exists()
    images = shop(80).images
    for pixels in (images, images.astype(np.float32)):  # uint8 as in a signature, float as in training
        np.testing.assert_allclose(made(pixels, training=False), embeddings, atol=0.02)


@pytest.mark.usefixtures("eagerly")
def test_a_second_run_keeps_the_network_and_embeds_what_is_new(
    prepared: Path, made: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(towers.image, "build_backbone", lambda config: pytest.fail("made again"))
    old = np.load(prepared / "embeddings.npy")
    prepare_images(shop(90), CONFIG, prepared)
    grown = np.load(prepared / "embeddings.npy")
    assert len(grown) == 90
    np.testing.assert_array_equal(grown[:80], old)
    assert np.abs(grown[80:].astype(np.float32)).sum() > 0
    assert weights_fingerprint(load_backbone(prepared)) == weights_fingerprint(made)
    assert len(list((prepared / "cache").rglob("*.npz"))) == 2


@pytest.mark.parametrize("change", [{"seed": 5}, {"augment": False}, {"looks_weight": 0.0}, {}])
def test_other_settings_or_mostly_new_pictures_make_it_again(
    change: dict[str, Any], prepared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class MadeAgainError(Exception):
        pass

    def build(config: ImageConfig) -> keras.Model:
        raise MadeAgainError

    monkeypatch.setattr(towers.image, "build_backbone", build)
    with pytest.raises(MadeAgainError):
        prepare_images(shop(80 if change else 200), CONFIG.model_copy(update=change), prepared)


def test_what_is_forgotten_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    monkeypatch.setattr(towers.image, "_convolutions", lambda config: built.append(1) or small_convolutions(config))
    forget_images(tmp_path)  # where there is nothing
    for _ in range(2):
        prepare_images(shop(5), CONFIG, tmp_path)
    assert len(built) == 1
    (tmp_path / "pretraining.npz").touch()
    forget_images(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "backbone.keras",
        "embeddings.npy",
        "metrics.json",
        "trained_on.npy",
    }
    prepare_images(shop(5), CONFIG, tmp_path)
    assert len(built) == 2


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("pictures", [0, 1, 5])
def test_few_pictures_leave_the_network_untrained_and_say_so(
    pictures: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pictures < 5:  # those that are to be kept apart need the real network, to which they look nearly alike
        monkeypatch.setattr(towers.image, "_convolutions", small_convolutions)
    text = said(lambda: prepare_images(shop(pictures), CONFIG, tmp_path))
    told = f"nothing to train the picture network on: {pictures} pictures" if pictures else "no product has a picture"
    assert told in text
    assert ("images.weights" in text) == (pictures > 0)  # better weights are no help to a shop without pictures
    embeddings = np.load(tmp_path / "embeddings.npy")
    assert embeddings.shape == (pictures, 16)
    assert np.isfinite(embeddings).all()
    if pictures == 5:
        assert len(np.unique(embeddings, axis=0)) == 5  # the bottleneck keeps pictures apart
    assert load_backbone(tmp_path).output_shape == (None, 16)


def test_no_labels_at_all_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def pretrain(backbone: Any, images: Any, labels: Any, *rest: Any) -> dict[str, Any]:
        asked.append(labels.names)
        return {"tasks": {}}

    monkeypatch.setattr(towers.image, "pretrain_on_labels", pretrain)
    monkeypatch.setattr(towers.image, "_convolutions", small_convolutions)
    text = said(lambda: prepare_images(shop(64, labelled=False), CONFIG, tmp_path))
    assert asked == [()]
    assert "trained on colour layout and texture alone" in text


def test_pictures_of_another_size(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"images.size is 32, but the ingested pictures are 48x48"):
        prepare_images(shop(2, side=48), CONFIG, tmp_path)


def test_an_earlier_network_as_a_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.keras"
    own = CONFIG.model_copy(update={"weights": str(file)})
    networks = [small_network(seed) for seed in (1, 2)]
    assert len({weights_fingerprint(network) for network in networks}) == 2
    for network in networks:
        network.save(file)  # another content under the same name
        prepare_images(shop(80), own, tmp_path)
        assert weights_fingerprint(load_backbone(tmp_path)) == weights_fingerprint(network)
    with pytest.raises(ConfigError, match=r"maps \(None, 32, 32, 3\) to \(None, 16\); expected .* to \(None, 24\)"):
        build_backbone(own.model_copy(update={"embedding_dim": 24}))


@pytest.mark.parametrize("backbone", ["EfficientNetB0", "EfficientNetV2B0"])
def test_weights_of_the_network_without_its_top(backbone: str, tmp_path: Path) -> None:
    keras.utils.set_random_seed(7)
    bare = getattr(keras.applications, backbone)(include_top=False, weights=None, pooling="avg")
    pixels = shop(4).images.astype(np.float32)
    for layer in bare.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
            layer.adapt(pixels / 255)
    bare.save_weights(tmp_path / "notop.weights.h5")
    settings = {"backbone": backbone, "weights": str(tmp_path / "notop.weights.h5")}
    model = build_backbone(CONFIG.model_copy(update=settings))
    assert model.output_shape == (None, 16)
    assert model.input_shape == (None, 32, 32, 3)
    network = next(layer for layer in model.get_layer("pictures_of_any_size").layers if isinstance(layer, keras.Model))
    for one, other in zip(network.weights, bare.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(network(pixels, training=False), bare(pixels, training=False), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("weights", ["nowhere.h5", "nowhere.keras"])
def test_weights_that_are_no_file(weights: str) -> None:
    with pytest.raises(ConfigError, match=f"received '{weights}', which is no file"):
        build_backbone(CONFIG.model_copy(update={"weights": weights}))


@pytest.mark.parametrize("name", ["broken.h5", "broken.keras"])
def test_weights_that_do_not_fit(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(ConfigError, match=name):
        build_backbone(CONFIG.model_copy(update={"weights": str(tmp_path / name)}))


def test_imagenet_without_a_network_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(**settings: Any) -> None:
        raise OSError("URL fetch failure")

    monkeypatch.setattr(keras.applications, "EfficientNetV2B0", offline)
    with pytest.raises(ConfigError, match=r"cannot be downloaded: URL fetch failure.*file.*images.weights to none"):
        build_backbone(CONFIG.model_copy(update={"weights": "imagenet"}))


def test_a_missing_network(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="run the images stage again"):
        load_backbone(tmp_path)
