"""The image encoder: EfficientNet from pixels to an embedding, its weights, and the embeddings of a shop's pictures."""

import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import ArtifactError, ConfigError
from catalog.files import fingerprint, read_json, read_npy, write_json, write_npy
from catalog.progress import console
from catalog.schema import ShopData
from towers.checkpoints import save_network
from towers.fused import with_fused_normalisation
from towers.image_cache import embed_pictures, picture_keys, weights_fingerprint
from towers.image_config import ImageConfig
from towers.image_labels import picture_labels
from towers.image_pretraining import pretrain_on_labels

# Statistics that follow the weights within tens of steps: the usual 0.99 needs far more steps than a shop's pictures
# give, and a network whose statistics lag is right in training and wrong in use.
_BATCH_NORM_MOMENTUM = 0.9
_FEWEST_TRAINED = 64  # below this a network from scratch learns nothing that holds
_PROJECTION_SAMPLE = 4096
_CHECKPOINT, _CACHE = "pretraining.npz", "cache"
_TRAINING_SETTINGS = (
    "backbone", "size", "weights", "embedding_dim", "pretrain_epochs", "max_pretrain_images", "pretrain_batch",
    "pretrain_small_share", "learning_rate", "weight_decay", "label_smoothing", "looks_weight", "augment",
    "holdout", "min_label_count", "seed",
)  # fmt: skip


def build_backbone(config: ImageConfig) -> keras.Model:
    """The network: EfficientNet, global average pooling and a linear bottleneck, preprocessing inside.

    Args:
        config: names the network, its weights and the size of pictures and embeddings.

    Returns:
        A model of pixels [batch, S, S, 3] in 0..255, uint8 or float -> [batch, embedding_dim] float32.

    Raises:
        ConfigError: if the weights cannot be had or do not fit.
    """
    if config.weights.endswith(".keras"):
        return _load_own(Path(config.weights), config)
    keras.utils.set_random_seed(config.seed)
    pixels = keras.Input((None, None, 3), name="pixels")
    features = _convolutions(config)(pixels)
    features = keras.layers.Dense(config.embedding_dim, use_bias=True, name="bottleneck")(features)
    features = keras.layers.BatchNormalization(
        center=False, scale=False, momentum=_BATCH_NORM_MOMENTUM, name="bottleneck_scale"
    )(features)
    any_size = keras.Model(pixels, features, name="pictures_of_any_size")
    inputs = keras.Input((config.size, config.size, 3), name="image")
    return keras.Model(inputs, any_size(inputs), name="image_encoder")


def load_backbone(out_dir: Path) -> keras.Model:
    """The network that `prepare_images` left in `out_dir`; ArtifactError if it is not there or broken."""
    path = out_dir / "backbone.keras"
    try:
        return keras.models.load_model(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: not a readable picture network ({error}); run the images stage again") from error


def prepare_images(shop: ShopData, config: ImageConfig, out_dir: Path) -> None:
    """Make the picture network and embed every picture of the shop.

    Writes `backbone.keras`, `embeddings.npy` (float16 [M, embedding_dim], one row a row of `shop.images`) and
    `metrics.json`. Weights of an earlier run are kept while the settings are the same and at most `retrain_share` of
    the pictures is new to them, so that the cached embeddings stay valid. An interrupted run goes on where it was.

    Raises:
        ConfigError: if the pictures are of another size than configured, or the weights cannot be had.
    """
    images = shop.images
    if len(images) and images.shape[1:] != (config.size, config.size, 3):
        raise ConfigError(
            f"images.size is {config.size}, but the ingested pictures are {images.shape[2]}x{images.shape[1]}; "
            "set images.size and ingest.image_size to the same number and ingest again"
        )
    out_dir.mkdir(parents=True, exist_ok=True)
    hashes = _hashes(shop.products, len(images))
    backbone = _kept_backbone(config, hashes, out_dir)
    if backbone is None:
        backbone = build_backbone(config)
        metrics = _give_weights(backbone, shop, hashes, config, out_dir)
        _save(backbone, hashes, metrics, config, out_dir)
    embeddings = embed_pictures(backbone, images, hashes, out_dir / _CACHE, config.embed_batch, config.embed_chunk)
    write_npy(out_dir / "embeddings.npy", embeddings)


def forget_images(out_dir: Path) -> None:
    """Remove what `prepare_images` would keep or go on from; `backbone.keras` stays, which may be its own weights."""
    (out_dir / "state.json").unlink(missing_ok=True)
    (out_dir / _CHECKPOINT).unlink(missing_ok=True)
    if (out_dir / _CACHE).exists():
        shutil.rmtree(out_dir / _CACHE)


def _give_weights(
    backbone: keras.Model, shop: ShopData, hashes: npt.NDArray[np.str_], config: ImageConfig, out_dir: Path
) -> dict[str, Any]:
    """Train the network, or fit its bottleneck to what it sees already; returns what metrics.json holds."""
    metrics: dict[str, Any] = {"weights": config.weights, "pictures": len(hashes), "training": None}
    if config.weights.endswith(".keras"):
        return metrics
    if not len(hashes):
        console.print("no product has a picture; towers and reranker do without")
        return metrics
    if config.weights == "none" and config.pretrain_epochs > 0:
        labels = picture_labels(shop.products, len(hashes), config.min_label_count)
        if len(hashes) >= _FEWEST_TRAINED and (labels.names or config.looks_weight > 0):
            console.print(f"training the picture network: {labels!r}", markup=False)
            if not labels.names:
                console.print(
                    "[yellow]no category or attribute is shared by enough pictures to be learned from; the picture "
                    "network is trained on colour layout and texture alone, which is weaker. Fill in categories or "
                    "attributes, or set images.weights to imagenet or to a file[/yellow]"
                )
            held_out = _held_out(hashes, config.holdout)
            metrics["training"] = pretrain_on_labels(
                backbone, shop.images, labels, held_out, config, out_dir / _CHECKPOINT
            )
            for name, task in metrics["training"]["tasks"].items():
                console.print(
                    f"  {name}: {task['accuracy']:.3f} of the held-out pictures are right among {task['classes']} "
                    f"classes (the commonest: {task['commonest_class']:.3f})",
                    markup=False,
                )
            return metrics
        console.print(
            f"[yellow]nothing to train the picture network on: {len(hashes)} pictures (at least {_FEWEST_TRAINED} "
            f"needed), {len(labels.names)} label tasks; it stays untrained and tells little more than colours. "
            "Set images.weights to imagenet or to a file for better ones[/yellow]"
        )
    _fit_bottleneck(backbone, shop.images, config)
    return metrics


def _fit_bottleneck(backbone: keras.Model, images: npt.NDArray[np.uint8], config: ImageConfig) -> None:
    """Set the bottleneck to the principal components of the pooled features of a sample of pictures."""
    network = backbone.get_layer("pictures_of_any_size")
    bottleneck, scale = network.get_layer("bottleneck"), network.get_layer("bottleneck_scale")
    pooled = keras.Model(network.input, bottleneck.input)
    chosen = np.random.default_rng(config.seed).permutation(len(images))[:_PROJECTION_SAMPLE]
    rows = np.sort(chosen)
    batches = [rows[at : at + config.embed_batch] for at in range(0, len(rows), config.embed_batch)]
    features = np.concatenate([pooled(images[batch].astype(np.float32), training=False).numpy() for batch in batches])
    mean = features.mean(axis=0)
    _, _, components = np.linalg.svd(features - mean, full_matrices=False)
    kernel = np.zeros((features.shape[1], config.embedding_dim), np.float32)
    kept = min(len(components), config.embedding_dim)
    kernel[:, :kept] = components[:kept].T
    bottleneck.set_weights([kernel, -mean @ kernel])
    variance = max(float(np.square((features - mean) @ kernel).mean()), 1e-6)
    scale.set_weights([np.zeros(config.embedding_dim), np.full(config.embedding_dim, variance)])


def _convolutions(config: ImageConfig) -> keras.Model:
    """EfficientNet up to its pooled features, for pictures of any size."""
    applications = {
        "EfficientNetB0": keras.applications.EfficientNetB0,
        "EfficientNetV2B0": keras.applications.EfficientNetV2B0,
    }
    weights = None if config.weights == "none" else config.weights
    if weights not in (None, "imagenet") and not Path(str(weights)).is_file():
        raise ConfigError(
            f"images.weights: received {weights!r}, which is no file; expected none, imagenet, a .keras file written "
            f"by the images stage, or an .h5 file of {config.backbone} without its top"
        )
    try:
        model = applications[config.backbone](
            include_top=False, weights=weights, input_shape=(None, None, 3), pooling="avg"
        )
    except Exception as error:
        if weights is None:
            raise
        raise ConfigError(_weights_trouble(config, error)) from error
    model = with_fused_normalisation(model)
    names = {layer.name for layer in model.layers}
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = _BATCH_NORM_MOMENTUM
            if weights is None and layer.name.replace("_project_bn", "_add") in names - {layer.name}:
                # Every residual block starts as the identity (Goyal et al. 2017, section 5.1): a short training learns
                # far more.
                layer.gamma.assign(keras.ops.zeros_like(layer.gamma))
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0  # stochastic depth is for hundreds of epochs, not for a few
    return model


def _weights_trouble(config: ImageConfig, error: Exception) -> str:
    if config.weights == "imagenet":
        return (
            f"images.weights is imagenet, but the weights of {config.backbone} cannot be downloaded: {error}. "
            f"Bring them as a file (images.weights: PATH of the 'notop' .h5 file), or set images.weights to none to "
            "train on the catalogue's own labels"
        )
    return f"images.weights: {config.weights} does not fit {config.backbone} without its top: {error}"


def _load_own(path: Path, config: ImageConfig) -> keras.Model:
    if not path.is_file():
        raise ConfigError(f"images.weights: received {str(path)!r}, which is no file; expected a .keras file")
    try:
        model = keras.models.load_model(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"images.weights: {path} is not a Keras model: {error}") from error
    expected = ((None, config.size, config.size, 3), (None, config.embedding_dim))
    received = (getattr(model, "input_shape", None), getattr(model, "output_shape", None))
    if received != expected:
        raise ConfigError(
            f"images.weights: {path} maps {received[0]} to {received[1]}; expected {expected[0]} to {expected[1]}, "
            "as images.size and images.embedding_dim say"
        )
    return model


def _kept_backbone(config: ImageConfig, hashes: npt.NDArray[np.str_], out_dir: Path) -> keras.Model | None:
    """The network of an earlier run, if the settings are the same and it has met most of the pictures."""
    if not (out_dir / "state.json").exists():
        return None
    if read_json(out_dir / "state.json")["settings"] != _settings(config):
        return None
    met = np.isin(picture_keys(hashes), read_npy(out_dir / "trained_on.npy"))
    new = float((~met).mean()) if len(met) else 0.0
    if new > config.retrain_share:
        console.print(f"{new:.0%} of the pictures are new to the picture network: it is made again")
        return None
    return load_backbone(out_dir)


def _save(
    backbone: keras.Model, hashes: npt.NDArray[np.str_], metrics: dict[str, Any], config: ImageConfig, out_dir: Path
) -> None:
    (out_dir / "state.json").unlink(missing_ok=True)  # while it is missing, nothing here counts as finished
    save_network(backbone, out_dir / "backbone.keras")
    write_npy(out_dir / "trained_on.npy", picture_keys(hashes))
    write_json(out_dir / "metrics.json", metrics)
    write_json(
        out_dir / "state.json", {"settings": _settings(config), "weights_fingerprint": weights_fingerprint(backbone)}
    )


def _settings(config: ImageConfig) -> dict[str, Any]:
    settings = config.model_dump(include=set(_TRAINING_SETTINGS))
    return settings | ({"weights_file": fingerprint(weights)} if (weights := Path(config.weights)).is_file() else {})


def _hashes(products: pa.Table, pictures: int) -> npt.NDArray[np.str_]:
    """[pictures] SHA-256 in hex of each row of images.npy."""
    rows = products["image_row"].to_numpy()
    hashes = np.full(pictures, "", dtype="U64")
    shown = rows >= 0
    hashes[rows[shown]] = np.asarray(products["image_sha256"].to_pylist(), dtype="U64")[shown]
    return hashes


def _held_out(hashes: npt.NDArray[np.str_], share: float) -> npt.NDArray[np.bool_]:
    """[M] bool: a fixed `share` of all pictures there are, chosen by their content."""
    return np.asarray([int(text[-8:], 16) < share * 2**32 for text in hashes], np.bool_)
