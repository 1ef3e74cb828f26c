"""What `tandem tune` searches: for each part the settings, their ranges, and the settings that must stay.

What a setting means stands in towers/config.py and rerank/config.py. A YAML file can name another space, in the shape
of the config, with a list of values or a range for each setting:

    towers:
      dim: [32, 64, 128]
      training:
        learning_rate: {low: 0.0005, high: 0.008, log: true}
"""

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic import BaseModel, model_validator

from catalog.config import Config, parse_config, read_yaml
from catalog.errors import ConfigError
from pipelines.config import PipelineConfig

Part = Literal["towers", "rerank"]
Value = bool | int | float | str


class Range(Config):
    """Every number from `low` to `high`, whole ones for a whole setting; with `log` by their logarithm."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _check(self) -> "Range":
        if self.low > self.high:
            raise ValueError(f"low = {self.low} is above high = {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low = {self.low}: a logarithmic range starts above 0")
        return self


class OneOf(Config):
    """One of some values, in no order."""

    values: tuple[Value, ...]


Space = dict[str, Range | OneOf]

SPACES: dict[Part, Space] = {
    "towers": {
        # Size and form of the network.
        "dim": OneOf(values=(32, 64, 96, 128)),
        "fusion": OneOf(values=("gated", "attention", "concat", "weighted_sum")),
        "text.layers": Range(low=0, high=2),
        "history.blocks": Range(low=1, high=3),
        "history.heads": OneOf(values=(1, 2, 4)),
        "history.dropout": Range(low=0.0, high=0.5),
        # The loss: how sharp, and against what. Pseudo-queries (catalogue_queries) are left as they are: they teach
        # what words mean, which recall of clicks hardly shows.
        "training.temperature": Range(low=0.02, high=0.15, log=True),
        "training.mixed_negatives": OneOf(values=(0, 128, 512)),
        "training.hard_negatives": OneOf(values=(0, 32, 128)),
        # The batch and the optimizer.
        "training.search_examples": OneOf(values=(128, 256, 384)),
        "training.next_items": OneOf(values=(96, 192, 384)),
        "training.learning_rate": Range(low=5e-4, high=8e-3, log=True),
        "training.average": OneOf(values=(0.0, 0.95, 0.98, 0.99)),
    },
    "rerank": {
        "cross_layers": Range(low=1, high=4),
        "projection_dim": OneOf(values=(16, 32, 64)),
        "dropout": Range(low=0.0, high=0.5),
        "heads": OneOf(values=("conditional", "independent")),
        "listwise_weight": Range(low=0.05, high=2.0, log=True),
        # Longer lists hold more never-shown candidates; shorter ones than a page would cut what is measured.
        "list_length": OneOf(values=(40, 60, 80)),
        "batch_requests": OneOf(values=(32, 64, 128)),
        "learning_rate": Range(low=5e-4, high=8e-3, log=True),
        "weight_decay": Range(low=0.1, high=10.0, log=True),
    },
}

# Settings, or whole sections, that no search may move, each with its reason.
FIXED: dict[Part, dict[str, str]] = {
    "towers": {
        "seed": "the best seed is luck",
        "history.length": "it is the shape of the signatures, and the reranker has the same",
        "training.validation_examples": "trials would be measured on different questions",
        "sequences": "`tandem run` does not train these towers",
        "device": "it says what the machine has",
    },
    "rerank": {
        "seed": "the best seed is luck",
        "history_length": "it is the shape of the signatures, and the towers have the same",
        "max_requests": "the candidates stage depends on it",
        "max_validation_requests": "trials would be measured on different pages",
        "max_position": "the metric corrects clicks by it",
        "position_bias": "the metric corrects clicks by it",
        "cart_weight": "it says what the shop wants; clicks would set it to 0",
        "purchase_weight": "it says what the shop wants; clicks would set it to 0",
        "relevance": "the metric is of clicks and does not see grades",
        "name_weight": "the metric is of clicks and does not see names",
        "picture_query_weight": "the metric is of requests without pictures",
        "lexical.named_products": "the metric is of clicks and does not see names",
        **{
            f"lexical.{name}": "the candidates stage depends on it"
            for name in ("query_words", "title_words", "attribute_words", "unspaced_words")
        },
        "behaviour": "the metric reads counters as they were, and releases make them up",
        "feature_memory_gb": "it says what the machine has",
    },
}


def read_space(path: Path, config: PipelineConfig) -> dict[Part, Space]:
    """The parts of a space file, every one checked against the config that it is to change.

    Raises:
        ConfigError: for an unknown setting, one that must stay, a range upside down or values the config refuses.
    """
    given = read_yaml(path)
    if not isinstance(given, dict) or not given:
        raise ConfigError(f"{path}: expected the sections towers and rerank, or one of them; received {given!r}")
    spaces: dict[Part, Space] = {}
    for part, settings in given.items():
        if part not in SPACES:
            raise ConfigError(f"{path}: {part!r} cannot be tuned; expected towers or rerank")
        leaves = _leaves(type(getattr(config, part)), settings, f"{path}: {part}")
        spaces[part] = {
            name: _dimension(part, name, found, annotation, path) for name, (found, annotation) in leaves.items()
        }
        if not spaces[part]:
            raise ConfigError(f"{path}: {part} names nothing to search; give a list of values or low and high")
        for name, dimension in spaces[part].items():
            for value in _ends(dimension):
                with_values(config, part, {name: value}, f"{path}, {part}.{name} = {value!r}")
    return spaces


def space_for(config: PipelineConfig, part: Part) -> Space:
    """The part's own space without the values that this config's other settings rule out."""
    space: Space = {}
    for name, dimension in SPACES[part].items():
        if isinstance(dimension, OneOf):
            values = tuple(value for value in dimension.values if _fits(config, part, name, value))
            space[name] = OneOf(values=values)
        else:
            space[name] = dimension
    return space


def with_present(space: Space, config: PipelineConfig, part: Part) -> Space:
    """The space widened to what the config has now, since the first trial is that."""
    wide: Space = {}
    for name, dimension in space.items():
        value = value_at(config, part, name)
        if isinstance(dimension, Range):
            low, high = min(dimension.low, value), max(dimension.high, value)
            wide[name] = Range(low=low, high=high, log=dimension.log and low > 0)
        else:
            wide[name] = OneOf(values=tuple(dict.fromkeys((*dimension.values, value))))
    return wide


def value_at(config: PipelineConfig, part: Part, name: str) -> Any:
    """The config's value of a part's setting, named with dots."""
    value: Any = getattr(config, part)
    for key in name.split("."):
        value = getattr(value, key)
    return value


def with_values(config: PipelineConfig, part: Part, values: Mapping[str, Value], origin: str) -> PipelineConfig:
    """The config with some of a part's settings changed; ConfigError, naming `origin`, when they cannot be."""
    changed = config.model_dump()
    for name, value in values.items():
        *sections, key = name.split(".")
        at = changed[part]
        for section in sections:
            at = at[section]
        at[key] = value
    return parse_config(PipelineConfig, changed, origin)


def _fits(config: PipelineConfig, part: Part, name: str, value: Value) -> bool:
    try:
        with_values(config, part, {name: value}, name)
    except ConfigError:
        return False
    return True


def _ends(dimension: Range | OneOf) -> tuple[Value, ...]:
    return (dimension.low, dimension.high) if isinstance(dimension, Range) else dimension.values


def _leaves(section: type[BaseModel], given: Any, origin: str, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted name -> what the file says and the setting's type, for every setting below a section."""
    if not isinstance(given, dict):
        raise ConfigError(f"{origin}: expected settings as in the config, received {given!r}")
    leaves: dict[str, tuple[Any, Any]] = {}
    for key, found in given.items():
        field = section.model_fields.get(str(key))
        if field is None:
            near = get_close_matches(str(key), section.model_fields, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(section.model_fields))}"
            raise ConfigError(f"{origin}.{prefix}{key}: unknown setting; {hint}")
        annotation = field.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            leaves |= _leaves(annotation, found, origin, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = (found, annotation)
    return leaves


def _dimension(part: Part, name: str, found: Any, annotation: Any, path: Path) -> Range | OneOf:
    origin = f"{path}: {part}.{name}"
    for fixed, reason in FIXED[part].items():
        if name == fixed or name.startswith(f"{fixed}."):
            raise ConfigError(f"{origin} is not searched: {reason}")
    number = annotation in (int, float)
    if not number and annotation is not bool and get_origin(annotation) is not Literal:
        raise ConfigError(f"{origin} is not searched: only numbers, names and switches are")
    if isinstance(found, list):
        if len(found) < 2:
            raise ConfigError(f"{origin}: expected two values or more, received {found!r}")
        return parse_config(OneOf, {"values": [_exact(value, annotation, origin) for value in found]}, origin)
    if not isinstance(found, dict):
        raise ConfigError(f"{origin}: expected a list of values, or low and high; received {found!r}")
    if not number:
        raise ConfigError(f"{origin} is no number: give a list of values instead of {found!r}")
    dimension = parse_config(Range, found, origin)
    low, high = _exact(dimension.low, annotation, origin), _exact(dimension.high, annotation, origin)
    return Range(low=low, high=high, log=dimension.log)


def _exact(value: Any, annotation: Any, origin: str) -> Any:
    """A value of the setting's own type; YAML's 1 is also 1.0, and its 1e-3 is a text."""
    if annotation is float and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            raise ConfigError(f"{origin}: received {value!r}, expected a number") from None
    if annotation is int and (isinstance(value, bool) or not isinstance(value, int)):
        raise ConfigError(f"{origin}: received {value!r}, expected a whole number")
    return value
