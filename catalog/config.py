"""The base of every config section: typed, frozen, and strict about names."""

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.errors import ConfigError

Section = TypeVar("Section", bound="Config")

_NO_VALUE = (ValueError, LookupError, AttributeError)  # of PyYAML: 2026-02-30, !!bool "abc", !!timestamp "abc"
_MERGE = "tag:yaml.org,2002:merge"  # the key <<, which may stand several times


@dataclass(frozen=True)
class Operational:
    """Marks a setting that no result depends on: how a run goes about it, or a path whose content counts by itself.

    Written `workers: Annotated[int, Operational()] = Field(2)`.
    """


class Config(BaseModel):
    """A frozen section of the configuration. Unknown keys are errors that name the nearest right one."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    def decisive(self) -> dict[str, Any]:
        """The settings that a result depends on, as JSON holds them: all but those that are `Operational`."""
        return self.model_dump(mode="json", exclude=_operational(self))


def _operational(section: Config) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if Operational() in field.metadata:
            found[name] = True
        elif isinstance(value, Config):
            found[name] = _operational(value)
    return {name: inside for name, inside in found.items() if inside}


def parse_config(section: type[Section], values: Any, origin: str) -> Section:
    """Check `values` against `section`.

    Args:
        section: the config class.
        values: what the YAML file held, a mapping.
        origin: where the values came from, for the error.

    Raises:
        ConfigError: with one line a fault: the key, what came, what was expected, and the nearest known key.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{origin}: expected a mapping of settings, received {type(values).__name__}: {values!r}")
    try:
        return section.model_validate(values)
    except ValidationError as error:
        raise unusable(section, error, origin) from error


def unusable(section: type[BaseModel], error: ValidationError, origin: str) -> ConfigError:
    """What pydantic found wrong with the values of a section, in the words of `parse_config`.

    The value of a field with `repr=False` is a secret: the text has its type only.
    """
    lines = [_explain(section, dict(fault)) for fault in error.errors()]
    return ConfigError(f"{origin} has {len(lines)} unusable setting(s):\n  " + "\n  ".join(lines))


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which no mapping has a key twice: the second would silently take the place of the first."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """The next mapping; ComposerError with both lines when a key of it stands there twice."""
        mapping = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], yaml.Node] = {}
        for key, _ in mapping.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            first = seen.setdefault((key.tag, key.value), key)
            if first is not key:
                raise yaml.composer.ComposerError(
                    f"the key {key.value!r} stands in one mapping twice, first",
                    first.start_mark,
                    "and again; remove one of the two, or bring together what stands under them",
                    key.start_mark,
                )
        return mapping


def read_yaml(path: Path) -> Any:
    """Parse one YAML file.

    Raises:
        ConfigError: naming the file, and the line where it is no YAML or repeats a key.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except (OSError, yaml.YAMLError, *_NO_VALUE) as error:
        raise ConfigError(f"{path}: not a readable YAML file: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path}: not a readable YAML file: it is nested too deep") from error


def _explain(section: type[BaseModel], fault: dict[str, Any]) -> str:
    location = tuple(str(part) for part in fault["loc"])
    key = ".".join(location)
    if fault["type"] == "value_error":  # of several settings together: the message names them
        return f"{key}: {fault['msg']}" if key else str(fault["msg"])
    if fault["type"] != "extra_forbidden":
        field, value = section.model_fields.get(location[0]) if location else None, fault.get("input")
        shown = repr(value) if field is None or field.repr else f"{type(value).__name__}, not shown"
        return f"{key}: received {shown}: {fault['msg']}"
    known = _fields_at(section, location[:-1])
    near = get_close_matches(location[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
    return f"{key}: unknown setting; {hint}"


def _fields_at(section: type[BaseModel], location: tuple[str, ...]) -> list[str]:
    for part in location:
        field = section.model_fields.get(part)
        nested = field.annotation if field is not None else None
        if not (isinstance(nested, type) and issubclass(nested, BaseModel)):
            return []
        section = nested
    return list(section.model_fields)
