"""`tandem serve` as a process: what it logs, and how it ends."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from pipelines.serve import _batching, _waiting
from serving.flags import parse_flags
from serving.messages import PredictionServiceStub, PredictRequest
from serving.tensors import make_proto
from serving.warmup import write_warmup

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Process:
    """A server whose log is read line by line."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "pipelines.cli", "serve", "--port=0", "--log_format=json", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def read_until(self, text: str) -> str:
        """The first line with `text`."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"the log ended without {text!r}")

    def terminate(self) -> tuple[int, str]:
        """SIGTERM; the exit code and what was still logged."""
        self.process.send_signal(signal.SIGTERM)
        _, rest = self.process.communicate(timeout=60)
        return self.process.returncode, rest


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    started = []

    def run(*flags: str) -> Process:
        started.append(Process(*flags))
        return started[-1]

    yield run
    for process in started:
        process.process.kill()
        process.process.communicate()


def save(path: Path) -> None:
    """Doubles x, or, with serious work, multiplies matrices `steps` times."""

    class Model(tf.Module):
        @tf.function(
            input_signature=[tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([None], tf.string, "query")]
        )
        def double(self, x: tf.Tensor, query: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": 2.0 * x, "query": query}

        @tf.function(input_signature=[tf.TensorSpec([], tf.int64, "steps")])
        def slow(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
            x = tf.ones([100, 100])
            for _ in tf.range(steps):
                x = x @ x / 100.0
            return {"sum": tf.reduce_sum(x)}

    model = Model()
    tf.saved_model.save(model, str(path), signatures={"serving_default": model.double, "slow": model.slow})


def test_the_log_of_a_request_holds_its_trace_and_nothing_of_its_inputs(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    save(tmp_path / "1")
    server = start(f"--model_base_path={tmp_path}", "--log_requests", "--enable_profiler=false")
    note = json.loads(server.read_until("enable_profiler"))
    assert (note["level"], note["message"].split(":")[0]) == ("WARNING", "--enable_profiler has no effect")
    address = json.loads(server.read_until("listening on"))["message"].split()[-1]
    request = PredictRequest()
    request.model_spec.name = "default"
    request.inputs["x"].CopyFrom(make_proto(np.ones(1, np.float32)))
    request.inputs["query"].CopyFrom(make_proto(["secret wish"]))
    with grpc.insecure_channel(address) as channel:
        stub = PredictionServiceStub(channel)
        stub.Predict(request, timeout=30, metadata=[("traceparent", TRACE)])
        request.model_spec.name = "secret wish"
        with pytest.raises(grpc.RpcError):
            stub.Predict(request, timeout=30)
    lines: list[dict[str, Any]] = [json.loads(server.read_until("serving.requests")) for _ in range(2)]
    assert [(line["api"], line["model"], line["status"]) for line in lines] == [
        ("Predict", "default", "OK"),
        ("Predict", "", "NOT_FOUND"),
    ]
    assert lines[0]["traceparent"] == TRACE
    assert "traceparent" not in lines[1]
    code, rest = server.terminate()
    assert code == 0
    assert "secret wish" not in json.dumps(lines) + rest


def test_sigterm_ends_the_wait_for_another_try_at_loading(start: Callable[..., Process], tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    server = start(
        f"--model_base_path={tmp_path}", "--max_num_load_retries=1", "--load_retry_interval_micros=3600000000"
    )
    server.read_until("1 more tries")
    code, rest = server.terminate()
    assert code == 0
    assert "Traceback" not in rest


def test_sigterm_ends_the_wait_for_a_first_version(start: Callable[..., Process], tmp_path: Path) -> None:
    server = start(f"--model_base_path={tmp_path}")
    server.read_until("waiting for a version of default")
    code, rest = server.terminate()
    assert code == 0
    assert "Traceback" not in rest


def test_sigterm_ends_a_load_that_does_not_end(start: Callable[..., Process], tmp_path: Path) -> None:
    save(tmp_path / "1")
    write_warmup(tmp_path / "1", "default", [("slow", {"steps": np.array(1 << 60, np.int64)})])
    server = start(f"--model_base_path={tmp_path}", "--drain_seconds=0.1")
    server.read_until("loading default version 1")
    code, rest = server.terminate()
    assert code == 0
    assert "a model still loads" in rest


def slow_request(steps: int) -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = "default"
    request.model_spec.signature_name = "slow"
    request.inputs["steps"].CopyFrom(make_proto(np.array(steps, np.int64)))
    return request


@pytest.mark.parametrize("flags", [(), ("--enable_batching",)])
def test_sigterm_ends_a_request_that_does_not_end(
    start: Callable[..., Process], tmp_path: Path, flags: tuple[str, ...]
) -> None:
    save(tmp_path / "1")
    server = start(f"--model_base_path={tmp_path}", "--drain_seconds=0.5", *flags)
    address = json.loads(server.read_until("listening on"))["message"].split()[-1]
    with grpc.insecure_channel(address) as channel:
        stub = PredictionServiceStub(channel)
        stub.Predict(slow_request(1), timeout=30)
        answer = stub.Predict.future(slow_request(1 << 60))
        with pytest.raises(grpc.FutureTimeoutError):
            answer.result(timeout=0.5)
        code, rest = server.terminate()
        assert answer.code() is grpc.StatusCode.UNAVAILABLE
    assert code == 0
    assert "a request still runs" in rest


def test_sigterm_ends_the_load_of_a_next_version_that_does_not_end(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    models = tmp_path / "models"
    save(models / "1")
    save(tmp_path / "next")
    write_warmup(tmp_path / "next", "default", [("slow", {"steps": np.array(1 << 60, np.int64)})])
    server = start(f"--model_base_path={models}", "--drain_seconds=0.5", "--file_system_poll_wait_seconds=0.1")
    server.read_until("listening on")
    (tmp_path / "next").rename(models / "2")
    server.read_until("loading default version 2")
    code, rest = server.terminate()
    assert code == 0
    assert "a model still loads" in rest


def test_kill_9_while_it_answers_and_loads_loses_nothing_and_needs_no_repair(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    models, socket = tmp_path / "models", f"unix:{tmp_path / 'socket'}"
    save(models / "1")
    flags = (
        f"--model_base_path={models}",
        f"--grpc_socket_path={tmp_path / 'socket'}",
        "--file_system_poll_wait_seconds=0.1",
    )
    server = start(*flags)
    server.read_until("listening on")
    request = slow_request(1 << 60)
    with grpc.insecure_channel(socket) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
        answer = PredictionServiceStub(channel).Predict.future(request, timeout=300)
        save(tmp_path / "next")
        write_warmup(tmp_path / "next", "default", [("slow", {"steps": np.array(1 << 60, np.int64)})])
        (tmp_path / "next").rename(models / "2")
        server.read_until("loading default version 2")
        assert not answer.done()
        before = contents(models)
        server.process.kill()
        assert answer.code() == grpc.StatusCode.UNAVAILABLE
    server.process.wait()
    assert contents(models) == before
    (models / "2" / "assets.extra" / "tf_serving_warmup_requests").unlink()
    again = start(*flags)
    again.read_until("listening on")
    request.model_spec.signature_name = ""
    request.inputs.clear()
    request.inputs["x"].CopyFrom(make_proto(np.array([1, 2], np.float32)))
    request.inputs["query"].CopyFrom(make_proto(["", ""]))
    with grpc.insecure_channel(socket) as channel:
        response = PredictionServiceStub(channel).Predict(request, timeout=30)
    assert response.model_spec.version.value == 2
    assert list(response.outputs["y"].float_val) == [2, 4]
    assert again.terminate()[0] == 0


def contents(folder: Path) -> dict[Path, bytes]:
    """Every file under a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_releases_is_served_in_batches_unless_told_otherwise(tmp_path: Path) -> None:
    own = _batching(parse_flags([f"--models={tmp_path}"]))
    assert own.settings["enable_batching"] is True
    assert own.settings["batching_parameters_file"].name == "batching_parameters.txt"
    told = _batching(parse_flags([f"--models={tmp_path}", "--enable_batching=false"]))
    assert told.settings["enable_batching"] is False
    assert "batching_parameters_file" not in told.settings


def test_models_that_flags_name_are_waited_for_unless_a_flag_says_otherwise(tmp_path: Path) -> None:
    named = f"--model_base_path={tmp_path}"
    assert _waiting(parse_flags([named])).settings["wait_for_versions"] is True
    assert _waiting(parse_flags([named, "--wait_for_versions=false"])).settings["wait_for_versions"] is False
