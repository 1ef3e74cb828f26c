"""The exported modules: the same vectors as in Python, and alive in a process without any model code."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from catalog.files import write_npy
from catalog.schema import KINDS
from tests.eager import eagerly
from towers.config import TowersConfig
from towers.export import PRODUCT_TEXTS, ProductEncoder, QueryEncoder, tracked_variables
from towers.train import train
from towers.trained import Towers, load
from towers.validation import Questions

DAY = 8
FRESH_PROCESS = """
import sys, numpy as np, tensorflow as tf, tensorflow_text
assert not any(name == "towers" or name.startswith(("towers.", "keras_rs")) for name in sys.modules)
for line in sys.stdin:
    folder = line.rstrip("\\n")
    given = {name: tf.constant(value) for name, value in np.load(folder + "/inputs.npz").items()}
    signature = tf.saved_model.load(folder + "/model").signatures["serving_default"]
    np.savez(folder + "/outputs.npz", **{name: value.numpy() for name, value in signature(**given).items()})
    print("answered", flush=True)
"""


@pytest.fixture(scope="module")
def towers(toy, config: TowersConfig, tmp_path_factory: pytest.TempPathFactory) -> Towers:
    out_dir = tmp_path_factory.mktemp("export")
    settings = config.model_copy(update={"profile_columns": ("country",)})
    settings = settings.model_copy(update={"training": config.training.model_copy(update={"epochs": 1})})
    with eagerly():
        train(toy.shop, toy.features, toy.images_dir, settings, out_dir)
    return load(out_dir, toy.shop, toy.features, toy.images_dir)


@pytest.fixture(scope="module")
def backbone() -> object:
    import keras

    pixels = keras.Input((32, 32, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(pixels))
    return keras.Model(pixels, keras.layers.Dense(12)(pooled))


@pytest.fixture(scope="module")
def fresh_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path], None]]:
    """Asks a process without model code, given the folder of a model and its inputs."""
    folder = tmp_path_factory.mktemp("fresh")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        (folder / "stderr").open("w") as said,
        subprocess.Popen(
            [sys.executable, "-c", FRESH_PROCESS],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, cwd=folder, env=environment, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(where: Path) -> None:
            process.stdin.write(f"{where}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "answered\n", (folder / "stderr").read_text()[-3000:]

        yield ask
        process.stdin.close()
        assert process.wait(60) == 0


def in_a_fresh_process(
    ask: Callable[[Path], None], folder: Path, module: tf.Module, signature: object, inputs: dict[str, np.ndarray]
) -> dict:
    """Save, load where there is no model code, call, and return the outputs."""
    options = tf.saved_model.SaveOptions(namespace_whitelist=["TFText"])
    tf.saved_model.save(module, str(folder / "model"), signatures={"serving_default": signature}, options=options)
    np.savez(folder / "inputs.npz", **{name: np.asarray(value) for name, value in inputs.items()})
    ask(folder)
    with np.load(folder / "outputs.npz") as outputs:
        return dict(outputs)


def some_questions(towers: Towers, count: int) -> Questions:
    features = towers.features
    users = np.arange(count, dtype=np.int32)
    ends = features.user_start[users + 1] - 1
    rows, kinds, stamps = features.history(users, ends, towers.config.history.length)
    texts = np.array((["red shirt", "", "黑色 手机壳", "🦄"] * count)[:count], object)
    return Questions(texts, rows, kinds, stamps, stamps.max(axis=1) + 100, users)


def test_queries_in_a_fresh_process(
    towers: Towers, backbone: object, fresh_process: Callable[[Path], None], tmp_path: Path
) -> None:
    encoder = QueryEncoder(towers, backbone)
    length = towers.config.history.length

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "query"),
            tf.TensorSpec([None, length], tf.int32, "history_row"),
            tf.TensorSpec([None, length], tf.int32, "history_kind"),
            tf.TensorSpec([None, length], tf.int64, "history_timestamp"),
            tf.TensorSpec([None], tf.int64, "timestamp"),
            tf.TensorSpec([None], tf.string, "user_country"),
            tf.TensorSpec([None, 32, 32, 3], tf.uint8, "query_image"),
        ]
    )
    def signature(query, history_row, history_kind, history_timestamp, timestamp, user_country, query_image):
        columns = {"country": user_country}
        past = (history_row, history_kind, history_timestamp, timestamp)
        pictured = encoder.encode(query, *past, columns, query_image)
        return {"with_image": pictured["embedding"], "plain": encoder(query, *past, columns)} | {
            "weights": pictured["modality_weights"]
        }

    questions = some_questions(towers, 5)
    countries = towers.features.user_columns["country"][questions.users]
    pictures = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    inputs = {
        "query": np.array([text.encode() for text in questions.texts]),
        "history_row": questions.rows,
        "history_kind": questions.kinds,
        "history_timestamp": questions.timestamps,
        "timestamp": questions.timestamp,
        "user_country": np.array([country.encode() for country in countries]),
        "query_image": pictures,
    }
    outputs = in_a_fresh_process(fresh_process, tmp_path, encoder_with(encoder, signature), signature, inputs)
    np.testing.assert_allclose(outputs["plain"], towers.query_embeddings(questions), atol=1e-5)
    embeddings = np.asarray(backbone(pictures.astype(np.float32)))
    np.testing.assert_allclose(outputs["with_image"], towers.query_embeddings(questions, embeddings), atol=1e-4)
    np.testing.assert_allclose(outputs["weights"], towers.modality_weights(questions, embeddings), atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(outputs["plain"], axis=1), 1.0, atol=1e-5)


def encoder_with(encoder: tf.Module, signature: object) -> tf.Module:
    module = tf.Module()
    module.encoder, module.signature = encoder, signature
    return module


def raw_fields(towers: Towers, toy, rows: list[int]) -> dict[str, np.ndarray]:
    """What a shop's backend sends about products."""
    products = toy.shop.products.take(rows)
    fields = {name: np.array([text.encode() for text in products[name].to_pylist()]) for name in PRODUCT_TEXTS}
    created = np.array([time.timestamp() for time in products["created_at"].to_pylist()])
    image_row = products["image_row"].to_numpy()
    return fields | {
        "price": products["price"].to_numpy().astype(np.float32),
        "rating_average": products["rating_average"].to_numpy().astype(np.float32),
        "rating_count": products["rating_count"].to_numpy().astype(np.int64),
        "created_at": created.astype(np.int64),
        "timestamp": np.array([0, *[snapshot(towers)] * (len(rows) - 1)], np.int64),
        "counters": np.asarray(towers.features.snapshots[DAY][rows], np.float32),
        "image_present": image_row >= 0,
    }


def snapshot(towers: Towers) -> int:
    return towers.features.day0 + DAY * 86_400


def test_products_in_a_fresh_process_are_those_of_the_index(
    towers: Towers, toy, fresh_process: Callable[[Path], None], tmp_path: Path
) -> None:
    encoder = ProductEncoder(towers, None, snapshot(towers))
    rows = list(range(48))
    embeddings = np.load(toy.images_dir / "embeddings.npy").astype(np.float32)
    fields = raw_fields(towers, toy, rows)
    image_row = toy.shop.products["image_row"].to_numpy()
    fields["image_embedding"] = np.where(image_row[:, None] >= 0, embeddings[image_row], np.nan).astype(np.float32)
    specs = {
        name: tf.TensorSpec(
            [None, *value.shape[1:]], tf.as_dtype(value.dtype) if value.dtype.kind != "S" else tf.string, name
        )
        for name, value in fields.items()
    }
    signature = tf.function(lambda **given: encoder.encode(given)).get_concrete_function(**specs)
    outputs = in_a_fresh_process(fresh_process, tmp_path, encoder_with(encoder, signature), signature, fields)
    np.testing.assert_allclose(outputs["embedding"], towers.product_embeddings(DAY), atol=1e-4)
    np.testing.assert_allclose(outputs["modality_weights"].sum(axis=1), 1.0, atol=1e-5)


def test_a_product_from_pixels_and_one_that_nobody_has_seen(towers: Towers, toy, backbone: object) -> None:
    encoder = ProductEncoder(towers, backbone, snapshot(towers))
    fields = {name: tf.constant(value) for name, value in raw_fields(towers, toy, [1]).items()}
    pixels = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    fields |= {"image": tf.constant(pixels), "image_present": tf.constant([True])}
    by_pixels = encoder(fields)
    by_embedding = encoder(fields | {"image_embedding": tf.constant(np.asarray(backbone(pixels.astype(np.float32))))})
    np.testing.assert_allclose(by_pixels, by_embedding, atol=1e-5)
    nan, zero = tf.constant([np.nan], tf.float32), tf.constant([0], tf.int64)
    nothing = {name: tf.constant([""]) for name in PRODUCT_TEXTS}
    nothing |= {"price": nan, "rating_average": nan, "rating_count": zero, "created_at": zero, "timestamp": zero}
    nothing |= {"counters": tf.zeros((1, 18)), "image": fields["image"], "image_present": tf.constant([False])}
    result = encoder.encode(nothing)
    assert np.linalg.norm(result["embedding"].numpy()) == pytest.approx(1.0, abs=1e-5)
    # All that stands for it is the behaviour of a typical product.
    assert result["modality_weights"].numpy().tolist() == [[0, 0, 1, 0]]
    new = nothing | {"category": tf.constant(["Never > seen"]), "title": tf.constant(["red shirt"])}
    assert np.isfinite(encoder(new).numpy()).all()


def test_wrong_inputs_are_named(towers: Towers, toy) -> None:
    questions = some_questions(towers, 1)
    past = (questions.rows, questions.kinds, questions.timestamps, questions.timestamp)
    encoder = QueryEncoder(towers)
    with pytest.raises(ValueError, match=r"expected user columns \('country',\), received \(\)"):
        encoder(tf.constant(["red"]), *map(tf.constant, past), {})
    with pytest.raises(ValueError, match="without a picture network"):
        encoder(
            tf.constant(["red"]),
            *map(tf.constant, past),
            {"country": tf.constant([""])},
            tf.zeros((1, 32, 32, 3), tf.uint8),
        )
    fields = {name: tf.constant(value) for name, value in raw_fields(towers, toy, [1]).items()}
    with pytest.raises(ValueError, match="image_embedding"):
        ProductEncoder(towers, None, 0)(fields)


def test_every_variable_is_tracked_once(towers: Towers, backbone: object) -> None:
    variables = tracked_variables(towers.model, towers.model.text, backbone, None)
    assert len({id(variable) for variable in variables}) == len(variables)
    wanted = {id(variable.value) for variable in (*towers.model.variables, *backbone.variables)}
    assert {id(variable) for variable in variables} == wanted
    large = tracked_variables(towers.model, backbone, larger_than=4096)
    assert {id(variable) for variable in large} == {
        id(variable) for variable in variables if 4 * int(np.prod(variable.shape)) > 4096
    }
    assert 0 < len(large) < len(variables)
    assert len(KINDS) == 6  # the signature's kind ids are positions in this list


def test_finetuned_pictures_are_read_from_the_towers_folder(
    toy, config: TowersConfig, tmp_path: Path, backbone
) -> None:
    images_dir = tmp_path / "images"
    images_dir.mkdir()
    backbone.save(images_dir / "backbone.keras")
    before = np.asarray(backbone(np.asarray(toy.shop.images, np.float32)))
    write_npy(images_dir / "embeddings.npy", before.astype(np.float16))
    settings = config.model_copy(
        update={"training": config.training.model_copy(update={"epochs": 1, "finetune_images": True})}
    )
    with eagerly():
        train(toy.shop, toy.features, images_dir, settings, tmp_path / "towers")
    towers = load(tmp_path / "towers", toy.shop, toy.features, images_dir)
    after = np.load(tmp_path / "towers" / "pictures" / "embeddings.npy")
    assert after.shape == before.shape
    assert np.abs(after - before).max() > 1e-2  # the network was trained
    np.testing.assert_array_equal(towers.tables.images[:-1], after)
