"""What the server measures, under TF Serving's names where it has one (servables/tensorflow/util.cc)."""

from collections.abc import Callable, Collection

from serving.batch_lane import Batch
from serving.call_record import Call
from serving.metrics import Counter, Histogram, exposition

_STAGES = ("queue", "parse", "batch", "run", "serialise")
_INFERENCE = {"predict": "Predict", "classify": "Classify", "regress": "Regress"}
"""The calls whose runs are measured, and over gRPC the only ones that are counted; REST shows them in lower case."""

_MICROSECONDS = 1e6

_QUEUING_LIMITS = tuple(100 * 1.2**power for power in range(52))
"""Microseconds, up to about a second, as in batching_session.cc."""

_EXAMPLE_LIMITS = tuple(float(1 << power) for power in range(15))
"""Examples of a request, as in util.cc."""

_SIZE_LIMITS = tuple(float(1 << power) for power in range(13))
"""Rows. TF Serving keeps quantiles of sizes, which its Prometheus page leaves out; the names are its own."""


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
        self._examples = Histogram(
            ":tensorflow:serving:request_example_counts",
            "The number of tensorflow.Examples per request.",
            "model",
            limits=_EXAMPLE_LIMITS,
        )
        self._examples_total = Counter(
            ":tensorflow:serving:request_example_count_total", "The total number of tensorflow.Examples.", "model"
        )
        self._stage_latency = Histogram(
            ":tandem:serving:stage_latency",
            "Wall time in microseconds of a request's stages: queue (for a thread), parse, batch (the wait for one), "
            "run, serialise.",
            *("model_name", "API", "entrypoint", "stage"),
        )
        self._graph_runs = Counter(":tensorflow:core:graph_runs", "The number of requests whose run ended.")
        self._graph_time = Counter(
            ":tensorflow:core:graph_run_time_usecs", "The total time of these runs in microseconds."
        )
        session, pool = ":tensorflow:serving:batching_session", "thread_pool_name"
        self._queuing = Histogram(
            f"{session}:queuing_latency",
            "Wall time in microseconds that requests waited for the run of their batch.",
            pool,
            limits=_QUEUING_LIMITS,
        )
        self._batches = Counter(f"{session}:wrapped_run_count", "The number of batches that ran.")
        self._sizes = [
            Histogram(f"{session}:{name}", description, pool, limits=_SIZE_LIMITS)
            for name, description in (
                ("input_batch_size", "Rows of each request that was batched."),
                ("processed_batch_size", "Rows of each batch, padding included."),
                ("padding_size", "Rows that were added to each batch."),
            )
        ]
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
        self._warmup_records = Counter(
            ":tensorflow:serving:model_warmup_records_read",
            "Total number of warmup records read during model warmup.",
            *("model_path", "status"),
        )

    def record(self, call: Call) -> None:
        """Count a finished call. Latencies are those of answers: a refusal takes no time worth knowing.

        A refused call's model is cleared if it is made up.
        """
        if call.status != "OK" and call.model not in self._models():
            call.model = ""
        inference, rest = _INFERENCE.get(call.api.lower(), ""), call.entrypoint == "REST"
        if inference or rest:
            self._request_count.add(call.model, call.status)
        if call.status != "OK":
            return
        if inference or rest:
            api = inference.lower() if rest else inference
            latency = (call.finished - call.queued) * _MICROSECONDS
            self._request_latency.observe(latency, call.model, api, call.entrypoint)
        if call.examples:
            self._examples.observe(call.examples, call.model)
            self._examples_total.add(call.model, amount=call.examples)
        if not call.run_ended:
            return
        joined = call.batch_joined or call.run_began
        times = (call.queued, call.started, joined, call.run_began, call.run_ended, call.finished)
        for stage, began, ended in zip(_STAGES, times, times[1:], strict=False):
            elapsed = (ended - began) * _MICROSECONDS
            if stage != "batch" or call.batch_joined:
                self._stage_latency.observe(elapsed, call.model, call.api, call.entrypoint, stage)
        run = (call.run_ended - joined) * _MICROSECONDS  # with the wait for a batch, as there
        if inference:
            self._runtime_latency.observe(run, call.model, inference, "TF1")
        self._graph_runs.add()
        self._graph_time.add(amount=round(run))

    def record_batch(self, batch: Batch) -> None:
        """Count one batch."""
        self._batches.add()
        for waited in batch.waited:
            self._queuing.observe(waited * _MICROSECONDS, batch.pool)
        inputs, processed, padding = self._sizes
        for size in batch.sizes:
            inputs.observe(size, batch.pool)
        processed.observe(sum(batch.sizes) + batch.padding, batch.pool)
        padding.observe(batch.padding, batch.pool)

    def record_load(self, path: str, seconds: float, status: str) -> None:
        """Count one try at loading; `status` is success or fail."""
        self._load_attempts.add(path, status)
        self._load_latency.add(path, amount=round(seconds * _MICROSECONDS))

    def record_warmup(self, path: str, seconds: float, status: str, records: int) -> None:
        """Count one warm-up; `status` is OK or the error's, `records` how many were read, 0 where it failed."""
        self._warmup_latency.observe(seconds * _MICROSECONDS, path, status)
        self._warmup_records.add(path, status, amount=records)

    def count(self, name: str) -> int:
        """What the counter of a name has counted; 0 for a name that is no counter's.

        Args:
            name: as TF Serving's own, /tensorflow/serving/request_count for one, or as on the page.
        """
        shown = name.replace("/", ":")
        return sum(metric.total for metric in self._metrics() if isinstance(metric, Counter) and metric.name == shown)

    def page(self) -> str:
        """Everything in Prometheus' text form."""
        return exposition(self._metrics())

    def _metrics(self) -> list[Counter | Histogram]:
        metrics = [*vars(self).values(), *self._sizes]
        return [metric for metric in metrics if isinstance(metric, Counter | Histogram)]
