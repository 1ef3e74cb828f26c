import pytest

from catalog.config import parse_config
from catalog.errors import ConfigError
from towers.config import TowersConfig


def test_heads_must_divide_dim() -> None:
    with pytest.raises(ConfigError, match=r"history.heads = 3 must divide dim = 64"):
        parse_config(TowersConfig, {"history": {"heads": 3}}, "config")


def test_a_batch_must_hold_queries() -> None:
    nothing = {"training": {"search_examples": 0, "next_items": 0, "catalogue_queries": 0}}
    with pytest.raises(ConfigError, match="nothing to train on"):
        parse_config(TowersConfig, nothing, "config")


def test_an_unknown_fusion_is_named() -> None:
    with pytest.raises(ConfigError, match="gatde"):
        parse_config(TowersConfig, {"fusion": "gatde"}, "config")


def test_every_setting_is_described_and_survives_json() -> None:
    config = TowersConfig()
    assert TowersConfig.model_validate_json(config.model_dump_json()) == config
    for section in (config, config.text, config.history, config.training, config.sequences, config.device):
        for name, field in type(section).model_fields.items():
            assert field.description or isinstance(getattr(section, name), type(section).__mro__[1]), name
