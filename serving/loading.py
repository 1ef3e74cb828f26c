"""Loading one version: the SavedModel, its warm-up requests, and another try where that fails."""

import gc
import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import grpc

from serving.call_record import current_call
from serving.errors import Rejection, as_rejection, without_insides
from serving.example_inference import classify, multi_inference, regress
from serving.monitoring import Monitoring
from serving.predict import predict
from serving.servable import Servable, Threads
from serving.server_config import ServerConfig
from serving.tensors import Array
from serving.warmup import read_warmup_logs

_log = logging.getLogger(__name__)


class MeasuredServable(Servable):
    """A servable that notes on each call when its run began and ended, and keeps its insides out of errors."""

    def run(
        self,
        signature: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] | None = None,
        timeout: float | None = None,
    ) -> dict[str, Array]:
        """As a servable runs a signature."""
        with _measured_run():
            return super().run(signature, inputs, outputs, timeout)

    def run_tensors(self, feeds: Mapping[str, Array], fetches: Sequence[str], timeout: float | None) -> list[Array]:
        """As a servable runs its graph."""
        with _measured_run():
            return super().run_tensors(feeds, fetches, timeout)


@contextmanager
def _measured_run() -> Iterator[None]:
    call = current_call()
    call.run_began = perf_counter()
    try:
        yield
    except Rejection as rejection:
        raise Rejection(rejection.code, without_insides(rejection.message)) from rejection
    finally:
        call.run_ended = perf_counter()


class Loader:
    """Loads and warms versions as a server's config says; any exception is the version's error.

    Args:
        config: parallelism, warm-up and retries are read from it.
        monitoring: where each try is counted.
    """

    def __init__(self, config: ServerConfig, monitoring: Monitoring) -> None:
        self._config = config
        self._monitoring = monitoring
        self._given_up = threading.Event()

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
            self._given_up.wait(max(self._config.load_retry_interval_micros, 0) / 1e6)
        raise AssertionError("the last try returns or raises")

    def give_up(self) -> None:
        """Start nothing more: what loads is finished, what waits for another try fails, what comes is refused."""
        self._given_up.set()

    def _load(self, path: Path) -> Servable:
        if self._given_up.is_set():
            raise Rejection(grpc.StatusCode.CANCELLED, "the server is stopping")
        config = self._config
        threads = Threads(config.tensorflow_intra_op_parallelism, config.tensorflow_inter_op_parallelism)
        began = perf_counter()
        try:
            servable = MeasuredServable(path, threads)
        except BaseException:
            self._monitoring.record_load(str(path), perf_counter() - began, "fail")
            raise
        self._monitoring.record_load(str(path), perf_counter() - began, "success")
        if config.enable_model_warmup:
            self._warm_up(servable, path)
        return servable

    def _warm_up(self, servable: Servable, path: Path) -> None:
        began, status = perf_counter(), "OK"
        try:
            warm_up(servable, path, max(self._config.num_request_iterations_for_warmup, 1))
        except BaseException as error:
            status = as_rejection(error).code.name if isinstance(error, Exception) else "CANCELLED"
            servable.close()
            raise
        finally:
            self._monitoring.record_warmup(str(path), perf_counter() - began, status)


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
