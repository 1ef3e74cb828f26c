"""One loaded version of a SavedModel: TF1 or TF2, whatever its signatures."""

import gc
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic

import grpc

from catalog.errors import ArtifactError
from serving.c_api import Output, package_folder
from serving.c_session import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    DEFAULT_TAGS,
    CSession,
    TensorFlowError,
    load_library,
    start_threads,
)
from serving.errors import LoadError, Rejection, invalid_argument, status_of
from serving.messages import ConfigProto, RewriterConfig
from serving.path_patterns import NAMED, is_pattern
from serving.process import trim_heaps
from serving.tensors import Array

DEFAULT_SIGNATURE = "serving_default"

_FOREVER = 1e6
"""A timeout of so many seconds is none: what gRPC calls no deadline is 292 years off."""

_OP_LIBRARIES = {"tensorflow_text": "python/*/*.so", "scann": "scann_ops/cc/_scann_ops.so"}
"""Packages with the ops that exported models may hold, and where in them these are."""


@cache
def load_op_libraries() -> list[str]:
    """Register the ops of TF Text and ScaNN in this process, where they are installed.

    Returns:
        Those packages.

    Raises:
        ArtifactError: if one has no ops where they are expected, or is made for another TensorFlow.
    """
    loaded = []
    for name, pattern in _OP_LIBRARIES.items():
        folder = package_folder(name)
        if folder is None:
            continue
        paths = sorted(folder.glob(pattern))
        if not paths:
            raise ArtifactError(f"expected {pattern} in {folder}; install the version of requirements.lock")
        try:
            for path in paths:
                load_library(path)
        except TensorFlowError as error:
            raise ArtifactError(f"{error.message}; install the version of {name} in requirements.lock") from error
        loaded.append(name)
    return loaded


@dataclass(frozen=True)
class Threads:
    """TensorFlow's threads; 0 takes one a core.

    Attributes:
        intra_op: threads that share the work of one op.
        inter_op: threads that run the ops of one graph side by side.
    """

    intra_op: int = 0
    inter_op: int = 0


DEFAULT_THREADS = Threads()

ALL, ALL_BUT_ONE = 0, 1
"""Pools of the threads that run ops, by their place in the sessions' config."""


@dataclass(frozen=True)
class _Plan:
    """The tensors of one signature by input and by output name; None for a sparse output, which is no one tensor."""

    feeds: Mapping[str, Output]
    fetches: Mapping[str, Output | None]


class Servable:
    """A SavedModel in a session of its own, which gives its memory back when it is closed.

    Args:
        path: the folder of one version, with saved_model.pb in it.
        threads: TensorFlow's threads. Sessions of the same numbers share those that run ops side by side, and all share
            those of the first one that work within an op.
        tags: of the graph to load, of those that the SavedModel holds.

    Attributes:
        path: as given.
        signatures: the SignatureDef of each, by name.
        checks_method_names: refuse to run a signature for another kind of call than it says it is for.
        on_idle: called when something that no request waits for may have ended.

    Example:
        >>> servable = Servable(Path("saved_models/search/1"))
        >>> servable.run("serving_default", {"query": np.array([b"red dress"], object), ...})["product_id"]

    Raises:
        LoadError: if the folder holds no SavedModel that this process can load, or none with these tags.
    """

    def __init__(self, path: Path, threads: Threads = DEFAULT_THREADS, tags: Sequence[str] = DEFAULT_TAGS) -> None:
        load_op_libraries()
        self.path = path
        self.checks_method_names = False
        self.on_idle: Callable[[], None] = lambda: None
        self._plans: dict[str, _Plan] = {}
        self._plans_lock = threading.Lock()
        try:
            self._session = CSession(path, _session_config(threads), tags)
        except (TensorFlowError, ValueError) as error:
            code = status_of(error.code) if isinstance(error, TensorFlowError) else grpc.StatusCode.INVALID_ARGUMENT
            text = _first_line(error).replace(str(path), path.name)
            if "matching files" in text and is_pattern(path):
                text += f"; TensorFlow takes {NAMED} in a path for a pattern: rename that folder"
            raise LoadError(code, text) from error
        self.signatures = self._session.signatures

    def __repr__(self) -> str:
        return f"Servable({str(self.path)!r}, signatures={sorted(self.signatures)})"

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """Run one signature.

        Args:
            signature: its name.
            inputs: an array for each input; strings as object arrays of bytes or str.
            outputs: the outputs to compute; None for all.
            timeout: seconds after which the run is given up.

        Returns:
            The outputs by name; strings as object arrays of bytes.

        Raises:
            Rejection: with the status and the text of TensorFlow's error.
        """
        plan = self._plan(signature)
        names = list(plan.fetches) if outputs is None else list(outputs)
        try:
            feeds = {name: (plan.feeds[name], value) for name, value in inputs.items()}
            fetches = [plan.fetches[name] or self._tensor("") for name in names]
        except KeyError as error:
            raise invalid_argument(
                f"signature {signature!r} has no {error}; its inputs are {', '.join(sorted(plan.feeds))}, "
                f"its outputs {', '.join(sorted(plan.fetches))}"
            ) from None
        return dict(zip(names, self._run(feeds, fetches, timeout), strict=True))

    def run_tensors(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None) -> list[Array]:
        """Run the graph from tensor names to tensor names; the errors are those of `run`."""
        values = {name: (self._tensor(name), value) for name, value in feeds.items()}
        return self._run(values, [self._tensor(name) for name in fetches], timeout)

    def alone(self) -> AbstractContextManager[None]:
        """While it lasts, runs take no thread but the one that calls them, and have its priority."""
        return self._session.alone()

    @property
    def busy(self) -> bool:
        """Whether something runs that no request waits for."""
        return False

    def close(self) -> None:
        """Give the memory back. Nothing may be running."""
        self._session.close()
        self._plans.clear()

    def _pool(self) -> int:
        """Which threads run the ops: ALL, or all but one."""
        return ALL

    def _plan(self, signature: str) -> _Plan:
        plan = self._plans.get(signature)
        if plan is not None:
            return plan
        if signature not in self.signatures:
            raise invalid_argument(
                f"there is no signature {signature!r}; known here: {', '.join(sorted(self.signatures))}"
            )
        definition = self.signatures[signature]
        with self._plans_lock:
            plan = _Plan(
                {name: self._tensor(info.name) for name, info in definition.inputs.items()},
                {name: self._tensor(info.name) if info.name else None for name, info in definition.outputs.items()},
            )
            self._plans[signature] = plan
        return plan

    def _tensor(self, name: str) -> Output:
        try:
            return self._session.output(name)
        except KeyError:
            raise invalid_argument(
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph"
            ) from None

    def _run(
        self, feeds: Mapping[str, tuple[Output, Array]], fetches: list[Output], timeout: float | None
    ) -> list[Array]:
        limited = timeout is not None and timeout < _FOREVER
        milliseconds = max(1, int(timeout * 1000)) if timeout is not None and limited else 0
        began = monotonic()
        try:
            return self._session.run(feeds, fetches, milliseconds, self._pool())
        except TensorFlowError as error:
            # A run that is out of time ends with whichever op saw it first.
            late = error.code == CANCELLED and limited and monotonic() - began >= milliseconds / 1000
            code = DEADLINE_EXCEEDED if late else error.code
            raise Rejection(status_of(code), error.message) from error


def start_shared_threads(threads: Threads) -> None:
    """Start the threads that the sessions of this process share, at the priority of the thread that calls this."""
    start_threads(_session_config(threads))


def give_memory_back() -> None:
    """Free what closed servables and failed loads leave behind, down to the operating system.

    glibc keeps what is freed in a heap of each thread that allocated it; without the trim a server grows by some
    hundred megabytes with its first version changes.
    """
    gc.collect()
    trim_heaps()


def _session_config(threads: Threads) -> ConfigProto:
    config = ConfigProto(
        intra_op_parallelism_threads=threads.intra_op,
        inter_op_parallelism_threads=threads.inter_op,
        allow_soft_placement=True,
    )
    most = threads.inter_op or _cores()
    for size in (most, max(most - 1, 1)):  # a pool with a name is one for all sessions
        config.session_inter_op_thread_pool.add(num_threads=size, global_name=f"ops-{size}-of-{most}")
    # A second pass over a graph finds next to nothing: loads and first runs are a third shorter, answers as quick. What
    # saves memory in training finds none to save here, and warns of every attention whose cost it guesses.
    rewrites = config.graph_options.rewrite_options
    rewrites.meta_optimizer_iterations = RewriterConfig.ONE
    rewrites.memory_optimization = RewriterConfig.NO_MEM_OPT
    return config


@cache
def _cores() -> int:
    """Of the process as it began: other sizes would be other pools, started by whichever thread loads then."""
    return len(os.sched_getaffinity(0))


def _first_line(error: Exception) -> str:
    text = str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
