"""Loading one version: the SavedModel, its warm-up requests, and another try where that fails."""

import gc
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import grpc

from serving.background import Background
from serving.batch_lane import in_company
from serving.batch_task import Arrays
from serving.batching import Batcher, BatchingParameters, can_batch
from serving.call_record import current_call
from serving.errors import Rejection, as_rejection, without_insides
from serving.example_inference import classify, multi_inference, regress
from serving.messages import SignatureDef
from serving.monitoring import Monitoring
from serving.predict import predict
from serving.servable import ALL, ALL_BUT_ONE, Servable, Threads, start_shared_threads
from serving.server_config import ServerConfig
from serving.server_files import read_batching_parameters
from serving.tensors import Array
from serving.warmup import read_warmup_logs

BATCHING_FILE = "batching_params.pbtxt"
"""Beside saved_model.pb: how this version's requests are merged (--enable_per_model_batching_parameters)."""

_AHEAD = 1  # batches that wait for the threads that run ops, and not for those that answered the one before

_log = logging.getLogger(__name__)


class MeasuredServable(Servable):
    """A servable that notes on each call when its run began and ended, and keeps its insides out of errors.

    A request whose time is over leaves while its batch runs on, so batches are counted apart from requests.

    Args:
        path, threads, tags: as of a servable.
        background: where it is closed.
    """

    def __init__(self, path: Path, threads: Threads, tags: Sequence[str], background: Background) -> None:
        super().__init__(path, threads, tags)
        self._background = background
        self._batcher: Batcher | None = None
        self._own_batcher = False
        self._batches, self._closed = 0, False
        self._change = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether a batch runs."""
        return self._batches > 0

    def merge_with(self, batcher: Batcher | None, own: bool = False) -> None:
        """Let `batcher` merge the requests that can be merged from now on; closing the servable closes its own."""
        self._batcher, self._own_batcher = batcher, own

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """As a servable runs a signature."""
        with _measured_run(self.path):
            definition = self.signatures.get(signature)
            if self._batcher is None or definition is None or not can_batch(definition, inputs):
                return super().run(signature, inputs, outputs, timeout)
            kind = (self, signature, None if outputs is None else tuple(outputs))
            return self._batcher.run(kind, partial(self._run_batch, signature, outputs), inputs, timeout)

    def close(self) -> None:
        """As a servable gives its memory back, once every batch that runs has ended, however long that takes."""
        if self._batcher is not None and self._own_batcher:
            self._batcher.close()
        with self._change:
            self._closed = True
            self._change.wait_for(lambda: not self._batches)
        self._background.run(super().close)

    @contextmanager
    def _batch(self) -> Iterator[None]:
        with self._change:
            if self._closed:  # nobody waits for the answer: whoever does keeps the version from being unloaded
                raise Rejection(grpc.StatusCode.UNAVAILABLE, "the version has been unloaded")
            self._batches += 1
        try:
            yield
        finally:
            with self._change:
                self._batches -= 1
                self._change.notify_all()
            self.on_idle()

    def _run_batch(
        self, signature: str, outputs: Sequence[str] | None, inputs: Mapping[str, Array], timeout: float | None
    ) -> dict[str, Array]:
        with self._batch():
            return super().run(signature, inputs, outputs, timeout)

    def run_tensors(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None) -> list[Array]:
        """As a servable runs its graph."""
        with _measured_run(self.path):
            definition = self._signature_between(set(feeds), set(fetches))
            if self._batcher is None or definition is None or not can_batch(definition, feeds):
                return super().run_tensors(feeds, fetches, timeout)
            outputs = self._batcher.run((self, tuple(fetches)), partial(self._run_batch_of, fetches), feeds, timeout)
            return [outputs[name] for name in fetches]

    def _run_batch_of(self, fetches: Sequence[str], feeds: Arrays, timeout: float | None) -> dict[str, Array]:
        with self._batch():
            return dict(zip(fetches, super().run_tensors(feeds, fetches, timeout), strict=True))

    def _pool(self) -> int:
        # What reads requests and writes answers meanwhile has a core to itself then.
        return ALL_BUT_ONE if in_company() else ALL

    def _signature_between(self, feeds: set[str], fetches: set[str]) -> SignatureDef | None:
        """The signature of exactly these tensors: as in TF Serving, a run of any other is not merged."""
        for definition in self.signatures.values():
            if feeds == _names(definition.inputs) and fetches == _names(definition.outputs):
                return definition
        return None


def _names(tensors: Mapping[str, Any]) -> set[str]:
    return {info.name for info in tensors.values()}


@contextmanager
def _measured_run(path: Path) -> Iterator[None]:
    call = current_call()
    call.run_began = perf_counter()
    try:
        yield
    except Rejection as rejection:
        raise Rejection(rejection.code, without_insides(rejection.message, path)) from rejection
    finally:
        call.run_ended = perf_counter()


class Loader:
    """Loads and warms versions as a server's config says; any exception is the version's error.

    Args:
        config: parallelism, tags, warm-up and retries are read from it.
        monitoring: where each try is counted.

    Raises:
        ConfigError: if batching is wanted and its file cannot be used.
    """

    def __init__(self, config: ServerConfig, monitoring: Monitoring) -> None:
        self._config = config
        self._monitoring = monitoring
        self._given_up = threading.Event()
        self._background = Background()
        self._parameters = BatchingParameters()
        if config.batching_parameters_file is not None:
            self._parameters = read_batching_parameters(config.batching_parameters_file)
        self._batcher = self._batch_by(self._parameters) if config.enable_batching else None
        self._threads = Threads(config.tensorflow_intra_op_parallelism, config.tensorflow_inter_op_parallelism)
        self._tags = config.saved_model_tags.split(",")
        start_shared_threads(self._threads)  # here, because the threads that load have a low priority

    def __call__(self, name: str, path: Path) -> Servable:
        """Load `path` as a version of the model `name`, trying again as often as the config says."""
        for tries_left in range(self._config.max_num_load_retries, -1, -1):
            try:
                return self._load(path)
            except Exception as error:
                if not tries_left or self._given_up.is_set():
                    raise
                _log.warning("%s version %s does not load, %d more tries: %s", name, path.name, tries_left, error)
            gc.collect()
            micros = min(max(self._config.load_retry_interval_micros, 0), threading.TIMEOUT_MAX * 1e6)
            self._given_up.wait(micros / 1e6)
        raise AssertionError("the last try returns or raises")

    def give_way(self) -> None:
        """From now on there are requests to answer, which go before what loads and unloads."""
        self._background.give_way()

    def give_up(self) -> None:
        """Start nothing more: what loads is finished, what waits for another try fails, what comes is refused."""
        self._given_up.set()
        self._background.hurry()

    def close(self) -> None:
        """End the threads that batches run in; the models must have been closed."""
        if self._batcher is not None:
            self._batcher.close()

    def _load(self, path: Path) -> Servable:
        if self._given_up.is_set():
            raise Rejection(grpc.StatusCode.CANCELLED, "the server is stopping")
        batcher, per_model = self._batcher, self._config.enable_per_model_batching_parameters
        own = self._own_parameters(path)
        servable = self._background.run(partial(self._load_and_warm, path))
        # Only now: the first run of a graph takes seconds, and would take them from a thread that batches wait for.
        if per_model:  # what ships no file is not batched then
            batcher = self._batch_by(own) if own else None
        servable.merge_with(batcher, own is not None)
        return servable

    def _batch_by(self, parameters: BatchingParameters) -> Batcher:
        return Batcher(parameters, self._monitoring.record_batch, ahead=_AHEAD)

    def _load_and_warm(self, path: Path) -> MeasuredServable:
        began = perf_counter()
        try:
            servable = MeasuredServable(path, self._threads, self._tags, self._background)
        except BaseException:
            self._monitoring.record_load(str(path), perf_counter() - began, "fail")
            raise
        self._monitoring.record_load(str(path), perf_counter() - began, "success")
        servable.checks_method_names = self._config.enable_signature_method_name_check
        if self._config.enable_model_warmup:
            self._warm_up(servable, path)
        return servable

    def _own_parameters(self, path: Path) -> BatchingParameters | None:
        """What the version ships about batching, where that is wanted."""
        own = path / BATCHING_FILE
        wanted = self._config.enable_batching and self._config.enable_per_model_batching_parameters
        return read_batching_parameters(own) if wanted and own.exists() else None

    def _warm_up(self, servable: Servable, path: Path) -> None:
        began, status, records = perf_counter(), "OK", 0
        try:
            iterations = max(self._config.num_request_iterations_for_warmup, 1)
            with servable.alone():  # the first run is part of the load, and gives way as the load does
                records = warm_up(servable, path, iterations)
        except BaseException as error:
            status = as_rejection(error).code.name if isinstance(error, Exception) else "CANCELLED"
            servable.close()
            raise
        finally:
            self._monitoring.record_warmup(str(path), perf_counter() - began, status, records)


def warm_up(servable: Servable, path: Path, iterations: int = 1) -> int:
    """Run the warm-up requests that a version ships.

    Args:
        servable: the version, loaded from `path`.
        iterations: how often each request is run.

    Returns:
        How many there are.

    Raises:
        Rejection: of the first request that fails.
        ArtifactError: if their file is broken.
    """
    logs = read_warmup_logs(path)
    for log in logs:
        kind = log.WhichOneof("log_type")
        for _ in range(iterations):
            if kind == "predict_log":
                predict(servable, log.predict_log.request, None, None)
            elif kind == "classify_log":
                classify(servable, log.classify_log.request, None, None)
            elif kind == "regress_log":
                regress(servable, log.regress_log.request, None, None)
            elif kind == "multi_inference_log":
                multi_inference(servable, log.multi_inference_log.request, None, None)
            elif kind is not None:
                raise Rejection(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {kind}")
    return len(logs)
