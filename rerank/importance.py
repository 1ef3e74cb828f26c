"""How much the order owes to each feature: what is lost when its values change hands (Breiman 2001)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.features import Features
from rerank.normalisation import vector_of
from rerank.validation import mean_ndcg

Floats = npt.NDArray[np.float32]

VALUES, PROFILE, GRADE = "text:values, embedded", "person:profile, embedded", "text:expected grade"


@dataclass(frozen=True)
class Importance:
    """What shuffling does. part: a feature, or a group of them; loss: gain's name -> drop of the mean NDCG@10."""

    part: str
    features: int
    loss: dict[str, float]


@dataclass(frozen=True)
class _Part:
    """Inputs that are shuffled together: columns of `numeric`, and the inputs that are no numbers."""

    columns: npt.NDArray[np.int64]
    values: bool = False
    profile: bool = False
    grade: bool = False

    def __len__(self) -> int:
        return len(self.columns) + self.values + self.profile + self.grade


def permutation_importance(
    score: Callable[[Features], tf.Tensor],
    features: Features,
    names: tuple[str, ...],
    gains: dict[str, Floats],
    groups: tuple[str, ...],
    seed: int,
) -> tuple[list[Importance], list[Importance]]:
    """By group and by named feature, each sorted by what is lost in the first gain, greatest first.

    The values of a feature are dealt anew to all present candidates of all lists, seeded. Coordinates of one vector are
    one feature.

    Args:
        score: of the lists, [R, C]. features: of R lists. names: of the numbers, "group:name".
        gains: name -> [R, C]; a list without a gain does not count.
    """
    arrays = Features(*(np.asarray(part) for part in features))
    present = np.flatnonzero(arrays.present)
    random = np.random.default_rng(seed)
    whole = {name: mean_ndcg(np.asarray(score(features)), gain, arrays.present) for name, gain in gains.items()}

    def lost(part: _Part) -> dict[str, float]:
        shuffled = np.asarray(score(_shuffled(arrays, part, present, random)))
        return {name: whole[name] - mean_ndcg(shuffled, gain, arrays.present) for name, gain in gains.items()}

    def measured(parts: dict[str, _Part]) -> list[Importance]:
        found = [Importance(name, len(part), lost(part)) for name, part in parts.items() if len(part)]
        first = next(iter(gains))
        return sorted(found, key=lambda item: -item.loss[first])

    return measured(_by_group(names, groups, arrays)), measured(_by_name(names, arrays))


def _by_group(names: tuple[str, ...], groups: tuple[str, ...], features: Features) -> dict[str, _Part]:
    place = np.array([name.partition(":")[0] for name in names])
    values, profile = features.value.shape[-1] > 0, features.profile.shape[-1] > 0
    return {
        group: _Part(
            np.flatnonzero(place == group),
            values=values and group == "text",
            profile=profile and group == "person",
            grade=group == "text" and bool(np.any(features.grade)),
        )
        for group in groups
    }


def _by_name(names: tuple[str, ...], features: Features) -> dict[str, _Part]:
    columns: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        columns.setdefault(vector_of(name), []).append(column)
    parts = {name: _Part(np.array(found)) for name, found in columns.items()}
    none = np.zeros(0, np.int64)
    if features.value.shape[-1]:
        parts[VALUES] = _Part(none, values=True)
    if features.profile.shape[-1]:
        parts[PROFILE] = _Part(none, profile=True)
    if np.any(features.grade):
        parts[GRADE] = _Part(none, grade=True)
    return parts


def _shuffled(features: Features, part: _Part, present: npt.NDArray[np.int64], random: np.random.Generator) -> Features:
    dealt = random.permutation(present)

    def dealt_anew(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        flat = values.reshape(features.present.size, -1).copy()
        flat[present] = flat[dealt]
        return flat.reshape(values.shape)

    numeric = features.numeric
    if len(part.columns):
        numeric = numeric.copy()
        numeric[..., part.columns] = dealt_anew(numeric[..., part.columns])
    profile = random.permutation(features.profile) if part.profile else features.profile
    value = dealt_anew(features.value) if part.values else features.value
    grade = dealt_anew(features.grade) if part.grade else features.grade
    return Features(numeric, value, profile, features.present, grade)
