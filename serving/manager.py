"""The models of a server: what is loaded, what takes its place, and when it is unloaded.

A version is loaded and warmed before the one it replaces stops taking requests, and is closed when the last request or
batch on it has finished. The rules are those of TF Serving's AspiredVersionsManager with its
AvailabilityPreservingPolicy.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from time import monotonic

import grpc

from serving.call_record import current_call
from serving.errors import Rejection, as_rejection
from serving.logs import where_it_failed
from serving.messages import ModelConfig, ModelServerConfig, ModelSpec
from serving.model_config import check_model_list
from serving.servable import Servable, give_memory_back
from serving.version_table import State, Version, VersionTable
from serving.versions import find_versions, no_versions, wanted_versions

_log = logging.getLogger(__name__)

_PATIENCE = 1.0  # seconds that a config without new models waits for versions that load
_LOOK_SECONDS = 0.1  # how often a config that waits longer looks whether anybody still waits for it

Loader = Callable[[str, Path], Servable]
"""Loads and warms one version: (model name, folder) -> servable; any exception is the version's error."""


class ModelManager:
    """Loads, serves and unloads the versions that a model config wants.

    Args:
        load: loads and warms one version.
        poll_seconds: how often the base paths are looked at; 0 for only when a config is loaded.
        labels_before_versions: accept a label on a version that is not available yet
            (--allow_version_labels_for_unavailable_models).
        load_threads: models that load side by side; 0 and 1 for one after the other.
        wait_for_versions: whether `start` waits for the first version of every model, where folders are polled.
    """

    def __init__(
        self,
        load: Loader,
        poll_seconds: float = 1.0,
        labels_before_versions: bool = False,
        load_threads: int = 0,
        wait_for_versions: bool = False,
    ) -> None:
        self._load = load
        self._poll_seconds = min(poll_seconds, threading.TIMEOUT_MAX)
        self._labels_before_versions = labels_before_versions
        self._load_threads = max(load_threads, 1)
        self._wait_for_versions = wait_for_versions and poll_seconds > 0
        self._config = ModelServerConfig()
        self._taken: set[str] = set()  # models of the config that have once been available
        self._turn = threading.Lock()  # of a config that comes, until its new models are available
        self._change = threading.Lock()  # of the config: held for moments, and never while a version loads
        self._work = threading.Lock()  # one change of the set of versions at a time
        self._without: set[str] = set()  # models whose base path gives no version, as the log says
        self._due = False  # the config has changed since the versions were last looked at
        self._wake = threading.Event()
        self._ended = threading.Event()  # a version has been unloaded
        self._table = VersionTable(on_drained=self._wake.set)
        self._closing = False
        self._thread = threading.Thread(target=self._watch, name="model-versions", daemon=True)

    def start(self, config: ModelServerConfig) -> None:
        """Load every model, then watch the base paths.

        Raises:
            Rejection: if the config is refused or a model has no version that loads; CANCELLED if `give_up` was called
                before every model had a version.
        """
        self._replace(config, "servable(s)", self._wait_for_versions)
        self._thread.start()

    def reload(self, config: ModelServerConfig) -> None:
        """Replace the config: move labels, load the new models, unload those that are gone; all, if it lists none.

        One config comes after the other, as in TF Serving: a later one waits for the new models of this. Without new
        models it waits a second at most for versions that load: what else is wanted is done after them.

        Raises:
            Rejection: if the config is refused (nothing has changed then), or a new model has no version that loads.
                The config holds all the same then, as in TF Serving; the model stays new until it is available.
                CANCELLED if meanwhile the client whose call this thread works on goes, or the server stops.
        """
        self._replace(config, "model(s)")

    def give_up(self) -> None:
        """End a `start` that waits for versions."""
        self._closing = True
        self._wake.set()

    def _replace(self, config: ModelServerConfig, called: str, wait: bool = False) -> None:
        """As `reload`; an error calls the models so. Waits for models that have no version yet, or fails for them."""
        self._take(self._turn)
        try:
            new = self._change_config(config)
            if new:
                self._load_new(new, called, wait)
                return
        finally:
            self._turn.release()
        if not self._work.acquire(timeout=_PATIENCE):
            self._wake.set()
            return
        try:
            self._update()
        finally:
            self._work.release()

    def _change_config(self, config: ModelServerConfig) -> list[str]:
        """Put a config in the place of the one that holds; its new models."""
        with self._change:
            self._check_awaited()
            if self._config.WhichOneof("config") and not config.WhichOneof("config"):
                text = "the model config is empty; to unload every model it must hold an empty model_config_list"
                raise Rejection(grpc.StatusCode.FAILED_PRECONDITION, text)
            check_model_list(config, self.model_names())
            labels = self._table.checked_labels(config, self._labels_before_versions)
            self._config = ModelServerConfig()
            self._config.CopyFrom(config)
            self._taken &= set(self.model_names())
            self._table.set_labels(labels)
            self._due = True
            if not self.model_names():
                _log.warning("the model config lists no model: nothing is served until one does")
            return [name for name in self.model_names() if name not in self._taken]

    def _load_new(self, new: list[str], called: str, wait: bool) -> None:
        """Load the new models of the config, those that come back once what is left of them has gone."""
        current_call().departure.tell(self._ended.set)
        while True:
            self._ended.clear()
            self._take(self._work)
            try:
                self._check_awaited()
                if wait:
                    self._wait_for_all()
                problems = self._update()
                for name in new:
                    if name in problems:
                        raise problems[name]
                if not any(map(self._table.returning, new)):
                    self._require_available(new, called)
                    self._taken.update(new)
                    return
            finally:
                self._work.release()
            self._ended.wait()

    def _take(self, lock: threading.Lock) -> None:
        """Wait for a lock as long as anybody waits for what comes then."""
        while not lock.acquire(timeout=_LOOK_SECONDS):
            self._check_awaited()

    def _check_awaited(self) -> None:
        """Raise CANCELLED if the client has gone, or the server stops."""
        if self._closing or current_call().departure.gone:
            self._wake.set()  # what a config has changed by now is done without it
            text = "the server is stopping" if self._closing else "the client has gone"
            raise Rejection(grpc.StatusCode.CANCELLED, text)

    def lease(self, spec: ModelSpec) -> AbstractContextManager[Version]:
        """As `VersionTable.lease`."""
        return self._table.lease(spec)

    def states(self, model: str) -> list[Version]:
        """Every version seen of a model, newest first, as copies."""
        return self._table.states(model)

    @property
    def config(self) -> ModelServerConfig:
        """What was loaded last; not to be changed."""
        return self._config

    def model_names(self) -> list[str]:
        """The models of the config."""
        return [model.name for model in self._config.model_config_list.config]

    def close(self, patience: float = threading.TIMEOUT_MAX) -> bool:
        """Stop watching and close every version.

        Args:
            patience: seconds to wait for versions that load, and for requests and batches that use one.

        Returns:
            Whether every version is closed.
        """
        until = monotonic() + patience
        self._closing = True
        self._wake.set()
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        if not self._work.acquire(timeout=max(until - monotonic(), 0.0)):
            return False
        try:
            with self._change:
                self._config = ModelServerConfig()
            self._update()
            while self._table.in_use():
                if not self._wake.wait(max(until - monotonic(), 0.0)):
                    return False
                self._wake.clear()
            self._close_drained()
        finally:
            self._work.release()
        return True

    def _watch(self) -> None:
        while not self._closing:
            self._wake.wait(self._poll_seconds or None)
            self._wake.clear()
            if self._closing:
                return
            try:
                with self._work:
                    self._close_drained()
                    if self._poll_seconds or self._due:
                        self._tell(self._update())
            except Exception as error:  # noqa: BLE001 - nobody else looks at the versions; the next look may succeed
                _log.error("looking at the versions failed: %s", where_it_failed(error))

    def _tell(self, problems: dict[str, Rejection]) -> None:
        """Log the models whose base path gives no version, once as long as it gives none."""
        for name in problems.keys() - self._without:
            _log.warning("waiting for a version of %s: %s", name, problems[name].message)
        self._without = set(problems)

    def _update(self) -> dict[str, Rejection]:
        """Bring the loaded versions to what the config wants now; the models whose base path gave no answer."""
        problems, settled = {}, {}
        with self._change:
            models = {model.name: model for model in self._config.model_config_list.config}
            self._due = False
        for name in [*models, *(name for name in self._table.models() if name not in models)]:
            try:
                wanted = self._wanted(models[name]) if name in models else {}
            except Rejection as problem:
                problems[name] = problem
                continue
            if name in models and not wanted:
                problems[name] = no_versions(models[name])
            settled[name] = wanted
        if self._load_threads == 1:  # no thread for each look at the folders
            for name, wanted in settled.items():
                self._settle(name, wanted)
                self._close_drained()  # before the next model's comes beside what this one's has left
        else:
            with ThreadPoolExecutor(self._load_threads, thread_name_prefix="load") as threads:
                list(threads.map(self._settle, settled, settled.values()))
        self._close_drained()
        return problems

    def _wait_for_all(self) -> None:
        """Look again and again, until every model has a version that its policy wants."""
        while problems := self._update():
            self._tell(problems)
            self._wake.wait(self._poll_seconds)
            self._wake.clear()
            self._check_awaited()

    def _wanted(self, model: ModelConfig) -> dict[int, Path]:
        return wanted_versions(model, find_versions(model))

    def _settle(self, name: str, wanted: dict[int, Path]) -> None:
        """Load what is wanted, newest first, then retire the rest, unless nothing wanted is available.

        What is newer than all that is wanted was withdrawn, and answers no longer while an older version loads.
        """
        new = self._table.add_wanted(name, wanted)
        if new:
            self._retire(name, wanted, above=max(wanted))
        loaded = [self._load_version(version) for version in new]
        self._retire(name, wanted)
        # A walk through all heaps holds up who allocates: where a version is unloaded now, the one after that will do.
        if new and not (all(loaded) and self._table.unloading(name)):
            give_memory_back()

    def _retire(self, name: str, wanted: dict[int, Path], above: int = -1) -> None:
        with self._change:  # a config that has come meanwhile may want, and have labelled, what this one does not
            if not self._due:
                self._table.retire(name, wanted, above)

    def _load_version(self, version: Version) -> bool:
        """Whether it loads."""
        self._table.set_loading(version)
        _log.info("loading %s version %d", version.model, version.number)
        try:
            servable = self._load(version.model, version.path)
        except Exception as error:  # noqa: BLE001 - whatever a bad model raises, the good ones go on
            _log.warning("%s version %d does not load: %s", version.model, version.number, error)
            self._table.set_failed(version, as_rejection(error, version.path))
            return False
        self._table.set_available(version, servable)
        _log.info("%s version %d is available", version.model, version.number)
        return True

    def _close_drained(self) -> None:
        drained = self._table.drained()
        for version in drained:
            _close(version)
        if drained:
            give_memory_back()
        for version in drained:
            self._table.set_ended(version)
            _log.info("unloaded %s version %d", version.model, version.number)
            if version.wanted:  # again
                self._due = True
                self._wake.set()
            self._ended.set()

    def _require_available(self, names: list[str], called: str) -> None:
        missing = []
        for name in names:
            states = self.states(name)
            if not any(version.state is State.AVAILABLE for version in states):
                newest = states[0]
                reason = f" due to error: {newest.error.code.name}: {newest.error.message}" if newest.error else ""
                missing.append(f"{{{{name: {name} version: {newest.number}}}{reason}}}, ")
        if missing:
            text = f"{len(missing)} {called} did not become available: {{{''.join(missing)}}}"
            raise Rejection(grpc.StatusCode.UNKNOWN, text)


def _close(version: Version) -> None:
    """Close what it served with; where that fails, it serves no longer all the same."""
    servable, version.servable = version.servable, None
    assert servable is not None
    try:
        servable.close()
    except Exception as error:  # noqa: BLE001 - it would hold up every later version of its model
        _log.error("closing %s version %d failed: %s", version.model, version.number, where_it_failed(error))
