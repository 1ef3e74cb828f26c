"""The versions of a server's models: the state of each, who is using it, and which one a label means."""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from pathlib import Path

import grpc

from serving.errors import Rejection, invalid_argument
from serving.messages import ModelServerConfig, ModelSpec
from serving.servable import Servable

Labels = dict[str, dict[str, int]]
"""Model name -> label -> version number."""


class State(IntEnum):
    """A version's states, numbered as in ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass
class Version:
    """One version of a model, from the moment its folder was seen."""

    model: str
    number: int
    path: Path
    state: State = State.START
    error: Rejection | None = None
    servable: Servable | None = None
    leases: int = 0
    wanted: bool = True


class VersionTable:
    """What requests read while versions come and go, guarded by one lock.

    Args:
        on_drained: called when the last request on a version that is to be unloaded has finished, or its last batch,
            which may outlive the requests in it; perhaps more than once.
    """

    def __init__(self, on_drained: Callable[[], None]) -> None:
        self._on_drained = on_drained
        self._lock = threading.Lock()
        self._versions: dict[str, dict[int, Version]] = {}
        self._labels: Labels = {}

    @contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[Version]:
        """The version that a request's model_spec names; it stays loaded until the block ends.

        Raises:
            Rejection: INVALID_ARGUMENT without a name or for an unknown label, NOT_FOUND for what is not available.
        """
        version = self._acquire(spec)
        try:
            yield version
        finally:
            with self._lock:
                version.leases -= 1
            self._tell_drained(version)

    def models(self) -> list[str]:
        """The models that a version was ever seen of."""
        return list(self._versions)

    def states(self, model: str) -> list[Version]:
        """Every version seen of a model, newest first, as copies."""
        with self._lock:
            versions = self._versions.get(model, {})
            return [Version(**vars(versions[number])) for number in sorted(versions, reverse=True)]

    def checked_labels(self, config: ModelServerConfig, before_versions: bool) -> Labels:
        """The labels of a config.

        Args:
            config: its models may have labels.
            before_versions: whether a label may be new on a version that is not available.

        Raises:
            Rejection: FAILED_PRECONDITION for a label on a version that is not available.
        """
        labels: Labels = {}
        for model in config.model_config_list.config:
            available = {version.number for version in self.states(model.name) if version.state is State.AVAILABLE}
            for label, number in model.version_labels.items():
                moved = self._labels.get(model.name, {}).get(label, number) != number
                if number not in available and (moved or not before_versions):
                    raise Rejection(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, "
                        "which is not currently available for inference",
                    )
                labels.setdefault(model.name, {})[label] = number
        return labels

    def set_labels(self, labels: Labels) -> None:
        """Replace every label."""
        with self._lock:
            self._labels = labels

    def add_wanted(self, model: str, wanted: dict[int, Path]) -> list[Version]:
        """Take up what is wanted and neither loaded nor known to fail, newest first.

        What still unloads is not taken up yet, but `returning`.
        """
        with self._lock:
            versions = self._versions.setdefault(model, {})
            new = []
            for number in sorted(wanted, reverse=True):
                known = versions.get(number)
                if known is None or (known.state is State.END and not (known.wanted and known.error)):
                    versions[number] = Version(model, number, wanted[number])
                    new.append(versions[number])
            for number, version in versions.items():
                if version.state >= State.UNLOADING:
                    version.wanted = number in wanted
            return new

    def returning(self, model: str) -> bool:
        """Whether a version that is wanted again has to be unloaded first, or has been since it was last looked at."""
        with self._lock:
            versions = self._versions.get(model, {}).values()
            return any(each.state >= State.UNLOADING and each.wanted and each.error is None for each in versions)

    def set_loading(self, version: Version) -> None:
        """Its load begins."""
        with self._lock:
            version.state = State.LOADING

    def set_available(self, version: Version, servable: Servable) -> None:
        """It takes requests from now on."""
        with self._lock:
            version.servable, version.state = servable, State.AVAILABLE
        servable.on_idle = partial(self._tell_drained, version)

    def set_failed(self, version: Version, error: Rejection) -> None:
        """It did not load."""
        with self._lock:
            version.state, version.error = State.END, error

    def retire(self, model: str, wanted: Collection[int], above: int = -1) -> None:
        """Give what is not wanted, of versions `above` one, no more requests, unless nothing wanted is available."""
        with self._lock:
            versions = self._versions.get(model, {})
            available = {number for number, version in versions.items() if version.state is State.AVAILABLE}
            if wanted and not available & set(wanted):
                return
            for number in available - set(wanted):
                if number > above:
                    versions[number].state = State.UNLOADING
                    versions[number].wanted = False

    def unloading(self, model: str) -> bool:
        """Whether a version of the model is to be unloaded."""
        with self._lock:
            return any(version.state is State.UNLOADING for version in self._versions.get(model, {}).values())

    def drained(self) -> list[Version]:
        """The versions to be unloaded that no request or batch uses any more."""
        with self._lock:
            return [
                version
                for versions in self._versions.values()
                for version in versions.values()
                if version.state is State.UNLOADING and version.servable is not None and not _in_use(version)
            ]

    def in_use(self) -> bool:
        """Whether a request or batch uses any version."""
        with self._lock:
            return any(_in_use(version) for versions in self._versions.values() for version in versions.values())

    def set_ended(self, version: Version) -> None:
        """It is unloaded."""
        with self._lock:
            version.state = State.END

    def _tell_drained(self, version: Version) -> None:
        if version.state is State.UNLOADING and not _in_use(version):
            self._on_drained()

    def _acquire(self, spec: ModelSpec) -> Version:
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        choice = spec.WhichOneof("version_choice")
        with self._lock:
            number = spec.version.value if choice == "version" else None
            if choice == "version_label":
                number = self._labels.get(spec.name, {}).get(spec.version_label)
                if number is None:
                    raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
            versions = self._versions.get(spec.name, {})
            if number is None:
                number = max((n for n, version in versions.items() if version.state is State.AVAILABLE), default=None)
            version = versions.get(number) if number is not None else None
            if version is None or version.state is not State.AVAILABLE:
                asked = f"Latest({spec.name})" if choice is None else f"Specific({spec.name}, {number})"
                raise Rejection(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {asked}")
            version.leases += 1
            return version


def _in_use(version: Version) -> bool:
    servable = version.servable  # read once: without the lock it may become None meanwhile
    return version.leases > 0 or (servable is not None and servable.busy)
