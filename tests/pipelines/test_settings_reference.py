"""The listing of all settings is a config at its defaults, and says of each what its field says."""

from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field

from catalog.config import Config, parse_config
from catalog.errors import ConfigError
from catalog.simulate import SimulateConfig
from pipelines.config import PipelineConfig
from pipelines.settings_reference import settings_reference


class Part(Config):
    """What is in part.

    And more of it.
    """

    share: float = Field(0.5, gt=0, le=1, description="A share.")
    untold: bool = True


class Whole(Config):
    name: str = Field(pattern="^[a-z]+$", description="What it is called.")
    kind: Literal["one", "two"] = Field("one", description="Which.")
    kinds: tuple[Literal["a", "b"], ...] = Field((), max_length=2)
    words: tuple[Annotated[str, Field(pattern="^w")], ...] = Field(("w",), min_length=1)
    limit: int | None = Field(None, ge=3)
    part: Part = Part(share=0.25)
    absent: Part | None = None


def uncommented(text: str, section: str) -> str:
    """A commented-out section of the listing as its reader would write it: without the first `# ` of its lines."""
    lines = text.splitlines()
    start = lines.index(f"# {section}:")
    end = lines.index("", start)
    return "\n".join(line.removeprefix("# ") for line in lines[start:end])


def leaves(section: Config, prefix: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Config):
            yield from leaves(value, (*prefix, name))
        else:
            yield (*prefix, name)


def test_the_listing_word_for_word() -> None:
    listed = settings_reference(config=Whole).split("\n\n", 1)[1]  # below the header
    expected = """\
# What it is called. [required; text; like ^[a-z]+$]
# name:

# Which. [one of one, two]
kind: one

# [list; each one of a, b; length <= 2]
kinds: []

# [each like ^w; not empty]
words: [w]

# [whole number; >= 3]
# limit: null

# What is in part.
part:
  # A share. [> 0, <= 1]
  share: 0.25
  untold: true

# What is in part.
# absent:
#   # A share. [> 0, <= 1]
#   share: 0.5
#   untold: true
"""
    assert listed == expected


def test_the_whole_is_a_config_at_its_defaults_once_it_has_a_name() -> None:
    values = yaml.safe_load(settings_reference())
    assert parse_config(PipelineConfig, values | {"name": "shop"}, "listed") == PipelineConfig(name="shop")


def test_every_setting_is_there_and_what_has_no_value_is_commented_out() -> None:
    text = settings_reference()
    config = PipelineConfig(name="shop", simulate=SimulateConfig())
    values = yaml.safe_load(text) | yaml.safe_load(uncommented(text, "simulate"))
    for path in leaves(config):
        held = values
        for name in path[:-1]:
            held = held[name]
        assert path[-1] in held or f"{'  ' * (len(path) - 1)}# {path[-1]}:" in text, path
        assert path[-1] not in held or held[path[-1]] is not None, path


def test_an_optional_section_is_whole_where_its_marks_are_taken_off() -> None:
    values = yaml.safe_load(uncommented(settings_reference(), "simulate"))
    assert parse_config(SimulateConfig, values["simulate"], "listed") == SimulateConfig()


def test_no_line_is_wider_than_the_project_s() -> None:
    assert max(map(len, settings_reference().splitlines())) <= 120


def test_a_section_stands_under_its_parents_and_holds_nothing_else() -> None:
    text = settings_reference("towers.training")
    training = PipelineConfig(name="shop").towers.training
    assert yaml.safe_load(text) == {"towers": {"training": training.model_dump(mode="json")}}
    assert "\n    # correct the in-batch softmax for how often a product is drawn" in text


def test_one_setting_alone() -> None:
    assert settings_reference("part.share", Whole) == "part:\n  # A share. [> 0, <= 1]\n  share: 0.25\n"
    assert settings_reference("absent.share", Whole) == "# absent:\n#   # A share. [> 0, <= 1]\n#   share: 0.5\n"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("towers.trainin", r"section or setting 'towers\.trainin'; did you mean 'towers\.training'"),
        ("retrieval_of_all", "known: name, workspace, models_dir, source, simulate"),
        ("history_half_life", r"did you mean 'rerank\.history_half_life'\?"),
        ("towers.", "did you mean 'towers'"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_nearest_ones(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_reference(name)
