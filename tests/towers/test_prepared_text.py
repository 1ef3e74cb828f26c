"""What a killed training finds again, and what makes it another training."""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from towers.checkpoints import checkpoints_folder
from towers.config import TowersConfig
from towers.prepared_text import prepare_text, training_key
from towers.trained import write_vocabulary


def test_a_key_is_of_the_settings_and_of_what_is_learned_from(toy, config: TowersConfig, tmp_path: Path) -> None:
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert key == training_key(toy.shop, toy.features, toy.images_dir, config.model_copy())
    products = toy.shop.products
    place = products.schema.get_field_index("title")
    titles = products.set_column(place, "title", pa.array(["Another"] * products.num_rows))
    later = replace(toy.features, interaction_timestamp=toy.features.interaction_timestamp + 1)
    others = {
        training_key(toy.shop, toy.features, toy.images_dir, config.model_copy(update={"seed": 1})),
        training_key(replace(toy.shop, products=titles), toy.features, toy.images_dir, config),
        training_key(toy.shop, later, toy.images_dir, config),
        training_key(toy.shop, toy.features, tmp_path, config),  # no pictures there
    }
    assert len(others - {key}) == 4


def test_a_key_is_of_what_a_folder_of_a_preset_holds(toy, config: TowersConfig, tmp_path: Path) -> None:
    text = config.text.model_copy(update={"preset": str(tmp_path)})
    keys = []
    for content in ("one", "two", "one"):
        (tmp_path / "model.weights.h5").write_text(content)
        given = config.model_copy(update={"text": text})
        keys.append(training_key(toy.shop, toy.features, toy.images_dir, given))
    assert keys[0] == keys[2] != keys[1]


def test_a_key_is_of_no_setting_that_decides_nothing(toy, config: TowersConfig) -> None:
    device = config.device.model_copy(update={"memory_growth": not config.device.memory_growth})
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert training_key(toy.shop, toy.features, toy.images_dir, config.model_copy(update={"device": device})) == key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("price", 1.0),
        ("rating_average", 4.5),
        ("rating_count", 3),
        ("description", "As seen"),
        ("review_text", "Lovely"),
        ("image_sha256", "other"),
    ],
)
def test_a_key_is_of_every_column_that_towers_read(toy, config: TowersConfig, name: str, value: object) -> None:
    products = toy.shop.products
    place = products.schema.get_field_index(name)
    values = pa.array([value] * products.num_rows, products.schema.field(place).type)
    changed = replace(toy.shop, products=products.set_column(place, name, values))
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert training_key(changed, toy.features, toy.images_dir, config) != key


@pytest.mark.parametrize("name", ["in_stock", "currency"])
def test_a_key_is_of_no_column_that_towers_do_not_read(toy, config: TowersConfig, name: str) -> None:
    products = toy.shop.products
    place = products.schema.get_field_index(name)
    values = pa.array([{"in_stock": False, "currency": "USD"}[name]] * products.num_rows)
    changed = replace(toy.shop, products=products.set_column(place, name, values))
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert training_key(changed, toy.features, toy.images_dir, config) == key


@pytest.mark.parametrize(
    "change",
    [
        lambda features: {"snapshot_features": tuple(name.replace("2d", "3d") for name in features.snapshot_features)},
        lambda features: {"snapshots": np.asarray(features.snapshots) + np.float32(1)},
        lambda features: {"interaction_kind": features.interaction_kind[::-1]},
        lambda features: {"interaction_weight": features.interaction_weight * np.float32(2)},
        lambda features: {"example_weight": features.example_weight * np.float32(2)},
        lambda features: {"launched": features.launched + np.int32(1)},
        lambda features: {"user_columns": {"country": features.user_columns["country"][::-1]}},
        lambda features: {"user_columns": {"language": features.user_columns["country"]}},
    ],
    ids=["counters", "counts", "kinds", "interaction weights", "labels", "launches", "profiles", "profile names"],
)
def test_a_key_is_of_all_features_that_towers_read(toy, config: TowersConfig, change: Callable) -> None:
    changed = replace(toy.features, **change(toy.features))
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert training_key(toy.shop, changed, toy.images_dir, config) != key


def test_a_key_is_that_of_the_features_as_they_are_read_again(toy, config: TowersConfig) -> None:
    again = FeatureStore.load(toy.folder / "features", mmap=False)
    key = training_key(toy.shop, toy.features, toy.images_dir, config)
    assert training_key(toy.shop, again, toy.images_dir, config) == key


def test_a_killed_training_reads_what_it_wrote_and_another_makes_it_anew(
    toy, config: TowersConfig, tmp_path: Path
) -> None:
    given = (toy.shop, toy.features, toy.images_dir, config, tmp_path)
    tokenizer, vocabulary = prepare_text(*given, "one")
    checkpoints_folder(tmp_path).mkdir()
    written = (tmp_path / "tokenizer.model").stat().st_mtime_ns
    again, known = prepare_text(*given, "one")
    assert (tmp_path / "tokenizer.model").stat().st_mtime_ns == written
    assert asdict(known) == asdict(vocabulary)
    np.testing.assert_array_equal(again.encode(["red shirt"], 8), tokenizer.encode(["red shirt"], 8))
    prepare_text(*given, "two")
    assert (tmp_path / "tokenizer.model").stat().st_mtime_ns > written


def test_a_finished_training_that_is_started_again_reads_nothing_of_it(
    toy, config: TowersConfig, tmp_path: Path
) -> None:
    given = (toy.shop, toy.features, toy.images_dir, config, tmp_path, "one")
    _, vocabulary = prepare_text(*given)
    write_vocabulary(tmp_path / "vocabulary.json", replace(vocabulary, counters=("of an earlier version",)))
    _, again = prepare_text(*given)
    assert asdict(again) == asdict(vocabulary)


def test_a_slice_before_every_launch_is_said(toy, config: TowersConfig, tmp_path: Path) -> None:
    launched = np.full_like(toy.features.launched, toy.features.slices.towers[1])
    with pytest.raises(DataError, match="none of the 48 products was launched in the towers' slice"):
        prepare_text(toy.shop, replace(toy.features, launched=launched), toy.images_dir, config, tmp_path, "key")
