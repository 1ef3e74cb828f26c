"""One loaded version of a SavedModel: TF1 or TF2, whatever its signatures."""

import ctypes
import gc
import importlib
import importlib.util
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.saved_model.loader_impl import SavedModelLoader

from catalog.errors import ArtifactError
from serving.errors import Rejection, invalid_argument, status_of
from serving.messages import SignatureDef
from serving.tensors import Array

DEFAULT_SIGNATURE = "serving_default"

_FOREVER = 1e6
"""A timeout of so many seconds is none: what gRPC calls no deadline is 292 years off."""

_OP_LIBRARIES = ("tensorflow_text", "scann.scann_ops.py.scann_ops")
"""Modules whose import registers the ops that exported models may hold."""


def load_op_libraries() -> list[str]:
    """Register the ops of TF Text and ScaNN in this process, where they are installed.

    Returns:
        The modules that were imported.
    """
    loaded = []
    for name in _OP_LIBRARIES:
        if importlib.util.find_spec(name.split(".")[0]) is not None:
            importlib.import_module(name)
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


@dataclass(frozen=True)
class _Plan:
    """What the session wants for one signature: feeds by input name, fetches by output name."""

    feeds: Mapping[str, Any]
    fetches: Mapping[str, Any]


class Servable:
    """A SavedModel in a `tf.compat.v1.Session` of its own.

    A session gives its memory back when it is closed; eager loading keeps the variables of every version ever loaded.

    Args:
        path: the folder of one version, with saved_model.pb in it.
        threads: TensorFlow's threads.

    Example:
        >>> servable = Servable(Path("saved_models/search/1"))
        >>> servable.run("serving_default", {"query": np.array([b"red dress"], object), ...})["product_id"]

    Raises:
        ArtifactError: if the folder holds no SavedModel that this process can load.
    """

    def __init__(self, path: Path, threads: Threads = DEFAULT_THREADS) -> None:
        load_op_libraries()
        self.path = path
        self._plans: dict[str, _Plan] = {}
        self._plans_lock = threading.Lock()
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=threads.intra_op,
            inter_op_parallelism_threads=threads.inter_op,
            allow_soft_placement=True,
        )
        self._graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=self._graph, config=config)
        try:
            with self._graph.as_default():
                meta_graph = SavedModelLoader(str(path)).load(self._session, [tf.saved_model.SERVING])
        except (tf.errors.OpError, OSError, RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._session.close()
            reason = _first_line(error).replace(str(path), path.name)
            raise ArtifactError(f"the SavedModel cannot be loaded: {reason}") from error
        self.signatures: dict[str, SignatureDef] = dict(meta_graph.signature_def)

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
            feeds = {plan.feeds[name]: value for name, value in inputs.items()}
            fetches = [plan.fetches[name] for name in names]
        except KeyError as error:
            raise invalid_argument(
                f"signature {signature!r} has no {error}; its inputs are {', '.join(sorted(plan.feeds))}, "
                f"its outputs {', '.join(sorted(plan.fetches))}"
            ) from None
        return dict(zip(names, self._run(feeds, fetches, timeout), strict=True))

    def run_tensors(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None) -> list[Array]:
        """Run the graph from tensor names to tensor names; the errors are those of `run`."""
        values = {self._tensor(name): value for name, value in feeds.items()}
        return self._run(values, [self._tensor(name) for name in fetches], timeout)

    def close(self) -> None:
        """Give the memory back. Nothing may be running."""
        self._session.close()
        self._plans.clear()
        self._graph = None

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
                {name: self._tensor(info.name) for name, info in definition.outputs.items()},
            )
            self._plans[signature] = plan
        return plan

    def _tensor(self, name: str) -> Any:
        try:
            return self._graph.get_tensor_by_name(name)._as_tf_output()
        except (KeyError, ValueError):
            raise invalid_argument(
                f"Tensor {name}, specified in either feed_devices or fetch_devices was not found in the Graph"
            ) from None

    def _run(self, feeds: Mapping[Any, Array], fetches: list[Any], timeout: float | None) -> list[Array]:
        # What Session.run ends in. Its own Python takes 0.2 ms a call, four times the run of a small graph.
        options = None
        if timeout is not None and timeout < _FOREVER:
            milliseconds = max(1, int(timeout * 1000))
            options = pywrap_tf_session.TF_NewBufferFromString(
                config_pb2.RunOptions(timeout_in_ms=milliseconds).SerializeToString()
            )
        began = monotonic()
        try:
            results: list[Array] = pywrap_tf_session.TF_SessionRun_wrapper(
                self._session._session, options, feeds, fetches, [], None
            )
        except tf.errors.CancelledError as error:
            # A run that is out of time ends with whichever op saw it first.
            late = options is not None and timeout is not None and monotonic() - began >= timeout
            code = tf.errors.DEADLINE_EXCEEDED if late else error.error_code
            raise Rejection(status_of(code), error.message) from error
        except tf.errors.OpError as error:
            raise Rejection(status_of(error.error_code), error.message) from error
        finally:
            if options is not None:
                pywrap_tf_session.TF_DeleteBuffer(options)
        # A tensor of no dimension comes back as a scalar.
        return [np.asarray(value, object if isinstance(value, bytes) else None) for value in results]


def give_memory_back() -> None:
    """Free what closed servables and failed loads leave behind, down to the operating system.

    A graph is full of cycles, and its constants are the bulk of a model. glibc keeps what is freed in a heap of each
    thread that allocated it; without the trim a server grows by some hundred megabytes with its first version changes.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _first_line(error: BaseException) -> str:
    text = error.message if isinstance(error, tf.errors.OpError) else str(error)
    return text.strip().splitlines()[0] if text.strip() else type(error).__name__
