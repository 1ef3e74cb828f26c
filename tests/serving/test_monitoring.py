"""What is counted of calls, and the page of a running server."""

import re
import urllib.error
import urllib.request
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from serving.batch_lane import Batch
from serving.call_record import Call
from serving.local_server import Server
from serving.messages import PredictionServiceStub, PredictRequest
from serving.monitoring import Monitoring


def samples(page: str) -> dict[str, float]:
    """Sample by name and labels, without the buckets."""
    found = re.findall(r"^([^#\s]+\{.*\}) (\S+)$", page, re.MULTILINE)
    return {name: float(value) for name, value in found if "_bucket{" not in name}


def test_the_stages_of_a_call_add_up_to_its_latency() -> None:
    """Queued at 1 s for 1 ms, parsed for 2 ms, run for 3 ms, serialised for 4 ms: 10 ms in all."""
    monitoring = Monitoring(lambda: ["m"])
    call = Call(queued=1.0, started=1.001, run_began=1.003, run_ended=1.006, finished=1.01)
    call.entrypoint, call.api, call.model = "GRPC", "Predict", "m"
    monitoring.record(call)
    found = samples(monitoring.page())
    labels = 'model_name="m",API="Predict"'
    for stage, microseconds in (("queue", 1000), ("parse", 2000), ("run", 3000), ("serialise", 4000)):
        name = f':tandem:serving:stage_latency_sum{{{labels},entrypoint="GRPC",stage="{stage}"}}'
        assert found[name] == pytest.approx(microseconds)
    latency = f':tensorflow:serving:request_latency_sum{{{labels},entrypoint="GRPC"}}'
    assert found[latency] == pytest.approx(10_000)
    assert found[f':tensorflow:serving:runtime_latency_sum{{{labels},runtime="TF1"}}'] == pytest.approx(3000)
    assert found[':tensorflow:serving:request_count{model_name="m",status="OK"}'] == 1
    assert (found[":tensorflow:core:graph_runs{}"], found[":tensorflow:core:graph_run_time_usecs{}"]) == (1, 3000)


def test_the_wait_for_a_batch_is_a_stage_of_its_own_and_part_of_the_runtime_as_there() -> None:
    """Parsed for 1 ms, waited for 4 ms for a batch that ran for 2 ms."""
    monitoring = Monitoring(lambda: ["m"])
    call = Call(1.0, 1.0, batch_joined=1.001, run_began=1.005, run_ended=1.007, finished=1.007)
    call.entrypoint, call.api, call.model = "GRPC", "Predict", "m"
    monitoring.record(call)
    found = samples(monitoring.page())
    name = ':tandem:serving:stage_latency_sum{model_name="m",API="Predict",entrypoint="GRPC",stage="%s"}'
    assert [found[name % stage] for stage in ("parse", "batch", "run")] == pytest.approx([1000, 4000, 2000])
    runtime = ':tensorflow:serving:runtime_latency_sum{model_name="m",API="Predict",runtime="TF1"}'
    assert found[runtime] == pytest.approx(6000)


def test_examples_are_counted_of_answered_calls_and_warm_up_records_of_versions() -> None:
    """Three and two examples answered, four refused; a warm-up of two records, and one that failed."""
    monitoring = Monitoring(lambda: ["m"])
    for examples, status in ((3, "OK"), (2, "OK"), (4, "INVALID_ARGUMENT"), (0, "OK")):
        monitoring.record(Call(api="Classify", model="m", status=status, examples=examples))
    monitoring.record_warmup("/models/m/1", 0.5, "OK", 2)
    monitoring.record_warmup("/models/m/2", 0.5, "INVALID_ARGUMENT", 0)
    found = samples(monitoring.page())
    counts = ":tensorflow:serving:request_example_counts"
    assert (found[f'{counts}_count{{model="m"}}'], found[f'{counts}_sum{{model="m"}}']) == (2, 5)
    assert found[':tensorflow:serving:request_example_count_total{model="m"}'] == 5
    assert '{model="m",le="16384"}' in monitoring.page()  # 2^14
    records = ":tensorflow:serving:model_warmup_records_read"
    assert found[f'{records}{{model_path="/models/m/1",status="OK"}}'] == 2
    assert found[f'{records}{{model_path="/models/m/2",status="INVALID_ARGUMENT"}}'] == 0


def test_a_counter_is_found_by_tf_serving_s_name() -> None:
    monitoring = Monitoring(lambda: ["m"])
    monitoring.record_load("/models/m/1", 0.5, "success")
    monitoring.record_load("/models/m/2", 0.25, "fail")
    assert monitoring.count("/tensorflow/cc/saved_model/load_attempt_count") == 2
    assert monitoring.count(":tensorflow:cc:saved_model:load_latency") == 750_000
    assert monitoring.count("/tensorflow/serving/request_latency") == 0  # no counter
    assert monitoring.count("made-up") == 0


def test_batches_are_counted_under_tf_serving_s_names() -> None:
    """Two batches: of 1 and 2 rows and one of padding, and of 4 rows."""
    monitoring = Monitoring(lambda: [])
    monitoring.record_batch(Batch("pool", [1, 2], 1, [0.001, 0.002]))
    monitoring.record_batch(Batch("pool", [4], 0, [0.0]))
    session, pool = ":tensorflow:serving:batching_session", '{thread_pool_name="pool"}'
    found = samples(monitoring.page())
    assert found[f"{session}:wrapped_run_count{{}}"] == 2
    assert (found[f"{session}:queuing_latency_count{pool}"], found[f"{session}:queuing_latency_sum{pool}"]) == (3, 3000)
    sizes = {name: found[f"{session}:{name}_sum{pool}"] for name in ("input_batch_size", "processed_batch_size")}
    assert sizes == {"input_batch_size": 7, "processed_batch_size": 8}
    assert found[f"{session}:padding_size_sum{pool}"] == 1
    assert '{thread_pool_name="pool",le="172.8"}' in monitoring.page()  # 100 * 1.2^3 microseconds


def test_each_entry_point_counts_and_names_calls_as_there() -> None:
    """gRPC counts Predict, Classify and Regress. REST counts all, and names those three alone; runs have one name."""
    monitoring = Monitoring(lambda: ["m"])
    times = {"queued": 1.0, "started": 1.0, "run_began": 1.0, "run_ended": 1.001, "finished": 1.002}
    for api in ("Regress", "MultiInference"):
        monitoring.record(Call(**times, entrypoint="GRPC", api=api, model="m"))
    for api in ("GetModelMetadata", "GetModelStatus"):
        monitoring.record(Call(entrypoint="GRPC", api=api, model="m"))
        monitoring.record(Call(entrypoint="GRPC", api=api, model="m", status="NOT_FOUND"))
    monitoring.record(Call(**times, entrypoint="REST", api="regress", model="m"))
    for api in ("status", "metadata", "request"):
        monitoring.record(Call(entrypoint="REST", api=api, model="m"))
    found = samples(monitoring.page())
    names = "request_count", "request_latency_count", "runtime_latency_count", "graph_runs"
    assert {
        name.partition(":serving:")[2]: value for name, value in found.items() if any(n in name for n in names)
    } == {
        'request_count{model_name="m",status="OK"}': 5,
        'request_latency_count{model_name="m",API="Regress",entrypoint="GRPC"}': 1,
        'request_latency_count{model_name="m",API="regress",entrypoint="REST"}': 1,
        'request_latency_count{model_name="m",API="",entrypoint="REST"}': 3,
        'runtime_latency_count{model_name="m",API="Regress",runtime="TF1"}': 2,
        "": 3,  # graph runs
    }


def test_refusals_are_counted_and_made_up_names_are_not_kept() -> None:
    monitoring = Monitoring(lambda: ["m"])
    for model in ("m", "made-up-1", "made-up-2"):
        monitoring.record(Call(api="Predict", model=model, status="NOT_FOUND"))
    assert samples(monitoring.page()) == {
        ':tensorflow:serving:request_count{model_name="m",status="NOT_FOUND"}': 1,
        ':tensorflow:serving:request_count{model_name="",status="NOT_FOUND"}': 2,
    }


def fetch(server: Server, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}{path}", timeout=30) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return str(answer.read().decode())


def test_a_running_server_shows_calls_of_both_protocols(
    shared_server: Server, predict_request: Callable[..., PredictRequest]
) -> None:
    path = "/monitoring/prometheus/metrics"
    before = samples(fetch(shared_server, path))
    with grpc.insecure_channel(shared_server.address) as channel:
        stub = PredictionServiceStub(channel)
        stub.Predict(predict_request("scale", x=np.ones(1, np.float32), text=["a"]), timeout=30)
        with pytest.raises(grpc.RpcError):
            stub.Predict(predict_request("scale", "fails", x=np.zeros(1, np.int32)), timeout=30)
    body = b'{"signature_name": "regress", "examples": [{"x": 1.0}]}'
    url = f"http://127.0.0.1:{shared_server.rest_port}/v1/models/tf1:regress"
    with urllib.request.urlopen(url, body, timeout=30) as answer:
        assert answer.status == 200
    expected = {
        ':tensorflow:serving:request_count{model_name="scale",status="OK"}',
        ':tensorflow:serving:request_count{model_name="scale",status="INVALID_ARGUMENT"}',
        ':tensorflow:serving:request_latency_count{model_name="scale",API="Predict",entrypoint="GRPC"}',
        ':tensorflow:serving:request_latency_count{model_name="tf1",API="regress",entrypoint="REST"}',
        ':tandem:serving:stage_latency_count{model_name="tf1",API="regress",entrypoint="REST",stage="run"}',
        ':tensorflow:serving:request_example_count_total{model="tf1"}',
    }
    # A call is recorded right after its answer went out: the next page may come just before.
    for _ in range(100):
        after = samples(fetch(shared_server, path))
        counted = {name for name in expected if after.get(name, 0) == before.get(name, 0) + 1}
        if counted == expected:
            break
    assert counted == expected
    assert after[":tensorflow:core:graph_runs{}"] - before.get(":tensorflow:core:graph_runs{}", 0) == 2


def test_another_path_is_none_of_it(shared_server: Server) -> None:
    with pytest.raises(urllib.error.HTTPError) as error:
        fetch(shared_server, "/metrics")
    assert error.value.code == 404


def test_only_what_is_asked_of_the_api_is_counted(shared_server: Server) -> None:
    """Of three refused paths one is the API's."""
    unnamed = ':tensorflow:serving:request_count{model_name="",status="%s"}'

    def count(status: str) -> float:
        page = samples(fetch(shared_server, "/monitoring/prometheus/metrics"))
        return page.get(unnamed % status, 0)

    before = {status: count(status) for status in ("NOT_FOUND", "INVALID_ARGUMENT")}
    for path in ("/", "/wp-login.php", "/v1/models"):
        with pytest.raises(urllib.error.HTTPError):
            fetch(shared_server, path)
    for _ in range(100):  # a call is recorded right after its answer went out
        if count("INVALID_ARGUMENT") == before["INVALID_ARGUMENT"] + 1:
            break
    assert count("INVALID_ARGUMENT") == before["INVALID_ARGUMENT"] + 1
    assert count("NOT_FOUND") == before["NOT_FOUND"]


def test_the_page_is_shown_to_every_method_as_there(shared_server: Server) -> None:
    url = f"http://127.0.0.1:{shared_server.rest_port}/monitoring/prometheus/metrics"
    for method, begins in (("POST", b"# HELP "), ("HEAD", b"")):
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=30) as answer:
            assert (answer.status, answer.read(7)) == (200, begins)
            assert int(answer.headers["Content-Length"]) > 0
