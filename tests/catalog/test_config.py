"""Config sections say what is wrong with a value and which name was meant."""

from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from catalog.config import Config, Operational, parse_config, read_yaml
from catalog.errors import ConfigError


class Inner(Config):
    learning_rate: float = Field(0.1, gt=0)


class Outer(Config):
    epochs: int = 3
    inner: Inner = Inner()


def test_values_are_checked_and_frozen() -> None:
    config = parse_config(Outer, {"epochs": 5, "inner": {"learning_rate": 0.5}}, "shop.yaml")
    assert (config.epochs, config.inner.learning_rate) == (5, 0.5)
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 7  # type: ignore[misc]


def test_operational_settings_decide_nothing_at_any_depth() -> None:
    class Machine(Config):
        precision: str = "float32"
        threads: Annotated[int, Operational()] = Field(2, ge=1)

    class Section(Config):
        path: Annotated[Path | None, Operational()] = None
        machine: Machine = Machine()
        other: Machine | None = None

    section = Section(path=Path("shop"), machine=Machine(threads=4), other=Machine(threads=8))
    decisive = {"precision": "float32"}
    assert section.decisive() == {"machine": decisive, "other": decisive}
    assert Section().decisive() == {"machine": decisive, "other": None}
    with pytest.raises(ConfigError, match="threads: received 0"):
        parse_config(Machine, {"threads": 0}, "shop.yaml")


def test_an_unknown_key_names_the_nearest_right_one() -> None:
    with pytest.raises(ConfigError, match=r"inner\.learnin_rate: unknown setting; did you mean 'learning_rate'"):
        parse_config(Outer, {"inner": {"learnin_rate": 1}}, "shop.yaml")


def test_an_unknown_key_like_no_other_lists_them() -> None:
    with pytest.raises(ConfigError, match="known here: epochs, inner"):
        parse_config(Outer, {"zzz": 1}, "shop.yaml")


def test_every_fault_is_listed_with_what_came() -> None:
    with pytest.raises(ConfigError, match="2 unusable") as error:
        parse_config(Outer, {"epochs": "many", "inner": {"learning_rate": -1}}, "shop.yaml")
    assert "epochs: received 'many'" in str(error.value)
    assert "inner.learning_rate: received -1" in str(error.value)


def test_what_a_config_does_not_print_its_errors_do_not_either() -> None:
    class Secrets(Config):
        key: dict[str, int] = Field(default_factory=dict, repr=False)

    with pytest.raises(ConfigError, match=r"key\.a: received str, not shown: Input should be a valid integer") as error:
        parse_config(Secrets, {"key": {"a": "hush"}}, "shop.yaml")
    assert "hush" not in str(error.value)


def test_a_config_that_is_no_mapping() -> None:
    with pytest.raises(ConfigError, match="expected a mapping of settings, received list"):
        parse_config(Outer, [1], "shop.yaml")


@pytest.mark.parametrize(
    "content",
    [
        b"a: [1",
        b"\xff\xfe\x00",
        b"name: 2026-02-30",
        b'seed: !!int "abc"',
        b'seed: !!int ""',
        b'seed: !!bool "abc"',
        b'seed: !!timestamp "abc"',
        b"a: " + 3000 * b"[" + 3000 * b"]",
    ],
    ids=lambda content: repr(content[:20]),
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "shop.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"shop\.yaml: not a readable YAML file"):
        read_yaml(path)
    with pytest.raises(ConfigError, match="absent"):
        read_yaml(tmp_path / "absent.yaml")


@pytest.mark.parametrize("content", ["epochs: 1\nname: x\n'epochs': 2\n", "inner:\n  a: 1\n  a: 2\n"])
def test_a_repeated_key_is_an_error_with_its_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"(?s)shop\.yaml: .* stands in one mapping twice.*and again.* line 3"):
        read_yaml(path)


def test_a_merged_mapping_may_give_a_key_anew(tmp_path: Path) -> None:
    path = tmp_path / "shop.yaml"
    path.write_text("one:\n  b: &b {<<: {x: 1}, x: 2}\ntwo: {<<: *b, x: 3}\n")
    assert read_yaml(path) == {"one": {"b": {"x": 2}}, "two": {"x": 3}}
