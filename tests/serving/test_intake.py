"""Calls that say nothing, say it twice, or say what cannot be read."""

import queue
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.local_server import Server, ServerConfig, serve
from serving.messages import PredictRequest, PredictResponse

PREDICT = "/tensorflow.serving.PredictionService/Predict"
SECONDS = 30.0
THREADS = 2


@pytest.fixture(scope="module")
def server(exported: Path) -> Iterator[Server]:
    config = ServerConfig(model_name="scale", model_base_path=exported / "scale", port=0, grpc_threads=THREADS)
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


def test_calls_that_say_nothing_hold_nobody_up(
    server: Server, channel: grpc.Channel, good: PredictRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.intake._SILENT_SECONDS", 1.0)  # longer than a call waits here
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
