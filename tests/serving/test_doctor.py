"""The doctor: sound servers pass, and each fault is found, said and advised on."""

from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf

from serving.doctor import Released, Standards, examine
from serving.findings import Finding, as_json, passed
from serving.local_server import Server, ServerConfig, serve
from serving.messages import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelServiceServicer,
    ModelVersionStatus,
    add_ModelServiceServicer_to_server,
)

FEW = Standards(timeout=20.0, calls=3)
AddVersion = Callable[[Path, str, int, int], None]

SAMPLES = [
    {
        "query": query,
        "history_product_id": ["", "", "p1", newest],
        "history_kind": ["", "", "view", "cart"],
        "history_timestamp": [0, 0, 1, 2],
        "timestamp": 3,
        "user_country": "de",
    }
    for query, newest in (("dress", "p2"), ("", "p3"))
]


@contextmanager
def serving(folder: Path, models: Sequence[str]) -> Iterator[grpc.Channel]:
    """A channel to an embedded server over every version of these models."""
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" '
        "model_version_policy { all {} } }"
        for name in models
    )
    config = folder / "models.config"
    config.write_text(f"model_config_list {{ {entries} }}", encoding="utf-8")
    server = serve(ServerConfig(model_config_file=config, port=0))
    try:
        with grpc.insecure_channel(server.address) as channel:
            yield channel
    finally:
        server.stop()


class Stopwatch:
    """Ticks so that each timed call took the next of `seconds`, and the last one from then on."""

    def __init__(self, *seconds: float) -> None:
        self._seconds, self._running, self._now = list(seconds), False, 0.0

    def __call__(self) -> float:
        if self._running:
            self._now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self._running = not self._running
        return self._now


def examine_warm(*given: Any, **named: Any) -> list[Finding]:
    """`examine` by a watch on which each call takes 1 ms: the toys have no warm-up requests, so a first is slow."""
    return examine(*given, clock=Stopwatch(0.001), **named)


def found(findings: Sequence[Finding], check: str, subject: str) -> Finding:
    (finding,) = [each for each in findings if (each.check, each.subject) == (check, subject)]
    return finding


def failures(findings: Sequence[Finding]) -> list[tuple[str, str]]:
    return [(each.check, each.subject) for each in findings if each.status == "failure"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, add_version: AddVersion) -> Iterator[grpc.Channel]:
    """search, retrieval, the same as retrieval_exact, and rerank, all in version 1."""
    folder = tmp_path_factory.mktemp("sound")
    for model, source in (
        ("search", "search"),
        ("retrieval", "retrieval"),
        ("retrieval_exact", "retrieval"),
        ("rerank", "rerank"),
    ):
        add_version(folder / model, source, 1, 1)
    with serving(folder, ("search", "retrieval", "retrieval_exact", "rerank")) as channel:
        yield channel


def test_a_sound_server_passes_every_check(sound: grpc.Channel) -> None:
    findings = examine_warm(sound, FEW, SAMPLES, Released(1, {1: 1_000_000}), now=lambda: 1_000_000 + 86_400.0)
    assert failures(findings) == []
    assert passed(findings)
    models = ("search", "retrieval", "retrieval_exact", "rerank")
    for model in models:
        assert found(findings, "served", model).detail == "1 AVAILABLE"
        assert found(findings, "signatures", model).status == "ok"
        assert found(findings, "latency", model).numbers["requests"] == 3
    assert found(findings, "signatures", "search").detail == "serving_default, with_image"
    assert found(findings, "versions", "server").detail == "every model's newest is 1"
    assert found(findings, "recall", "retrieval").numbers == {"recall_at_100": 1.0, "requests": 3.0}
    assert found(findings, "age", "server").numbers == {"snapshot_age_days": 1.0}
    assert all(not each.advice for each in findings)


def test_without_samples_strangers_are_asked_for(sound: grpc.Channel) -> None:
    findings = examine_warm(sound, FEW)
    # The toy finds the query, the newest item and the country: a stranger has none, and so there is no product at all.
    assert failures(findings) == [("recall", "retrieval")]
    assert "finds no product" in found(findings, "recall", "retrieval").detail
    assert found(findings, "latency", "rerank").status == "ok"
    assert not [each for each in findings if each.check in ("release", "age")]


def test_findings_are_plain_json(sound: grpc.Channel) -> None:
    document = as_json(examine_warm(sound, FEW, SAMPLES))
    assert document["ok"] is True
    assert {"check", "subject", "status", "detail", "advice", "numbers"} == set(document["findings"][0])


@pytest.mark.parametrize(
    ("released", "now", "check", "status", "says"),
    [
        (Released(2, {}), 0.0, "release", "warning", "version 1 is served, 2 is the newest"),
        (Released(1, {1: 86_400}), 16 * 86_400.0, "age", "warning", "1970-01-02, 15.0 days ago"),
        (Released(1, {1: 86_400}), 0.0, "age", "failure", "-1.0 days ago"),
    ],
)
def test_another_release_and_a_snapshot_of_another_time(
    sound: grpc.Channel, released: Released, now: float, check: str, status: str, says: str
) -> None:
    finding = found(examine_warm(sound, FEW, SAMPLES, released, now=lambda: now), check, "server")
    assert finding.status == status
    assert says in finding.detail
    assert finding.advice


@pytest.mark.parametrize(
    ("first", "third", "status"),
    [(0.002, 0.002, "ok"), (0.2, 0.002, "ok"), (0.203, 0.002, "failure"), (1.4, 0.3, "ok"), (1.6, 0.3, "failure")],
    ids=["warm", "noise", "cold", "slow", "slow and cold"],
)
def test_a_first_request_much_slower_than_the_third_is_cold(
    sound: grpc.Channel, first: float, third: float, status: str
) -> None:
    """A third of 2 ms allows for 202, one of 300 ms for 1,500."""
    #                 reachable, then the three first requests to search; the second says nothing
    clock = Stopwatch(0.001, first, 0.9, third)
    finding = found(examine(sound, FEW, SAMPLES, clock=clock), "warm", "search")
    assert finding.status == status
    assert finding.numbers["first_ms"] == pytest.approx(1000 * first)
    assert ("tf_serving_warmup_requests" in finding.advice) == (status == "failure")


def test_latency_is_that_of_the_timed_requests_and_held_to_the_limit(sound: grpc.Channel) -> None:
    #                 reachable, three that warm, then 10, 20 and 90 ms: the median is 20, p99 is 20 + 0.98 x 70
    times = (0.001, 0.5, 0.4, 0.3, 0.010, 0.020, 0.090)
    slow = examine(sound, Standards(timeout=20.0, calls=3, p99_ms=50.0), SAMPLES, clock=Stopwatch(*times))
    finding = found(slow, "latency", "search")
    assert finding.status == "failure"
    assert finding.numbers == pytest.approx({"p50_ms": 20.0, "p99_ms": 88.6, "requests": 3.0})
    assert "at most 50 ms are wanted" in finding.detail
    unlimited = examine(sound, FEW, SAMPLES, clock=Stopwatch(*times))
    assert found(unlimited, "latency", "search").status == "ok"


def test_nobody_at_the_address_is_one_finding_with_advice() -> None:
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        (finding,) = examine_warm(channel, FEW)
    assert (finding.check, finding.status) == ("reachable", "failure")
    assert finding.detail.startswith("UNAVAILABLE")
    assert "--ca" in finding.advice


def test_a_server_without_tandem_s_models(shared_server: Server, tmp_path: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "scale", "scale", 1, 1)
    with serving(tmp_path, ["scale"]) as channel:
        findings = examine_warm(channel, FEW)
    assert failures(findings) == [("served", "server")]
    assert "model_config_file" in findings[-1].advice


def test_a_model_of_another_form(tmp_path: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "search", "retrieval", 1, 1)
    with serving(tmp_path, ["search"]) as channel:
        findings = examine_warm(channel, FEW)
    assert failures(findings) == [("signatures", "search")]
    assert "serving_default: lacks the output retrieval_score" in findings[-1].detail
    assert not [each for each in findings if each.check == "latency"]  # nothing to ask it with


def test_a_reranker_without_retrieval_s_version(tmp_path: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "retrieval", "retrieval", 1, 1)
    add_version(tmp_path / "rerank", "rerank", 2, 2)  # with a longer history, too
    with serving(tmp_path, ["retrieval", "rerank"]) as channel:
        findings = examine_warm(channel, FEW, SAMPLES)
    assert failures(findings) == [("versions", "rerank"), ("signatures", "server")]
    assert "version 1, which rerank does not have" in found(findings, "versions", "rerank").detail
    assert "history length differs: retrieval 4, rerank 6" in found(findings, "signatures", "server").detail


def test_versions_that_differ_while_a_release_is_on_its_way(tmp_path: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "retrieval", "retrieval", 1, 1)
    for version in (1, 2):
        add_version(tmp_path / "rerank", "rerank", 1, version)
    with serving(tmp_path, ["retrieval", "rerank"]) as channel:
        findings = examine_warm(channel, FEW, SAMPLES)
    finding = found(findings, "versions", "server")
    assert (finding.status, finding.detail) == ("warning", "the newest versions differ: retrieval 1, rerank 2")
    assert passed(findings)  # clients pin retrieval's version, and the old reranker is still there
    assert found(findings, "latency", "rerank").status == "ok"


def save_other_retrieval(path: Path, exported: Path) -> None:
    """The toy's retrieval with another third product."""
    loaded = tf.saved_model.load(str(exported / "retrieval" / "1"))
    signature = loaded.signatures["serving_default"]
    specs = signature.structured_input_signature[1]

    def retrieve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        found = signature(**inputs)
        ids = tf.concat([found["product_id"][:, :2], tf.fill([tf.shape(found["product_id"])[0], 1], "other")], axis=1)
        return found | {"product_id": ids}

    module = tf.Module()
    module.loaded = loaded
    function = tf.function(retrieve).get_concrete_function(**specs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": function})


def test_an_index_that_misses_products(tmp_path: Path, exported: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "retrieval_exact", "retrieval", 1, 1)
    save_other_retrieval(tmp_path / "retrieval" / "1", exported)
    with serving(tmp_path, ["retrieval", "retrieval_exact"]) as channel:
        findings = examine_warm(channel, Standards(timeout=20.0, calls=2, recall=0.97), SAMPLES)
        lenient = examine_warm(channel, Standards(timeout=20.0, calls=2, recall=0.5), SAMPLES)
    assert failures(findings) == [("recall", "retrieval")]
    # "dress" finds dress, p2, de and misses de: 2 of 3. "" finds p3, de and misses de: 1 of 2.
    assert found(findings, "recall", "retrieval").numbers["recall_at_100"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert "tune-index" in found(findings, "recall", "retrieval").advice
    assert failures(lenient) == []


@pytest.mark.parametrize(
    ("versions", "says"),
    [
        ({"search": 1}, "without retrieval and retrieval_exact"),
        ({"retrieval": 1, "rerank": 1}, "without retrieval_exact"),
        ({"retrieval": 2, "retrieval_exact": 1}, "retrieval and retrieval_exact share no version"),
    ],
    ids=["search", "one", "no version"],
)
def test_an_index_whose_recall_cannot_be_measured_is_warned_of(
    versions: dict[str, int], says: str, tmp_path: Path, add_version: AddVersion
) -> None:
    for model, version in versions.items():
        add_version(tmp_path / model, model.removesuffix("_exact"), 1, version)
    with serving(tmp_path, list(versions)) as channel:
        findings = examine_warm(channel, FEW, SAMPLES)
    finding = found(findings, "recall", "retrieval")
    assert (finding.status, finding.detail) == ("warning", f"not measured: {says}")
    assert "serving_config/recall.config" in finding.advice
    assert passed(findings)


def test_exact_models_alone_have_no_recall_to_measure(tmp_path: Path, add_version: AddVersion) -> None:
    add_version(tmp_path / "search_exact", "search", 1, 1)
    with serving(tmp_path, ["search_exact"]) as channel:
        findings = examine_warm(channel, FEW, SAMPLES)
    assert not [each for each in findings if each.check == "recall"]


class Statuses(ModelServiceServicer):
    """Tells made-up states of `search`; knows no other model."""

    def __init__(self, *statuses: ModelVersionStatus) -> None:
        self._statuses = statuses

    def GetModelStatus(self, request: GetModelStatusRequest, context: grpc.ServicerContext) -> GetModelStatusResponse:
        if request.model_spec.name != "search":
            context.abort(grpc.StatusCode.NOT_FOUND, "Could not find any versions of model")
        return GetModelStatusResponse(model_version_status=self._statuses)


@contextmanager
def telling(*statuses: ModelVersionStatus) -> Iterator[grpc.Channel]:
    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_ModelServiceServicer_to_server(Statuses(*statuses), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        server.stop(None)


def status(version: int, state: int, code: int = 0, message: str = "") -> ModelVersionStatus:
    told = ModelVersionStatus(version=version, state=state)
    told.status.error_code = code
    told.status.error_message = message
    return told


@pytest.mark.parametrize(
    ("statuses", "level", "says"),
    [
        ([status(3, 20), status(2, 30)], "warning", "3 LOADING, 2 AVAILABLE"),
        ([status(3, 20)], "failure", "3 LOADING"),
        ([status(3, 50, 5, "Op type not registered"), status(2, 30)], "failure", "version 3: Op type not registered"),
        ([status(4, 30), status(3, 50, 5, "no such file"), status(2, 50)], "warning", "version 3: no such file"),
    ],
    ids=["on-its-way", "none-yet", "broken", "mended-since"],
)
def test_states_other_than_available(statuses: list[ModelVersionStatus], level: str, says: str) -> None:
    with telling(*statuses) as channel:
        findings = examine_warm(channel, FEW)
    finding = found(findings, "served", "search")
    assert finding.status == level
    assert says in finding.detail
    assert finding.advice


def test_a_server_without_health_service_is_warned_of() -> None:
    with telling(status(1, 20)) as channel:
        finding = found(examine_warm(channel, FEW), "health", "server")
    assert finding.status == "warning"
    assert "--enable_grpc_healthcheck_service" in finding.advice
