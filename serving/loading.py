"""Loading one version: the SavedModel, its warm-up requests, and another try where that fails."""

import gc
import logging
import threading
from pathlib import Path

import grpc

from serving.errors import Rejection
from serving.example_inference import classify, multi_inference, regress
from serving.predict import predict
from serving.servable import Servable, Threads
from serving.server_config import ServerConfig
from serving.warmup import read_warmup_logs

_log = logging.getLogger(__name__)


class Loader:
    """Loads and warms versions as a server's config says; any exception is the version's error.

    Args:
        config: parallelism, warm-up and retries are read from it.
    """

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
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
        servable = Servable(
            path, Threads(config.tensorflow_intra_op_parallelism, config.tensorflow_inter_op_parallelism)
        )
        if config.enable_model_warmup:
            try:
                warm_up(servable, path, max(config.num_request_iterations_for_warmup, 1))
            except BaseException:
                servable.close()
                raise
        return servable


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
