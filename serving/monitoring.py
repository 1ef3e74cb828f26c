"""What the server measures, under TF Serving's names where it has one (servables/tensorflow/util.cc)."""

from collections.abc import Callable, Collection

from serving.call_record import Call
from serving.metrics import Counter, Histogram, exposition

_STAGES = ("queue", "parse", "run", "serialise")
_MICROSECONDS = 1e6


class Monitoring:
    """The server's counters and histograms.

    Args:
        models: the names of the models of the config; a request for another is counted under no name, since whoever
            asks for made-up models would otherwise fill the memory with labels.
    """

    def __init__(self, models: Callable[[], Collection[str]]) -> None:
        self._models = models
        self._request_count = Counter(
            ":tensorflow:serving:request_count", "The total number of requests.", "model_name", "status"
        )
        self._request_latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Wall time of requests in microseconds, of those answered OK.",
            *("model_name", "API", "entrypoint"),
        )
        self._runtime_latency = Histogram(
            ":tensorflow:serving:runtime_latency",
            "Wall time of TensorFlow's runs in microseconds.",
            *("model_name", "API", "runtime"),
        )
        self._stage_latency = Histogram(
            ":tandem:serving:stage_latency",
            "Wall time in microseconds of a request's stages: queue, parse, run, serialise.",
            *("model_name", "API", "entrypoint", "stage"),
        )
        self._graph_runs = Counter(":tensorflow:core:graph_runs", "The number of requests whose run ended.")
        self._graph_time = Counter(
            ":tensorflow:core:graph_run_time_usecs", "The total time of these runs in microseconds."
        )
        self._batches = Counter(":tandem:serving:batch_count", "The number of batches that requests were merged into.")
        self._batched = Counter(":tandem:serving:batched_rows", "The rows of these batches, in total.")
        self._batch_wait = Histogram(
            ":tandem:serving:batch_wait", "Microseconds that the first request of a batch waited for its run."
        )
        self._load_attempts = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count",
            "The number of times that loading a SavedModel was tried.",
            *("model_path", "status"),
        )
        self._load_latency = Counter(
            ":tensorflow:cc:saved_model:load_latency", "Microseconds spent on loading SavedModels.", "model_path"
        )
        self._warmup_latency = Histogram(
            ":tensorflow:serving:model_warmup_latency",
            "Wall time of warming a model up in microseconds.",
            *("model_path", "status"),
        )

    def record(self, call: Call) -> None:
        """Count a finished call. Latencies are those of answers: a refusal takes no time worth knowing.

        A refused call's model is cleared if it is made up.
        """
        if call.status != "OK":
            if call.model not in self._models():
                call.model = ""
            self._request_count.add(call.model, call.status)
            return
        self._request_count.add(call.model, "OK")
        self._request_latency.observe(
            (call.finished - call.queued) * _MICROSECONDS, call.model, call.api, call.entrypoint
        )
        if not call.run_ended:
            return
        times = (call.queued, call.started, call.run_began, call.run_ended, call.finished)
        for stage, began, ended in zip(_STAGES, times, times[1:], strict=False):
            elapsed = (ended - began) * _MICROSECONDS
            self._stage_latency.observe(elapsed, call.model, call.api, call.entrypoint, stage)
        run = (call.run_ended - call.run_began) * _MICROSECONDS
        self._runtime_latency.observe(run, call.model, call.api, "TF1")
        self._graph_runs.add()
        self._graph_time.add(amount=round(run))

    def record_batch(self, rows: int, waited: float) -> None:
        """Count one batch: its rows, and how many seconds its first request waited."""
        self._batches.add()
        self._batched.add(amount=rows)
        self._batch_wait.observe(waited * _MICROSECONDS)

    def record_load(self, path: str, seconds: float, status: str) -> None:
        """Count one try at loading; `status` is success or fail."""
        self._load_attempts.add(path, status)
        self._load_latency.add(path, amount=round(seconds * _MICROSECONDS))

    def record_warmup(self, path: str, seconds: float, status: str) -> None:
        """Count one warm-up; `status` is OK or the error's."""
        self._warmup_latency.observe(seconds * _MICROSECONDS, path, status)

    def page(self) -> str:
        """Everything in Prometheus' text form."""
        return exposition(metric for metric in vars(self).values() if isinstance(metric, Counter | Histogram))
