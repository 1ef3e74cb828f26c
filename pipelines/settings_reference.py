"""`tandem settings`: every setting of a run's config with its default and what it says, as YAML."""

import textwrap
from collections.abc import Iterator
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from catalog.config import Config
from catalog.errors import ConfigError
from pipelines.config import PipelineConfig

_WIDTH = 120
_SPARE = 30  # PyYAML breaks a line after the item that passes its width
_HEADER = (
    "Every setting of a run's config at its default: a config itself, once it has a name. Yours needs only what "
    "differs; what is left out keeps its default. In brackets: the values that are allowed."
)


def settings_reference(name: str | None = None, config: type[Config] = PipelineConfig) -> str:
    """YAML of a config's settings at their defaults, below comments with what each says and which values it takes.

    What has no default or is off by default, a section too, is commented out, so the text loads as it is.

    Args:
        name: a section or setting, as `towers.training`; it comes under its parents' names. None: all of them.
        config: the whole's class.

    Raises:
        ConfigError: for an unknown name, with the nearest known ones.
    """
    if name is None:
        entries = ("\n".join(_entry(key, field, value, _WIDTH)) for key, field, value in _settings(config))
        return "\n\n".join(["\n".join(_comment(_HEADER, _WIDTH)), *entries]) + "\n"
    known = list(_names(config))
    if name not in known:
        inside = [full for full in known if full.endswith(f".{name}")]
        near = inside or get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(config.model_fields)}"
        raise ConfigError(f"unknown section or setting {name!r}; {hint}")
    return "\n".join(_below(config, name.split("."), _WIDTH)) + "\n"


def _settings(section: Config | type[Config]) -> Iterator[tuple[str, FieldInfo, Any]]:
    """Name, field and value of each setting: an object's own values, or the defaults of a class."""
    if isinstance(section, Config):
        yield from ((name, field, getattr(section, name)) for name, field in type(section).model_fields.items())
    else:
        for name, field in section.model_fields.items():
            yield name, field, field.get_default(call_default_factory=True)


def _inside(field: FieldInfo, value: Any) -> Config | type[Config] | None:
    """What a field that is a section holds, its class when it holds none; None for any other field."""
    if isinstance(value, Config):
        return value
    kinds = get_args(field.annotation) if _is_union(field.annotation) else (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Config)), None)


def _names(section: Config | type[Config], prefix: str = "") -> Iterator[str]:
    """The full name of every section and setting, as `towers.training.epochs`, in the config's order."""
    for name, field, value in _settings(section):
        yield prefix + name
        inside = _inside(field, value)
        if inside is not None:
            yield from _names(inside, f"{prefix}{name}.")


def _below(section: Config | type[Config], path: list[str], width: int) -> list[str]:
    """The lines of what `path` names, under the names of the sections that it lies in."""
    name, field, value = next(setting for setting in _settings(section) if setting[0] == path[0])
    inside = _inside(field, value)
    if len(path) == 1 or inside is None:
        return _entry(name, field, value, width)
    return _unless_set([f"{name}:", *_indented(_below(inside, path[1:], width - 4))], value)


def _entry(name: str, field: FieldInfo, value: Any, width: int) -> list[str]:
    """The comment and the YAML of one setting, or of a section with all that is in it."""
    inside = _inside(field, value)
    if inside is not None:
        kind = inside if isinstance(inside, type) else type(inside)
        says = field.description or (kind.__doc__ or "").strip().split("\n")[0]
        lines = [line for setting in _settings(inside) for line in _entry(*setting, width - 4)]  # 4: indent, and `# `
        return _comment(says, width) + _unless_set([f"{name}:", *_indented(lines)], value)
    allowed = "; ".join(_allowed(field, value))
    says = " ".join(part for part in (field.description, allowed and f"[{allowed}]") if part)
    return _comment(says, width) + _unless_set(_yaml(name, value, width), value)


def _yaml(name: str, value: Any, width: int) -> list[str]:
    if value is PydanticUndefined:
        return [f"{name}:"]
    plain = to_jsonable_python(value)
    style = None if isinstance(plain, list | dict) else False  # None: a list or mapping on the line of its name
    text = yaml.safe_dump(
        {name: plain}, default_flow_style=style, sort_keys=False, allow_unicode=True, width=width - _SPARE
    )
    return str(text).splitlines()


def _unless_set(lines: list[str], value: Any) -> list[str]:
    """The lines, commented out where there is no value."""
    return [f"# {line}" for line in lines] if value is None or value is PydanticUndefined else lines


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _comment(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(text, width - 2, break_long_words=False, break_on_hyphens=False)
    return [f"# {line}" for line in lines]


def _allowed(field: FieldInfo, value: Any) -> list[str]:
    """What a setting takes, in words: its type where the default does not show it, its values or its bounds."""
    words = ["required"] if value is PydanticUndefined else []
    if value is None or value is PydanticUndefined or value == ():
        words.append(_type_in_words(field.annotation))
    item = field.annotation
    if get_origin(item) is tuple:
        item = get_args(item)[0]
    words += _choices(item, "" if item is field.annotation else "each ")
    bounds = ", ".join(_bounds(field.metadata))
    return [*words, bounds] if bounds else words


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, UnionType)


def _type_in_words(annotation: Any) -> str:
    if _is_union(annotation):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return " or ".join(_type_in_words(kind) for kind in kinds)
    if get_origin(annotation) is tuple:
        return "list"
    return {"int": "whole number", "float": "number", "str": "text", "Path": "path"}.get(
        getattr(annotation, "__name__", ""), str(annotation)
    )


def _choices(annotation: Any, each: str) -> list[str]:
    """The values of a Literal, and the bounds that an annotation carries itself, each behind the word `each`."""
    if get_origin(annotation) is Literal:
        return [f"{each}one of {', '.join(map(str, get_args(annotation)))}"]
    if get_origin(annotation) is Annotated:
        kind, *metadata = get_args(annotation)
        fields = [
            bound for entry in metadata for bound in (entry.metadata if isinstance(entry, FieldInfo) else [entry])
        ]
        return _choices(kind, each) + [each + bound for bound in _bounds(fields)]
    return []


def _bounds(metadata: list[Any]) -> list[str]:
    """A field's bounds, as `>= 0`; what says nothing of the values, as `Operational`, is passed over."""
    words = []
    for bound in metadata:
        match bound:
            case Ge(ge=limit):
                words.append(f">= {limit}")
            case Gt(gt=limit):
                words.append(f"> {limit}")
            case Le(le=limit):
                words.append(f"<= {limit}")
            case Lt(lt=limit):
                words.append(f"< {limit}")
            case MinLen(min_length=1):
                words.append("not empty")
            case MinLen(min_length=limit):
                words.append(f"length >= {limit}")
            case MaxLen(max_length=limit):
                words.append(f"length <= {limit}")
            case _ if getattr(bound, "pattern", None):
                words.append(f"like {bound.pattern}")
    return words
