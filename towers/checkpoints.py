"""What a killed training goes on from: weights, their average, optimizer and random numbers after each whole epoch.

Every variable is kept as it is. A file of Keras's weights has the low-rank updates of a preset added to its kernels,
and the average of updates that are in the kernels already would count them twice.
"""

import shutil
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from catalog.errors import ArtifactError
from catalog.files import atomic_directory, atomic_path, read_json, write_json
from towers.averaging import WeightAverage

_KEPT = 2
_STATES = "variables.npz"


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        epoch: epochs done.
        step: updates done.
        best_epoch, best: the epoch with the best validation recall so far (1-based, 0 none), and that recall.
        stopped: whether the patience ran out.
        epochs: one record an epoch: loss, recalls, examples a second.
        key: what the training depends on; another key starts anew.
    """

    key: str
    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best: float = -1.0
    stopped: bool = False
    epochs: list[dict[str, Any]] = field(default_factory=list)


def checkpoints_folder(out_dir: Path) -> Path:
    """Where the checkpoints of a training into `out_dir` are, while it is not finished."""
    return out_dir / "checkpoints"


class Checkpoints:
    """Checkpoints of one training in `folder`: one an epoch, the last two of them, and the best weights.

    Args:
        folder: where they are.
        model: whose weights are kept.
        optimizer: whose state is kept.
        average: of the weights, whose state is kept, and which the best weights are of.
    """

    def __init__(
        self, folder: Path, model: keras.Model, optimizer: keras.optimizers.Optimizer, average: WeightAverage
    ) -> None:
        self.folder, self.model, self.optimizer, self.average = folder, model, optimizer, average

    @property
    def best_weights(self) -> Path:
        """The averaged weights of the best epoch."""
        return self.folder / "best.weights.h5"

    def save(self, progress: Progress) -> None:
        """Keep the state after an epoch, and its weights as the best ones if they are; drop old checkpoints.

        The best weights come second: killed in between, `restore` has them, while the other way round they would be
        of an epoch that nobody knows of.
        """
        with atomic_directory(self._path(progress.epoch)) as temporary:
            _write_variables(temporary / _STATES, self._states())
            write_json(temporary / "progress.json", asdict(progress))
        self._save_if_best(progress)
        for old in self._epochs()[:-_KEPT]:
            shutil.rmtree(self._path(old))

    def restore(self, key: str) -> Progress:
        """Load the newest checkpoint of the training with this key; without one, a fresh start.

        Raises:
            ArtifactError: if its variables are not those of this training.
        """
        for epoch in reversed(self._epochs()):
            path = self._path(epoch)
            progress = Progress(**read_json(path / "progress.json"))
            if progress.key != key or not (path / _STATES).exists():
                self.clear()
                break
            _read_variables(path / _STATES, self._states())
            self._save_if_best(progress)
            return progress
        return Progress(key)

    def clear(self) -> None:
        """Remove them all; a process that is killed meanwhile leaves all of them or none."""
        aside = self.folder.with_name(f"{self.folder.name}.removed")
        shutil.rmtree(aside, ignore_errors=True)
        if self.folder.exists():
            self.folder.replace(aside)
            shutil.rmtree(aside, ignore_errors=True)

    def _save_if_best(self, progress: Progress) -> None:
        if progress.best_epoch == progress.epoch:
            with self.average.applied():
                save_weights(self.model, self.best_weights)

    def _states(self) -> list[Any]:
        """The variables of model, with its random numbers, optimizer and average."""
        return [*self.model.variables, *self.optimizer.variables, *self.average.variables]

    def _path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:04d}"

    def _epochs(self) -> list[int]:
        return sorted(int(path.name.removeprefix("epoch-")) for path in self.folder.glob("epoch-*"))


def save_weights(model: keras.Model, path: Path) -> None:
    """Write a model's weights, whole or not at all; `path` ends in .weights.h5."""
    _save(model.save_weights, path, ".weights.h5")


def save_network(model: keras.Model, path: Path) -> None:
    """Write a whole model, whole or not at all; `path` ends in .keras."""
    _save(model.save, path, ".keras")


def _save(save: Callable[[Path], None], path: Path, ending: str) -> None:
    """Keras wants to see its own ending, so the temporary file has a companion that has it."""
    with atomic_path(path) as temporary:
        written = temporary.with_name(temporary.name + ending)
        try:
            save(written)
            written.replace(temporary)
        finally:
            written.unlink(missing_ok=True)


def load_weights(model: keras.Model, path: Path) -> None:
    """Read a model's weights.

    Raises:
        ArtifactError: if the file is missing, broken or of a model of other sizes.
    """
    try:
        model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(f"{path}: not the weights of these towers ({error}); train the towers again") from error


def _write_variables(path: Path, variables: list[Any]) -> None:
    """Write an .npz one variable at a time: copies of all at once may not fit in memory."""
    with zipfile.ZipFile(path, "w") as archive:
        for index, variable in enumerate(variables):
            with archive.open(f"{_name(index)}.npy", "w", force_zip64=True) as handle:
                np.lib.format.write_array(handle, np.asarray(keras.ops.convert_to_numpy(variable)))


def _read_variables(path: Path, variables: list[Any]) -> None:
    with np.load(path) as stored:
        names = [_name(index) for index in range(len(variables))]
        known = sorted(stored.files) == names
        for name, variable in zip(names, variables, strict=True):
            if not known or (value := stored[name]).shape != tuple(variable.shape):
                raise ArtifactError(f"{path}: the variables of other towers; delete {path.parent.parent} and run again")
            variable.assign(value)


def _name(index: int) -> str:
    return f"{index:06d}"
