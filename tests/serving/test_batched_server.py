"""A server that merges requests, and one that refuses what it cannot take, over real gRPC."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from urllib.request import urlopen

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc

from catalog.errors import ConfigError
from serving.loading import BATCHING_FILE
from serving.local_server import ServerConfig, serve
from serving.messages import ClassificationRequest, PredictionServiceStub, PredictRequest, PredictResponse
from serving.tensors import to_array
from tests.serving.asking import eventually, outcome

Build = Callable[..., PredictRequest]


def written(folder: Path, text: str, name: str = "batching.txt") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def batched(exported: Path, tmp_path: Path, text: str, **settings: object) -> ServerConfig:
    return ServerConfig(
        model_name="scale",
        model_base_path=exported / "scale",
        port=0,
        enable_batching=True,
        batching_parameters_file=written(tmp_path, text),
        **settings,
    )


def test_requests_of_many_clients_are_merged_and_each_gets_its_own(
    exported: Path, tmp_path: Path, predict_request: Build
) -> None:
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    text = "max_batch_size { value: 4 } batch_timeout_micros { value: 200000 } num_batch_threads { value: 1 }"
    server = serve(batched(exported, tmp_path, text, rest_api_port=0, monitoring_config_file=monitoring))
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(8) as pool:
            stub = PredictionServiceStub(channel)
            requests = [predict_request("scale", x=np.array([n], np.float32), text=[f"t{n}"]) for n in range(8)]
            answers = list(pool.map(stub.Predict, requests))
        assert [to_array(answer.outputs["y"]).tolist() for answer in answers] == [[3.0 * n] for n in range(8)]
        assert [to_array(answer.outputs["capitals"]).tolist() for answer in answers] == [[b"T%d" % n] for n in range(8)]
        page = urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=30).read().decode()
        values = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
        session, pool = ":tensorflow:serving:batching_session", '{thread_pool_name="batch_threads"}'
        assert values[f"{session}:input_batch_size_count{pool}"] == "8"  # warm-up is no part of it
        assert values[f"{session}:queuing_latency_count{pool}"] == "8"
        assert float(values[f"{session}:processed_batch_size_sum{pool}"]) == 8
        assert values[f"{session}:processed_batch_size_count{pool}"] == values[f"{session}:wrapped_run_count{{}}"]
        assert int(values[f"{session}:wrapped_run_count{{}}"]) < 8
        stage = ':tandem:serving:stage_latency_count{model_name="scale",API="Predict",entrypoint="GRPC",stage="batch"}'
        assert values[stage] == "8"
    finally:
        server.stop()


def test_a_request_that_fails_costs_its_batch_nothing(exported: Path, tmp_path: Path, predict_request: Build) -> None:
    text = "max_batch_size { value: 3 } batch_timeout_micros { value: 30000000 } num_batch_threads { value: 1 }"
    server = serve(batched(exported, tmp_path, text, enable_model_warmup=False))
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(3) as pool:
            stub = PredictionServiceStub(channel)
            requests = [predict_request("scale", "fails", x=np.array([n], np.int32)) for n in (3, 0, 2)]
            first, bad, last = pool.map(lambda request: outcome(stub, request), requests)
            too_large = outcome(stub, predict_request("scale", "fails", x=np.ones(4, np.int32)))
            uneven = outcome(stub, predict_request("scale", x=np.ones(100, np.float32), text=["a"]))
            # A signature without a batch runs alone.
            alone = outcome(stub, predict_request("scale", "slow", steps=np.int32(1)))
        assert to_array(first.outputs["y"]).tolist() == [2]
        assert bad is grpc.StatusCode.INVALID_ARGUMENT
        assert to_array(last.outputs["y"]).tolist() == [3]
        assert too_large is grpc.StatusCode.INVALID_ARGUMENT
        assert uneven is grpc.StatusCode.INVALID_ARGUMENT
        assert to_array(alone.outputs["sum"]).tolist() == pytest.approx(40_000.0)
    finally:
        server.stop()


def test_a_large_request_runs_in_pieces(exported: Path, tmp_path: Path, predict_request: Build) -> None:
    """Five rows in runs of at most two are three; six rows are too many for a request."""
    text = (
        "max_batch_size { value: 5 } max_execution_batch_size { value: 2 } enable_large_batch_splitting { value: true }"
    )
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    server = serve(batched(exported, tmp_path, text, rest_api_port=0, monitoring_config_file=monitoring))
    try:
        with grpc.insecure_channel(server.address) as channel:
            stub = PredictionServiceStub(channel)
            rows = [predict_request("scale", x=np.arange(n, dtype=np.float32), text=["a"] * n) for n in (5, 6)]
            answer, refused = [outcome(stub, request) for request in rows]
        page = urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=30).read().decode()
    finally:
        server.stop()
    assert to_array(answer.outputs["y"]).tolist() == [0, 3, 6, 9, 12]
    assert refused is grpc.StatusCode.INVALID_ARGUMENT
    assert ":batching_session:wrapped_run_count{} 3" in page


def test_rows_of_different_lengths_are_padded(tmp_path: Path, predict_request: Build) -> None:
    """Rows of 1 and 3 fill a batch and run as rows of 3; a table in place of a row fails alone."""

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, "x")])
    def double(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 2.0 * x, "sum": tf.matmul(x, tf.ones([tf.shape(x)[1], 1]))[:, 0]}

    tf.saved_model.save(tf.Module(), str(tmp_path / "rows" / "1"), signatures={"serving_default": double})
    text = "pad_variable_length_inputs: true max_batch_size { value: 2 } batch_timeout_micros { value: 2000000 }"
    config = ServerConfig(
        model_name="rows",
        model_base_path=tmp_path / "rows",
        port=0,
        enable_batching=True,
        batching_parameters_file=written(tmp_path, text),
    )
    server = serve(config)
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(3) as pool:
            stub = PredictionServiceStub(channel)
            rows = [np.array(x, np.float32) for x in ([[5.0]], [[1.0, 2.0, 3.0]], [[[1.0]]])]
            short, long, table = pool.map(lambda x: outcome(stub, predict_request("rows", x=x)), rows)
    finally:
        server.stop()
    assert table is grpc.StatusCode.INVALID_ARGUMENT
    assert to_array(short.outputs["y"]).tolist() == [[10.0, 10.0, 10.0]]
    assert to_array(short.outputs["sum"]).tolist() == [15.0]
    assert to_array(long.outputs["y"]).tolist() == [[2.0, 4.0, 6.0]]
    assert to_array(long.outputs["sum"]).tolist() == [6.0]


def test_a_client_that_goes_leaves_no_work_behind(exported: Path, tmp_path: Path, predict_request: Build) -> None:
    """Batches wait for an hour, or until two requests are there: over gRPC and REST, one comes and goes."""
    text = "max_batch_size { value: 2 } batch_timeout_micros { value: 3600000000 } num_batch_threads { value: 1 }"
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    server = serve(batched(exported, tmp_path, text, rest_api_port=0, monitoring_config_file=monitoring))
    batcher = server._loader._batcher
    assert batcher is not None
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(2) as pool:
            stub = PredictionServiceStub(channel)
            request = predict_request("scale", x=np.ones(1, np.float32), text=["a"])
            gone = stub.Predict.future(request, timeout=30)
            eventually(lambda: batcher.waiting == 1)
            gone.cancel()
            eventually(lambda: batcher.waiting == 0)
            connection = HTTPConnection("127.0.0.1", server.rest_port, timeout=30)
            connection.request("POST", "/v1/models/scale:predict", b'{"instances": [{"x": 1.0, "text": "a"}]}')
            eventually(lambda: batcher.waiting == 1)
            connection.close()
            eventually(lambda: batcher.waiting == 0)
            answers = list(pool.map(lambda _: outcome(stub, request), range(2)))
        assert [to_array(answer.outputs["y"]).tolist() for answer in answers] == [[3.0], [3.0]]
        page = f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics"
        counted = ':tensorflow:serving:request_count{model_name="scale",status="CANCELLED"} 2'
        eventually(lambda: counted in urlopen(page, timeout=30).read().decode())
    finally:
        server.stop()


def test_a_long_text_is_answered_beside_the_batches(exported: Path, tmp_path: Path, predict_request: Build) -> None:
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    text = "max_batch_size { value: 2 } num_batch_threads { value: 1 }"
    server = serve(batched(exported, tmp_path, text, rest_api_port=0, monitoring_config_file=monitoring))
    try:
        with grpc.insecure_channel(server.address, [("grpc.max_receive_message_length", -1)]) as channel:
            stub = PredictionServiceStub(channel)
            answer = stub.Predict(predict_request("scale", x=np.ones(1, np.float32), text=["a" * 5_000_000]))
            assert to_array(answer.outputs["capitals"]).tolist() == [b"A" * 5_000_000]
        page = urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=30).read().decode()
        counted = ':tensorflow:serving:batching_session:queuing_latency_count{thread_pool_name="%s"}'
        assert counted % "large_batch_threads" + " 1" in page
        assert counted % "batch_threads" not in page
    finally:
        server.stop()


def test_a_version_s_own_parameters_count_where_that_is_wanted(
    exported: Path, tmp_path: Path, predict_request: Build
) -> None:
    base = tmp_path / "scale"
    shutil.copytree(exported / "scale" / "1", base / "1")
    own = written(base / "1", "max_batch_size { value: 1 }", BATCHING_FILE)
    for_all = written(tmp_path, "max_batch_size { value: 1 }")
    too_large = grpc.StatusCode.INVALID_ARGUMENT
    # Where they are wanted, those of the server count for none, not even for a version that ships no file.
    for wanted, ships, given, expected in (
        (True, True, None, too_large),
        (False, True, None, None),
        (False, True, for_all, too_large),
        (True, False, for_all, None),
    ):
        if not ships:
            own.unlink()
        config = ServerConfig(
            model_name="scale",
            model_base_path=base,
            port=0,
            enable_batching=True,
            batching_parameters_file=given,
            enable_per_model_batching_parameters=wanted,
        )
        server = serve(config)
        try:
            with grpc.insecure_channel(server.address) as channel:
                request = predict_request("scale", x=np.ones(2, np.float32), text=["a", "b"])
                answer = outcome(PredictionServiceStub(channel), request)
        finally:
            server.stop()
        assert answer is expected if expected else isinstance(answer, PredictResponse)


def test_examples_are_merged_and_bounded_as_well(exported: Path, tmp_path: Path) -> None:
    text = "max_batch_size { value: 2 } batch_timeout_micros { value: 20000000 } num_batch_threads { value: 1 }"
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    config = ServerConfig(
        model_name="tf1",
        model_base_path=exported / "tf1",
        port=0,
        rest_api_port=0,
        enable_batching=True,
        batching_parameters_file=written(tmp_path, text),
        monitoring_config_file=monitoring,
    )

    def request(*values: float) -> ClassificationRequest:
        asked = ClassificationRequest()
        asked.model_spec.name = "tf1"
        for value in values:
            asked.input.example_list.examples.add().features.feature["x"].float_list.value.append(value)
        return asked

    server = serve(config)
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(2) as pool:
            stub = PredictionServiceStub(channel)
            answers = list(pool.map(stub.Classify, [request(1.0), request(4.0)]))
            with pytest.raises(grpc.RpcError) as error:
                stub.Classify(request(1.0, 2.0, 3.0))
        page = urlopen(f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics", timeout=30).read().decode()
    finally:
        server.stop()
    assert [answer.result.classifications[0].classes[1].score for answer in answers] == [2.0, 8.0]
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "larger than maximum input batch size 2" in error.value.details()
    assert ':batching_session:processed_batch_size_count{thread_pool_name="batch_threads"} 1' in page


def test_too_many_waiting_are_refused_at_once_while_health_answers(
    exported: Path, tmp_path: Path, predict_request: Build
) -> None:
    monitoring = written(tmp_path, "prometheus_config { enable: true }", "monitoring.config")
    config = ServerConfig(
        model_name="scale",
        model_base_path=exported / "scale",
        port=0,
        grpc_threads=1,
        max_queued_requests=2,
        rest_api_port=0,
        monitoring_config_file=monitoring,
    )
    server = serve(config)
    try:
        with grpc.insecure_channel(server.address) as channel, ThreadPoolExecutor(12) as pool:
            stub = PredictionServiceStub(channel)
            started, until = tmp_path / "started", tmp_path / "until"
            held = predict_request("scale", "held", started=np.array(str(started)), until=np.array(str(until)))
            waiting = [pool.submit(outcome, stub, held) for _ in range(12)]
            eventually(lambda: sum(future.done() for future in waiting) >= 8)
            refused = [future.result() for future in waiting if future.done()]
            health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            until.touch()
            answers = [future.result() for future in waiting]
        assert set(refused) == {grpc.StatusCode.UNAVAILABLE}
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        answered = [answer for answer in answers if isinstance(answer, PredictResponse)]
        assert 1 <= len(answered) <= 4
        refusals = answers.count(grpc.StatusCode.UNAVAILABLE)
        assert len(answered) + refusals == 12
        page = f"http://127.0.0.1:{server.rest_port}/monitoring/prometheus/metrics"
        counted = f':tensorflow:serving:request_count{{model_name="",status="UNAVAILABLE"}} {refusals}'
        assert counted in urlopen(page, timeout=30).read().decode()
        with grpc.insecure_channel(server.address) as channel:
            good = predict_request("scale", x=np.ones(1, np.float32), text=["a"])
            assert isinstance(outcome(PredictionServiceStub(channel), good), PredictResponse)
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "not a BatchingParameters in text form"),
        ("max_batch_size { value: 0 }", "max_batch_size"),
        ("max_batch_size { value: 4 } allowed_batch_sizes: 2", "must rise and end with max_batch_size"),
        (
            "max_batch_size { value: 4 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 5 }",
            "max_execution_batch_size must be at most max_batch_size, 4; received 5",
        ),
    ],
)
def test_parameters_that_cannot_be_used(exported: Path, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        serve(batched(exported, tmp_path, text))
