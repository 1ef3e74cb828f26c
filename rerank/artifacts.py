"""What the rerank stage leaves on disk, and how it is read back."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import keras
import numpy as np
import numpy.typing as npt

from catalog.errors import ArtifactError
from catalog.files import atomic_path, read_json, read_npy, write_json, write_npy
from rerank.associations import Associations
from rerank.calibration import Calibration
from rerank.config import RerankConfig
from rerank.features import FeatureExtractor, Features
from rerank.ranking_model import RankingModel
from rerank.relevance import RelevanceWeights

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class FeatureSpec:
    """What the weights were trained on: a refreshed catalogue must give the same columns in the same order.

    kind_weights: of every one of KINDS, by which the events of a history counted.
    """

    keys: tuple[str, ...]
    counters: tuple[str, ...]
    names: tuple[str, ...]
    dim: int
    kind_weights: tuple[float, ...]


@dataclass(frozen=True)
class FittedFeatures:
    """What features were fitted on before the weights were.

    picture_basis: [E, P], see `rerank.pictures.fit_basis`. associations: of query words and values. relevance: how
    grades are read from text features; None where there were too few judgments.
    """

    picture_basis: npt.NDArray[np.float32]
    associations: Associations
    relevance: RelevanceWeights | None


@dataclass(frozen=True)
class TrainedReranker:
    """A trained reranker without its tables.

    examination: [max_position] learned P(examined) by position, 1 at the first; only training and evaluation use it.
    """

    config: RerankConfig
    spec: FeatureSpec
    model: RankingModel
    examination: npt.NDArray[np.float32]
    fitted: FittedFeatures
    calibration: Calibration


def save(folder: Path, trained: TrainedReranker) -> None:
    """Write weights, examination curve, feature names and configuration; each file whole or not at all."""
    write_json(folder / "config.json", trained.config.model_dump(mode="json"))
    write_json(folder / "features.json", asdict(trained.spec))
    write_npy(folder / "examination.npy", trained.examination)
    fitted = trained.fitted
    write_npy(folder / "picture_basis.npy", fitted.picture_basis)
    fitted.associations.save(folder / "associations.npz")
    if fitted.relevance is None:
        (folder / "relevance.npz").unlink(missing_ok=True)
    else:
        fitted.relevance.save(folder / "relevance.npz")
    trained.calibration.save(folder / "calibration.npz")
    write_arrays(folder / "weights.npz", values_of(trained.model.variables), {})


def load(folder: Path) -> TrainedReranker:
    """Read what `save` wrote.

    Raises:
        ArtifactError: when a file is missing, broken, or of another shape.
    """
    config = RerankConfig.model_validate(read_json(folder / "config.json"))
    spec = _read_spec(folder / "features.json")
    model = build_model(config, spec)
    arrays, _ = read_arrays(folder / "weights.npz")
    assign_values(model.variables, arrays, folder / "weights.npz")
    judged = folder / "relevance.npz"
    fitted = FittedFeatures(
        read_npy(folder / "picture_basis.npy"),
        Associations.load(folder / "associations.npz"),
        RelevanceWeights.load(judged) if judged.exists() else None,
    )
    calibration = Calibration.load(folder / "calibration.npz")
    return TrainedReranker(config, spec, model, read_npy(folder / "examination.npy"), fitted, calibration)


def _read_spec(path: Path) -> FeatureSpec:
    stored = read_json(path)
    try:
        keys, counters, names, weights = (tuple(stored[n]) for n in ("keys", "counters", "names", "kind_weights"))
        return FeatureSpec(keys, counters, names, stored["dim"], weights)
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: written by another version of the code; run the rerank stage again") from error


def build_model(config: RerankConfig, spec: FeatureSpec) -> RankingModel:
    """A model with fresh weights, all of them created."""
    model = RankingModel(config, len(spec.names))
    model(
        keras.ops.zeros([1, 1, len(spec.names)]),
        keras.ops.zeros([1, 1, len(spec.keys)], "int32"),
        keras.ops.zeros([1, len(config.profile_columns)], "int32"),
    )
    return model


def run(model: RankingModel, features: Features, training: bool = False) -> Any:
    """HeadLogs of `features`."""
    return model(features.numeric, features.value, features.profile, training=training)


def check_names(spec: FeatureSpec, extractor: FeatureExtractor) -> None:
    """Raise ArtifactError when the extractor's columns are not those that the weights were trained on."""
    if extractor.names == spec.names:
        return
    missing = sorted(set(spec.names) - set(extractor.names))[:5]
    new = sorted(set(extractor.names) - set(spec.names))[:5]
    raise ArtifactError(
        f"the reranker was trained on {len(spec.names)} features and this catalogue gives {len(extractor.names)} "
        f"(missing: {missing}, new: {new}); run the rerank stage again"
    )


def values_of(variables: Sequence[Any]) -> Arrays:
    """The variables' values, in order."""
    return [np.asarray(variable) for variable in variables]


def assign_values(variables: Sequence[Any], values: Arrays, origin: Path) -> None:
    """Set each variable; ArtifactError when number or shapes differ."""
    shapes = [tuple(variable.shape) for variable in variables]
    if shapes != [value.shape for value in values]:
        raise ArtifactError(f"{origin}: weights of another model; delete the file and run the rerank stage again")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def write_arrays(path: Path, arrays: Arrays, notes: dict[str, Any]) -> None:
    """Write arrays, in order, with JSON notes beside them in one .npz, atomically."""
    named = {f"array_{place:04d}": array for place, array in enumerate(arrays)}
    with atomic_path(path) as temporary, temporary.open("wb") as handle:
        np.savez(handle, notes=np.array(json.dumps(notes)), **named)  # type: ignore[arg-type]


def read_arrays(path: Path) -> tuple[Arrays, dict[str, Any]]:
    """Read what `write_arrays` wrote."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = sorted(name for name in stored.files if name != "notes")
            return [stored[name] for name in names], json.loads(str(stored["notes"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise ArtifactError(f"{path}: not readable ({error}); delete it and run the rerank stage again") from error
