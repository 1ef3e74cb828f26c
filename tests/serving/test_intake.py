"""Calls that say nothing, say it twice, or say what cannot be read."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving import grpc_front
from serving.call_record import CallPool
from serving.grpc_front import GrpcFront
from serving.health import check_health
from serving.intake import Line
from serving.local_server import Server, ServerConfig, serve
from serving.manager import ModelManager
from serving.messages import GetModelStatusRequest, ModelServiceStub, PredictRequest, PredictResponse

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SECONDS = 30.0
THREADS = 2


@pytest.fixture(scope="module")
def server(exported: Path) -> Iterator[Server]:
    config = ServerConfig(model_name="scale", model_base_path=exported / "scale", port=0, grpc_threads=THREADS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("serving.grpc_front._PATIENCE", 1.0)  # longer than a call waits here
        running = serve(config)
    yield running
    running.stop()


@pytest.fixture
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as opened:
        yield opened


@pytest.fixture
def good(predict_request: Callable[..., PredictRequest]) -> PredictRequest:
    return predict_request("scale", x=np.ones(1, np.float32), text=["a"])


def says(messages: "queue.Queue[bytes | None]") -> Iterator[bytes]:
    while (message := messages.get()) is not None:
        yield message


def test_calls_that_say_nothing_hold_nobody_up(server: Server, channel: grpc.Channel, good: PredictRequest) -> None:
    mouths: list[queue.Queue[bytes | None]] = [queue.Queue() for _ in range(4 * THREADS)]
    with grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)]) as other:
        silent = [other.stream_unary(PREDICT).future(says(mouth), timeout=SECONDS) for mouth in mouths]
        # A client tries again: who has kept silent for some seconds by then makes room.
        codes, until = Counter[grpc.StatusCode](), time.monotonic() + SECONDS
        while codes[grpc.StatusCode.OK] < 3:
            assert time.monotonic() < until
            call = channel.unary_unary(PREDICT).future(good.SerializeToString(), timeout=0.5)
            codes[call.code()] += 1
        busy = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert codes.keys() <= {grpc.StatusCode.OK, *busy}
        assert codes.keys() & busy, "the calls that say nothing had all threads"
        assert sum(call.done() for call in silent) >= THREADS
        for mouth in mouths:
            mouth.put(None)
        assert {call.code() for call in silent} <= {grpc.StatusCode.CANCELLED, grpc.StatusCode.UNIMPLEMENTED}


@pytest.fixture(scope="module")
def empty() -> Iterator[str]:
    """The address of a server without models."""
    config = ServerConfig(model_name="none", model_base_path=Path("/"), port=0, grpc_threads=THREADS)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("serving.grpc_front._PATIENCE", 0.5)
        patched.setattr("serving.grpc_front._BESIDE", dict.fromkeys(grpc_front._BESIDE, (2, 0.5)))
        front = GrpcFront(config, ModelManager(lambda name, path: pytest.fail("nothing to load")), lambda call: None)
    front.start()
    yield f"127.0.0.1:{front.port}"
    front.stop(0)


SERVICES = [
    *("tensorflow.serving.PredictionService/" + method for method in ("Predict", "Classify", "GetModelMetadata")),
    *("tensorflow.serving.ModelService/" + method for method in ("GetModelStatus", "HandleReloadConfigRequest")),
    *("grpc.health.v1.Health/" + method for method in ("Check", "Watch")),
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
]


@pytest.mark.parametrize("method", SERVICES)
def test_whatever_is_kept_silent_about_everything_else_is_answered(empty: str, method: str) -> None:
    mouths: list[queue.Queue[bytes | None]] = [queue.Queue() for _ in range(4 * THREADS)]
    local = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(empty, local) as silent, grpc.insecure_channel(empty, local) as channel:
        opened = [silent.stream_stream(f"/{method}")(says(mouth), timeout=SECONDS) for mouth in mouths]
        assert check_health(channel, SECONDS / 2) == ""
        models = ModelServiceStub(channel)
        codes, until = Counter[grpc.StatusCode](), time.monotonic() + SECONDS
        while codes[grpc.StatusCode.NOT_FOUND] < 3:
            assert time.monotonic() < until
            status = models.GetModelStatus.future(GetModelStatusRequest(model_spec={"name": "m"}), timeout=2.0)
            codes[status.code()] += 1
        busy = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}
        assert codes.keys() <= {grpc.StatusCode.NOT_FOUND, *busy}
        talk = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        answers = talk(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=SECONDS)
        assert "tensorflow.serving.ModelService" in str(next(answers))
        for mouth in mouths:
            mouth.put(None)
        for call in opened:
            call.cancel()


def test_who_watches_the_health_holds_no_thread(empty: str) -> None:
    with grpc.insecure_channel(empty) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        watches = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS) for _ in range(4 * THREADS)]
        assert {next(watch).status for watch in watches} == {health_pb2.HealthCheckResponse.SERVING}
        assert check_health(channel, SECONDS) == ""
        for watch in watches:
            watch.cancel()


class Caller:
    """The context of a call, which only notes that it was ended."""

    ended = False

    def cancel(self) -> None:
        self.ended = True


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_one_call_that_says_nothing_stays_where_nobody_waits(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of few threads, too: only a second one that says nothing means that threads may soon be wanted."""
    now = iter((0.0, 10.0, 10.0, 20.0))
    monkeypatch.setattr("serving.intake.perf_counter", lambda: next(now))
    line = Line(CallPool(threads, "test", lambda call: None), threads, patience=5.0)
    monkeypatch.setattr(line, "_look_later", lambda: None)
    first, second = Caller(), Caller()
    with line._silence(first):
        line._end_silence()
        assert not first.ended
        with line._silence(second):
            line._end_silence()
            assert first.ended
            assert second.ended


def test_a_request_that_comes_late_is_answered_where_nobody_waits(channel: grpc.Channel, good: PredictRequest) -> None:
    mouth: queue.Queue[bytes | None] = queue.Queue()
    late = channel.stream_unary(PREDICT).future(says(mouth), timeout=SECONDS)
    mouth.put(good.SerializeToString())
    assert list(PredictResponse.FromString(late.result()).outputs["y"].float_val) == [3.0]
    mouth.put(None)


def test_no_message_at_all_and_one_that_is_none(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as none:
        channel.stream_unary(PREDICT)(iter(()), timeout=SECONDS)
    assert none.value.code() is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(grpc.RpcError) as broken:
        channel.unary_unary(PREDICT)(b"\xff\xff\xff", timeout=SECONDS)
    assert (broken.value.code(), broken.value.details()) == (
        grpc.StatusCode.INTERNAL,
        "Exception deserializing request!",
    )
    with pytest.raises(grpc.RpcError) as empty:
        channel.unary_unary(PREDICT)(b"", timeout=SECONDS)
    assert empty.value.details() == "Missing ModelSpec"


def test_a_method_that_is_not_served(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as error:
        channel.unary_unary("/tensorflow.serving.PredictionService/Nothing")(b"", timeout=SECONDS)
    assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
