"""Requests that a doctor sends: warmth, latency, and recall of the approximate index."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import grpc
import numpy as np

from serving.doctor_signatures import Signatures, history_length, user_columns
from serving.findings import Finding
from serving.messages import PredictionServiceStub, PredictRequest
from serving.requests import fit_candidates
from serving.tensors import Array, make_proto, to_array

Sample = Mapping[str, Any]
"""One logged request, a value an input, as in a release's sample_requests.json."""

Clock = Callable[[], float]

RECALL_DEPTH = 100
_WARM = 3  # calls before latency is measured; the first and the third are compared
_COLD_FACTOR, _COLD_SECONDS = 5.0, 0.2
"""A first request slower than the third by both is no noise: a cold graph of a release takes half a second and more."""


class Prober:
    """Sends a release's requests to its models.

    Args:
        channel: to the server.
        timeout: seconds a call may take.
        samples: logged requests; without any, requests of strangers are made up.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        timeout: float,
        samples: Sequence[Sample] = (),
        clock: Clock = time.perf_counter,
    ) -> None:
        self._stub = PredictionServiceStub(channel)
        self._timeout = timeout
        self._samples = samples
        self._clock = clock

    def latency(
        self,
        model: str,
        version: int,
        signatures: Signatures,
        calls: int,
        limit: float | None,
        retrieval: tuple[str, int, Signatures] | None = None,
    ) -> list[Finding]:
        """Whether a model answers, is warm, and how long it takes.

        Args:
            model, version, signatures: what is asked.
            calls: how many are timed, one after the other.
            limit: p99 in milliseconds that is still good; None for any.
            retrieval: where `rerank` gets its candidates; its time does not count.
        """
        seconds: list[float] = []
        try:
            for number in range(calls + _WARM):
                inputs = self._inputs(number, signatures)
                if retrieval is not None:
                    inputs |= self._candidates(number, signatures, *retrieval)
                started = self._clock()
                self._predict(model, version, inputs)
                seconds.append(self._clock() - started)
        except grpc.RpcError as error:
            answered = Finding(
                "answers",
                model,
                "failure",
                f"request {len(seconds) + 1} failed: {error.code().name}: {error.details()}",
                "Look the status up in docs/troubleshooting.md, and the request's trace in the server's log.",
            )
            return [answered]
        return [_warmth(model, seconds), _latency(model, seconds[_WARM:], limit)]

    def recall(self, version: int, approximate: Signatures, exact: Signatures, calls: int, target: float) -> Finding:
        """Share of the first products of `retrieval_exact` that `retrieval` finds, both in one version."""
        shares = []
        try:
            for number in range(calls):
                truth = self._products("retrieval_exact", version, self._inputs(number, exact))
                found = self._products("retrieval", version, self._inputs(number, approximate))
                if truth:
                    shares.append(len(set(found) & set(truth)) / len(truth))
        except grpc.RpcError as error:
            detail = f"not measured: {error.code().name}: {error.details()}"
            return Finding("recall", "retrieval", "failure", detail, "See the check `answers` of both models.")
        if not shares:
            return Finding(
                "recall", "retrieval", "failure", "retrieval_exact finds no product at all", "Release again."
            )
        recall = float(np.mean(shares))
        detail = f"recall@{RECALL_DEPTH} {recall:.3f} over {len(shares)} requests, target {target:.3f}"
        numbers = {f"recall_at_{RECALL_DEPTH}": recall, "requests": float(len(shares))}
        if recall >= target:
            return Finding("recall", "retrieval", "ok", detail, "", numbers)
        advice = "Tune the index again (`tandem tune-index`), raise index.recall_target, and release."
        return Finding("recall", "retrieval", "failure", detail, advice, numbers)

    def _products(self, model: str, version: int, inputs: Mapping[str, Array]) -> list[bytes]:
        return [each for each in self._predict(model, version, inputs)["product_id"][0, :RECALL_DEPTH].tolist() if each]

    def _candidates(
        self, number: int, signatures: Signatures, model: str, version: int, theirs: Signatures
    ) -> dict[str, Array]:
        found = self._predict(model, version, self._inputs(number, theirs))
        size = signatures["serving_default"].inputs["candidate_product_id"].tensor_shape.dim[1].size
        ids = [product.decode() for product in found["product_id"][0].tolist()]
        product_ids, scores = fit_candidates(ids, found["score"][0].tolist(), size)
        return {
            "query_embedding": found["query_embedding"],
            "candidate_product_id": product_ids,
            "candidate_score": scores,
        }

    def _inputs(self, number: int, signatures: Signatures) -> dict[str, Array]:
        """Request `number` as tensors of batch 1 in a model's shapes; profile columns a sample lacks are unknown."""
        length = history_length(signatures) or 0
        sample = self._samples[number % len(self._samples)] if self._samples else {}
        inputs: dict[str, Array] = {
            "query": _text([sample.get("query", "")]),
            "timestamp": np.array([sample.get("timestamp", 0)], np.int64),
            "history_timestamp": np.array([_padded(sample.get("history_timestamp", []), length, 0)], np.int64),
        }
        for name in ("history_product_id", "history_kind"):
            inputs[name] = _text(_padded(sample.get(name, []), length, ""))[None]
        for name in user_columns(signatures):
            inputs[name] = _text([sample.get(name, "")])
        return inputs

    def _predict(self, model: str, version: int, inputs: Mapping[str, Array]) -> dict[str, Array]:
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.version.value = version
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(make_proto(values))
        response = self._stub.Predict(request, timeout=self._timeout)
        return {name: to_array(proto) for name, proto in response.outputs.items()}


def _warmth(model: str, seconds: Sequence[float]) -> Finding:
    first, second, third = (1000 * value for value in seconds[:3])
    detail = f"first three requests {first:.1f}, {second:.1f}, {third:.1f} ms"
    numbers = {"first_ms": first, "second_ms": second, "third_ms": third}
    if first <= max(_COLD_FACTOR * third, third + 1000 * _COLD_SECONDS):
        return Finding("warm", model, "ok", detail, "", numbers)
    advice = (
        "The version took traffic cold: keep assets.extra/tf_serving_warmup_requests in its folder when copying, and "
        "--enable_model_warmup on. If it is there, the machine is busy: measure again."
    )
    return Finding("warm", model, "failure", detail, advice, numbers)


def _latency(model: str, seconds: Sequence[float], limit: float | None) -> Finding:
    p50, p99 = (float(value) for value in np.percentile(np.array(seconds) * 1000, [50, 99]))
    detail = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms over {len(seconds)} requests, one at a time"
    numbers = {"p50_ms": p50, "p99_ms": p99, "requests": float(len(seconds))}
    if limit is None or p99 <= limit:
        return Finding("latency", model, "ok", detail, "", numbers)
    advice = (
        "Look at the server's CPU: add cores or replicas. Many products and an exact model: serve the ScaNN one. "
        "A round trip to another region shows here too: ask from where the backend runs."
    )
    return Finding("latency", model, "failure", f"{detail}; at most {limit:g} ms are wanted", advice, numbers)


def _padded(values: Sequence[Any], length: int, absent: Any) -> list[Any]:
    """The last `length` values, padded on the left."""
    last = list(values)[max(len(values) - length, 0) :]
    return [absent] * (length - len(last)) + last


def _text(values: Sequence[str]) -> Array:
    array = np.empty(len(values), object)
    array[:] = [value.encode() for value in values]
    return array
