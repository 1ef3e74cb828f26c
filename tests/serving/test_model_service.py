import shutil
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import numpy as np
import pytest

from serving.health import check_health
from serving.local_server import ServerConfig, serve
from serving.messages import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelConfig,
    ModelServiceStub,
    PredictionServiceStub,
    PredictRequest,
    ReloadConfigRequest,
)
from serving.tensors import make_proto, to_array

INVALID_ARGUMENT, NOT_FOUND = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


def status_request(name: str, version: int | None = None) -> GetModelStatusRequest:
    request = GetModelStatusRequest()
    request.model_spec.name = name
    if version is not None:
        request.model_spec.version.value = version
    return request


def test_status_lists_versions_newest_first(models: ModelServiceStub) -> None:
    versions = models.GetModelStatus(status_request("scale")).model_version_status
    assert [(entry.version, entry.state, entry.status.error_code) for entry in versions] == [(2, 30, 0), (1, 30, 0)]
    versions = models.GetModelStatus(status_request("scale", 1)).model_version_status
    assert [entry.version for entry in versions] == [1]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (GetModelStatusRequest(), INVALID_ARGUMENT, "Missing ModelSpec"),
        (status_request("m"), NOT_FOUND, "Could not find any versions of model m"),
        (status_request("scale", 9), NOT_FOUND, "Could not find version 9 of model scale"),
    ],
    ids=["no-spec", "model", "version"],
)
def test_status_of_what_is_not_there(
    models: ModelServiceStub, request_: GetModelStatusRequest, code: grpc.StatusCode, message: str
) -> None:
    with pytest.raises(grpc.RpcError) as error:
        models.GetModelStatus(request_)
    assert (error.value.code(), error.value.details()) == (code, message)


@pytest.mark.parametrize("text", ["", "model_config_list { }"])
def test_a_server_without_a_model_answers_and_waits_for_a_reload(text: str, exported: Path, tmp_path: Path) -> None:
    file = tmp_path / "models.config"
    file.write_text(text, encoding="utf-8")
    server = serve(ServerConfig(model_config_file=file, port=0, rest_api_port=0, wait_for_versions=True))
    try:
        assert health_of(server.address) == ""
        with pytest.raises(urllib.error.HTTPError) as missing:  # what a probe by httpGet asks
            urllib.request.urlopen(f"http://127.0.0.1:{server.rest_port}/v1/models/scale", timeout=30)
        assert missing.value.code == 404
        with grpc.insecure_channel(server.address) as channel:
            stub, reload = ModelServiceStub(channel), ReloadConfigRequest()
            path = str(exported / "scale")
            reload.config.model_config_list.config.append(
                ModelConfig(name="scale", base_path=path, model_platform="tensorflow")
            )
            stub.HandleReloadConfigRequest(reload, timeout=60)
            (version,) = stub.GetModelStatus(status_request("scale")).model_version_status
            assert version.state == 30
            del reload.config.model_config_list.config[:]
            stub.HandleReloadConfigRequest(reload, timeout=60)
            (version,) = stub.GetModelStatus(status_request("scale")).model_version_status
            assert version.state == 50
        assert health_of(server.address) == ""
    finally:
        server.stop()


def health_of(address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        return check_health(channel, 10.0)


def test_a_version_without_the_wanted_tags_shows_so(exported: Path, tmp_path: Path) -> None:
    """What is tagged serve and plus_one answers 2 x + 1 and shows its signatures; what is tagged serve loads not."""
    shutil.copytree(exported / "tagged" / "1", tmp_path / "1")
    config = ServerConfig(
        model_name="tagged",
        model_base_path=tmp_path,
        port=0,
        file_system_poll_wait_seconds=0.1,
        saved_model_tags="serve,plus_one",
    )
    server = serve(config)
    try:
        (tmp_path / "2").symlink_to(exported / "scale" / "1")
        with grpc.insecure_channel(server.address) as channel:
            stub, until = ModelServiceStub(channel), time.monotonic() + 30
            versions = stub.GetModelStatus(status_request("tagged")).model_version_status
            while [version.state for version in versions] != [50, 30]:
                assert time.monotonic() < until
                versions = stub.GetModelStatus(status_request("tagged")).model_version_status
            request = PredictRequest(inputs={"x": make_proto(np.array([3.0], np.float32))})
            request.model_spec.name = "tagged"
            answer = PredictionServiceStub(channel).Predict(request)
            asked = GetModelMetadataRequest(metadata_field=["signature_def"])
            asked.model_spec.name = "tagged"
            metadata = PredictionServiceStub(channel).GetModelMetadata(asked).metadata["signature_def"]
    finally:
        server.stop()
    assert [(version.version, version.status.error_code) for version in versions] == [(2, 5), (1, 0)]
    message = versions[0].status.error_message
    assert message.startswith("Could not find meta graph def matching supplied tags: { ")
    assert to_array(answer.outputs["y"]).tolist() == [7.0]
    assert b"plus_one" in metadata.value


def test_reload_answers_and_refuses(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "scale" / "1", tmp_path / "1")
    config = ServerConfig(model_name="scale", model_base_path=tmp_path, port=0, file_system_poll_wait_seconds=0)
    server = serve(config)
    with grpc.insecure_channel(server.address) as channel:
        stub = ModelServiceStub(channel)
        request = ReloadConfigRequest()
        with pytest.raises(grpc.RpcError) as error:
            stub.HandleReloadConfigRequest(request)
        assert error.value.code() is INVALID_ARGUMENT
        models = request.config.model_config_list.config
        models.append(ModelConfig(name="again", base_path=str(tmp_path), model_platform="tensorflow"))
        loads = "/tensorflow/cc/saved_model/load_attempt_count"
        request.metric_names.extend([loads, "made-up", loads])
        response = stub.HandleReloadConfigRequest(request)
        assert response.status.error_code == 0
        assert [(each.name, each.int64_value_increase) for each in response.metric] == [(loads, 1), ("made-up", 0)]
        assert stub.GetModelStatus(status_request("again")).model_version_status[0].state == 30
        assert stub.GetModelStatus(status_request("scale")).model_version_status[0].state == 50
        models.append(models[0])
        with pytest.raises(grpc.RpcError, match="Illegal to list model again multiple times"):
            stub.HandleReloadConfigRequest(request)
    server.stop()
