"""What gRPC listens on, and what it tells about its health."""

import threading
from collections.abc import Callable
from pathlib import Path

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from catalog.errors import ConfigError
from serving.grpc_front import GrpcFront, channel_arguments
from serving.local_server import ServerConfig, serve
from serving.manager import ModelManager
from serving.messages import (
    GetModelStatusRequest,
    ModelServerConfig,
    ModelServiceStub,
    PredictionServiceStub,
    PredictRequest,
    ReloadConfigRequest,
)


def test_channel_arguments_are_numbers_or_text() -> None:
    text = "grpc.max_connection_age_ms=2000, grpc.primary_user_agent=shop,"
    assert channel_arguments(text) == [("grpc.max_connection_age_ms", 2000), ("grpc.primary_user_agent", "shop")]
    assert channel_arguments("") == []
    numbers = {"2147483647": 2**31 - 1, "-2147483648": -(2**31), "+5": 5, "2147483648": "2147483648", "1_0": "1_0"}
    for text, value in (numbers | {"9" * 5000: "9" * 5000}).items():
        assert channel_arguments(f"a={text}") == [("a", value)]
    with pytest.raises(ConfigError, match="received 'alone', expected name=value"):
        channel_arguments("a=1,alone")


def test_a_unix_socket_alone_answers_and_the_health_check_can_be_left_out(
    exported: Path, tmp_path: Path, predict_request: Callable[..., PredictRequest]
) -> None:
    config = ServerConfig(
        model_name="scale",
        model_base_path=exported / "scale",
        port=None,
        grpc_socket_path=tmp_path / "s.sock",
        grpc_channel_arguments="grpc.max_connection_idle_ms=60000",
        enable_grpc_healthcheck_service=False,
        enable_serialization_as_tensor_content=True,
        num_request_iterations_for_warmup=2,
    )
    server = serve(config)
    try:
        assert server.address == f"unix:{tmp_path / 's.sock'}"
        with grpc.insecure_channel(server.address) as channel:
            request = predict_request("scale", x=np.ones(2, np.float32), text=["a", "b"])
            response = PredictionServiceStub(channel).Predict(request, timeout=10)
            assert response.outputs["y"].tensor_content == np.array([3.0, 3.0], np.float32).tobytes()
            with pytest.raises(grpc.RpcError) as error:
                health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
            assert error.value.code() is grpc.StatusCode.UNIMPLEMENTED
    finally:
        server.stop()
    assert not (tmp_path / "s.sock").exists()


def test_who_watches_the_health_holds_up_nobody_who_stops_the_server(exported: Path) -> None:
    config = ServerConfig(model_name="scale", model_base_path=exported / "scale", port=0, drain_seconds=3600)
    server = serve(config)
    with grpc.insecure_channel(server.address) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        assert server.stop()
        assert [answer.status for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]


def test_configs_that_wait_for_their_models_hold_up_nothing_else() -> None:
    came, held = threading.Event(), threading.Event()

    class Held(ModelManager):
        def reload(self, config: ModelServerConfig) -> None:
            came.set()
            held.wait(60)

    config = ServerConfig(model_name="none", model_base_path=Path("/"), port=0, grpc_threads=2)
    front = GrpcFront(config, Held(lambda name, path: pytest.fail("nothing to load")), lambda call: None)
    front.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{front.port}") as channel:
            stub, reload = ModelServiceStub(channel), ReloadConfigRequest()
            reload.config.model_config_list.SetInParent()
            waiting = [stub.HandleReloadConfigRequest.future(reload, timeout=60) for _ in range(8)]
            assert came.wait(20)
            with pytest.raises(grpc.RpcError) as error:
                stub.GetModelStatus(GetModelStatusRequest(model_spec={"name": "m"}), timeout=10)
            assert error.value.code() is grpc.StatusCode.NOT_FOUND
            held.set()
            assert {call.code() for call in waiting} == {grpc.StatusCode.OK}
    finally:
        held.set()
        front.stop(0)
