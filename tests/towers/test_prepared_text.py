"""What a killed training finds again, and what makes it another training."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import DataError
from towers.config import TowersConfig
from towers.prepared_text import prepare_text, training_key


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


def test_the_same_training_reads_what_it_wrote_and_another_makes_it_anew(
    toy, config: TowersConfig, tmp_path: Path
) -> None:
    given = (toy.shop, toy.features, toy.images_dir, config, tmp_path)
    tokenizer, vocabulary = prepare_text(*given, "one")
    written = (tmp_path / "tokenizer.model").stat().st_mtime_ns
    again, known = prepare_text(*given, "one")
    assert (tmp_path / "tokenizer.model").stat().st_mtime_ns == written
    assert asdict(known) == asdict(vocabulary)
    np.testing.assert_array_equal(again.encode(["red shirt"], 8), tokenizer.encode(["red shirt"], 8))
    prepare_text(*given, "two")
    assert (tmp_path / "tokenizer.model").stat().st_mtime_ns > written


def test_a_slice_before_every_launch_is_said(toy, config: TowersConfig, tmp_path: Path) -> None:
    launched = np.full_like(toy.features.launched, toy.features.slices.towers[1])
    with pytest.raises(DataError, match="none of the 48 products was launched in the towers' slice"):
        prepare_text(toy.shop, replace(toy.features, launched=launched), toy.images_dir, config, tmp_path, "key")
