"""The token: as a value, over REST, and over gRPC, where it guards the reload alone."""

import http.client
import json
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import grpc
import pytest

from catalog.errors import ConfigError
from serving.auth import Token, read_token
from serving.errors import Rejection
from serving.http_messages import HttpRequest
from serving.local_server import Server, ServerConfig, serve
from serving.manager import ModelManager
from serving.messages import GetModelStatusRequest, ModelConfig, ModelServiceStub, ModelSpec, ReloadConfigRequest
from serving.rest import RestApi


def test_only_the_very_token_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" s3cret\n", encoding="utf-8")
    token = read_token(path)
    token.check("Bearer s3cret")
    for wrong in ("", "s3cret", "Bearer s3cre", "Bearer s3cret1", "bearer s3cret", "Bearer \udcff"):
        with pytest.raises(Rejection) as error:
            token.check(wrong)
        assert error.value.code is grpc.StatusCode.UNAUTHENTICATED
    assert "s3cret" not in repr(token) + str(error.value)


@pytest.mark.parametrize("text", ["", " \n", "two words", "two\nlines", "ключ"])
def test_a_file_that_holds_no_token(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="token"):
        read_token(path)
    with pytest.raises(ConfigError, match="the token cannot be read: FileNotFoundError"):
        read_token(tmp_path / "absent")
    assert repr(Token("x")) == "Token(...)"


@pytest.fixture(scope="module")
def guarded(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    token = tmp_path_factory.mktemp("token") / "token"
    token.write_text("s3cret", encoding="utf-8")
    config = ServerConfig(
        model_name="scale", model_base_path=exported / "scale", port=0, rest_api_port=0, auth_token_file=token
    )
    server = serve(config)
    yield server
    server.stop()


def test_rest_answers_nobody_without_the_token(guarded: Server) -> None:
    assert guarded.rest_port is not None
    connection = http.client.HTTPConnection("127.0.0.1", guarded.rest_port, timeout=30)
    for path in ("/v1/models/scale", "/nothing"):
        connection.request("GET", path)
        response = connection.getresponse()
        assert (response.status, response.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "needs the server's token" in json.loads(response.read())["error"]
    connection.request("GET", "/v1/models/scale", headers={"Authorization": "Bearer s3cret"})
    response = connection.getresponse()
    assert (response.status, len(json.loads(response.read())["model_version_status"])) == (200, 1)
    connection.close()


def test_a_page_asks_without_the_token_whether_it_may_send_it() -> None:
    api = RestApi(ModelManager(lambda name, path: pytest.fail("nothing to load")), None, True, token=Token("s3cret"))
    headers = Message()
    headers["Origin"] = "https://shop.example"
    asked = api(HttpRequest("OPTIONS", "/v1/models/scale:predict", headers, b""))
    assert (asked.status, asked.body) == (200, b"")
    assert "Authorization" in asked.headers["Access-Control-Allow-Headers"]
    refused = api(HttpRequest("GET", "/v1/models/scale", headers, b""))
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")
    headers["Authorization"] = "Bearer s3cret"
    assert api(HttpRequest("GET", "/v1/models/scale", headers, b"")).status == 404


def test_grpc_asks_for_it_where_models_are_changed(guarded: Server, exported: Path) -> None:
    request = ReloadConfigRequest()
    model = ModelConfig(name="scale", base_path=str(exported / "scale"), model_platform="tensorflow")
    request.config.model_config_list.config.append(model)
    with grpc.insecure_channel(guarded.address) as channel:
        stub = ModelServiceStub(channel)
        for metadata in ([], [("authorization", "Bearer wrong")]):
            with pytest.raises(grpc.RpcError) as error:
                stub.HandleReloadConfigRequest(request, timeout=30, metadata=metadata)
            assert error.value.code() is grpc.StatusCode.UNAUTHENTICATED
        metadata = [("authorization", "Bearer s3cret")]
        assert stub.HandleReloadConfigRequest(request, timeout=30, metadata=metadata).status.error_code == 0
        stub.GetModelStatus(GetModelStatusRequest(model_spec=ModelSpec(name="scale")), timeout=30)
