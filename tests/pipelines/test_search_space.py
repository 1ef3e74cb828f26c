"""What may be searched, and what a space file says wrong."""

from pathlib import Path

import pytest

from catalog.errors import ConfigError
from pipelines.config import PipelineConfig, load_config
from pipelines.run import config_path
from pipelines.search_space import (
    FIXED,
    SPACES,
    OneOf,
    Part,
    Range,
    read_space,
    space_for,
    value_at,
    with_present,
    with_values,
)

CONFIG = PipelineConfig(name="shop")


def read(tmp_path: Path, text: str) -> dict[Part, dict[str, Range | OneOf]]:
    path = tmp_path / "space.yaml"
    path.write_text(text)
    return read_space(path, CONFIG)


@pytest.mark.parametrize("part", ["towers", "rerank"])
@pytest.mark.parametrize("name", ["demo", "fashion", "fashion-small"])
def test_every_end_of_the_own_spaces_is_a_config(part: Part, name: str) -> None:
    config = load_config(config_path(name))
    space = with_present(space_for(config, part), config, part)
    assert list(space) == list(SPACES[part])
    assert not set(space) & set(FIXED[part])
    for setting, dimension in space.items():
        ends = (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.values
        for value in ends:
            assert value_at(with_values(config, part, {setting: value}, "end"), part, setting) == value


def test_every_setting_that_must_stay_exists() -> None:
    for part, settings in FIXED.items():
        for name in settings:
            value_at(CONFIG, part, name)


def test_values_and_ranges_in_the_shape_of_the_config(tmp_path: Path) -> None:
    spaces = read(
        tmp_path,
        """
towers:
  dim: [32, 64]
  fusion: [gated, concat]
  training:
    learning_rate: {low: 1e-3, high: 0.004, log: true}
    mixed_negatives: {low: 0, high: 256}
    logq: [true, false]
rerank:
  dropout: {low: 0, high: 1e-1}
""",
    )
    assert spaces["towers"] == {
        "dim": OneOf(values=(32, 64)),
        "fusion": OneOf(values=("gated", "concat")),
        "training.learning_rate": Range(low=0.001, high=0.004, log=True),
        "training.mixed_negatives": Range(low=0, high=256),
        "training.logq": OneOf(values=(True, False)),
    }
    dropout = spaces["rerank"]["dropout"]
    assert isinstance(dropout, Range)
    assert isinstance(dropout.low, float)
    assert isinstance(spaces["towers"]["training.mixed_negatives"].low, int)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tower: {dim: [32, 64]}", "'tower' cannot be tuned; expected towers or rerank"),
        ("[]", "expected the sections towers and rerank"),
        ("towers: {}", "towers names nothing to search"),
        ("towers: {training: 3}", "expected settings as in the config, received 3"),
        ("towers: {training: {learning_rat: [0.1, 0.2]}}", "learning_rat: unknown setting; did you mean 'learning_rat"),
        ("towers: {dim: {low: 64, high: 32}}", "low = 64 is above high = 32"),
        ("towers: {dim: {low: 64, hihg: 32}}", "hihg: unknown setting; did you mean 'high'"),
        ("towers: {training: {learning_rate: {low: 0, high: 1, log: true}}}", "logarithmic range starts above 0"),
        (
            "towers: {training: {temperature: [0.05, 7]}}",
            r"training.temperature = 7.0 has 1 unusable setting.*less than",
        ),
        ("towers: {training: {temperature: [warm, 0.1]}}", "'warm', expected a number"),
        ("towers: {dim: {low: 32.5, high: 64}}", "received 32.5, expected a whole number"),
        ("towers: {dim: [64, 65]}", "text.heads = 2 must divide dim = 65"),
        ("towers: {dim: [64]}", "expected two values or more"),
        ("towers: {dim: 64}", "expected a list of values, or low and high; received 64"),
        ("towers: {fusion: {low: 1, high: 2}}", "is no number: give a list of values"),
        ("towers: {fusion: [gated, null]}", "unusable setting"),
        ("towers: {fusion: [gated, sum]}", "fusion = 'sum' has 1 unusable"),
        ("towers: {seed: [1, 2]}", "seed is not searched: the best seed is luck"),
        ("towers: {history: {length: [20, 50]}}", "history.length is not searched: it is the shape"),
        ("towers: {sequences: {epochs: [1, 2]}}", "does not train these towers"),
        ("rerank: {cart_weight: [0, 1]}", "clicks would set it to 0"),
        ("rerank: {position_bias: [true, false]}", "the metric corrects clicks by it"),
        (
            "rerank: {behaviour: {lift: [1.0, 2.0]}}",
            "lift is not searched: the metric reads counters as",
        ),
        ("rerank: {deep_units: [[8], [16]]}", "only numbers, names and switches"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"(?s)space.yaml.*{message}"):
        read(tmp_path, text)


def test_the_present_values_belong_to_the_space() -> None:
    config = with_values(CONFIG, "rerank", {"weight_decay": 0.0, "projection_dim": 7, "learning_rate": 0.1}, "the test")
    space = with_present(SPACES["rerank"], config, "rerank")
    assert space["weight_decay"] == Range(low=0.0, high=10.0)
    assert space["projection_dim"] == OneOf(values=(16, 32, 64, 7))
    assert space["learning_rate"] == Range(low=5e-4, high=0.1, log=True)
    assert space["dropout"] == SPACES["rerank"]["dropout"]


def test_values_that_other_settings_rule_out_are_left_out() -> None:
    odd = with_values(CONFIG, "towers", {"dim": 60, "history.heads": 5, "text.heads": 5}, "the test")
    space = space_for(odd, "towers")
    assert space["dim"] == OneOf(values=())
    assert with_present(space, odd, "towers")["dim"] == OneOf(values=(60,))
    assert space["history.heads"] == OneOf(values=(1, 2, 4))
