"""REST against a running server: what TF Serving's api_rest.md promises."""

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from serving.call_record import Call
from serving.errors import ServingError
from serving.local_server import Server, ServerConfig, serve

Ask = Callable[..., tuple[int, Any]]


@pytest.fixture
def ask(shared_server: Server) -> Iterator[Ask]:
    """ask(method, path, document or bytes): status and JSON, over one connection."""
    assert shared_server.rest_port is not None
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.rest_port, timeout=30)

    def send(method: str, path: str, body: object = None) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        connection.request(method, path, data)
        response = connection.getresponse()
        assert response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(response.read())

    yield send
    connection.close()


ROWS = {"instances": [{"x": 1, "text": "a"}, {"x": 2, "text": {"b64": "Yg=="}}]}
COLUMNS = {"inputs": {"x": [1, 2], "text": ["a", "b"]}}


def test_predict_in_rows_and_columns(ask: Ask) -> None:
    rows = [{"y": 3.0, "capitals": "A"}, {"y": 6.0, "capitals": "B"}]
    assert ask("POST", "/v1/models/scale:predict", ROWS) == (200, {"predictions": rows})
    columns = {"y": [3.0, 6.0], "capitals": ["A", "B"]}
    assert ask("POST", "/v1/models/scale:predict", COLUMNS) == (200, {"outputs": columns})
    assert ask("POST", "/V1/MODELS/scale/VERSIONS/1:predict", COLUMNS)[1]["outputs"]["y"] == [2.0, 4.0]
    body = {"signature_name": "fails", "instances": [1, 2, 3]}
    assert ask("POST", "/v1/models/scale:predict", body) == (200, {"predictions": [6, 3, 2]})


def test_classify_and_regress(ask: Ask) -> None:
    examples = {"examples": [{"x": 1.0}, {"x": 2.0}]}
    classes = [[["low", 1.0], ["high", 2.0]], [["low", 2.0], ["high", 4.0]]]
    assert ask("POST", "/v1/models/tf1:classify", examples) == (200, {"results": classes})
    assert ask("POST", "/v1/models/tf1:regress", {"signature_name": "regress", **examples}) == (
        200,
        {"results": [2.0, 4.0]},
    )
    status, answer = ask("POST", "/v1/models/tf1:classify", {"examples": [{"x": [1, "a"]}]})
    assert (status, answer["error"]) == (400, "Unexpected element type in feature: x expecting type: int64")


def test_status_and_metadata(ask: Ask) -> None:
    entry = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    both = {"model_version_status": [entry | {"version": "2"}, entry]}
    assert ask("GET", "/v1/models/scale") == (200, both)
    assert ask("GET", "/v1/models/scale/labels/any") == (200, both), "a label chooses nothing here, as in TF Serving"
    assert ask("GET", "/v1/models/scale/versions/1") == (200, {"model_version_status": [entry]})
    status, answer = ask("GET", "/v1/models/scale/versions/1/metadata")
    assert (status, answer["model_spec"]) == (200, {"name": "scale", "signature_name": "", "version": "1"})
    signature = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert ask("GET", "/v1/models/scale/METADATA") == (200, both), "methods are compared exactly, paths in any case"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("POST", "/v1/models/m:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(m)"),
        ("POST", "/v1/models/a%2Fb:predict", {"instances": [1]}, 404, "Servable not found for request: Latest(a/b)"),
        (
            "POST",
            "/v1/models/scale/versions/9:predict",
            ROWS,
            404,
            "Servable not found for request: Specific(scale, 9)",
        ),
        ("POST", "/v1/models/scale/labels/l:predict", ROWS, 400, "Unrecognized servable version label: l"),
        ("GET", "/v1/models/m", None, 404, "Could not find any versions of model m"),
        ("GET", "/v1/models", None, 400, "Missing model name in request."),
        ("GET", "/v1/models/m/metadata", None, 404, "Servable not found for request: Latest(m)"),
        ("POST", "/v1/models/scale", ROWS, 400, "Malformed request: POST /v1/models/scale"),
        ("GET", "/v1/models/scale:predict", None, 400, "Malformed request: GET /v1/models/scale:predict"),
        ("POST", "/v1/models/scale:PREDICT", ROWS, 400, "Malformed request: POST /v1/models/scale:PREDICT"),
        ("PUT", "/v1/models/scale:predict", ROWS, 400, "Malformed request: PUT /v1/models/scale:predict"),
        ("GET", f"/v1/models/m/versions/{2**64}", None, 400, f"Failed to convert version: {2**64} to numeric."),
        ("GET", "/metrics", None, 404, "Not found: GET /metrics; the API is under /v1/models"),
        ("OPTIONS", "/v1/models/scale", None, 400, "Origin header is missing in CORS preflight"),
        ("POST", "/v1/models/scale:predict", b"{", 400, "Missing a name for object member. at offset: 1"),
        ("POST", "/v1/models/scale:predict", b'{"inputs": [1e400]}', 400, "Number too big to be stored in double."),
        (
            "POST",
            "/v1/models/scale:predict",
            {"signature_name": "s", **ROWS},
            400,
            'Serving signature name: "s" not found in signature def',
        ),
        *(
            (
                "POST",
                f"/v1/models/{model}:{method}",
                b'{"signature_name": "\\udc00", "instances": [1], "examples": [{"x": 1.0}]}',
                400,
                "The surrogate pair in string is invalid.",
            )
            for model, method in (("scale", "predict"), ("tf1", "classify"), ("tf1", "regress"))
        ),
        ("POST", "/v1/models/scale:predict", {"instances": [{"x": 1}]}, 400, "keys must be equal to: text,x"),
        (
            "POST",
            "/v1/models/scale:predict",
            {"signature_name": "fails", "inputs": [0]},
            400,
            "Integer division by zero",
        ),
        ("POST", "/v1/models/scale:classify", {"examples": [{"x": 1}]}, 400, "Expected one input Tensor."),
    ],
)
def test_errors(ask: Ask, method: str, path: str, body: object, status: int, message: str) -> None:
    got, answer = ask(method, path, body)
    assert (got, list(answer)) == (status, ["error"])
    assert message in answer["error"]


def test_the_state_of_a_trace_is_passed_on_as_one(shared_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []

    def span(call: Call, tracestate: str) -> AbstractContextManager[None]:
        states.append(tracestate)
        return nullcontext()

    monkeypatch.setattr("serving.rest.span", span)
    connection = http.client.HTTPConnection("127.0.0.1", shared_server.rest_port, timeout=30)
    connection.putrequest("GET", "/v1/models/scale")
    for state in ("a=b", "c=d"):
        connection.putheader("tracestate", state)
    connection.endheaders()
    assert connection.getresponse().status == 200
    connection.close()
    assert states == ["a=b,c=d"]


def test_a_body_beyond_the_limit_is_refused(ask: Ask) -> None:
    status, answer = ask("POST", "/v1/models/scale:predict", b" " * ((4 << 20) + 1))
    assert (status, answer) == (413, {"error": f"the body exceeds {4 << 20} bytes"})


def test_a_run_beyond_the_timeout_is_504_and_cors_is_answered_where_it_is_on(exported: Path) -> None:
    config = ServerConfig(
        model_name="scale",
        model_base_path=exported / "scale",
        port=0,
        rest_api_port=0,
        rest_api_timeout_in_ms=1,
        rest_api_enable_cors_support=True,
        enable_model_warmup=False,
        file_system_poll_wait_seconds=0,
    )
    server = serve(config)
    assert server.rest_port is not None
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_port, timeout=60)
    connection.request("POST", "/v1/models/scale:predict", b'{"signature_name": "slow", "inputs": 100000000}')
    response = connection.getresponse()
    assert response.status == 504
    assert "Timed out" in json.loads(response.read())["error"]
    connection.request("OPTIONS", "/v1/models/scale:predict", headers={"Origin": "https://shop.example"})
    response = connection.getresponse()
    assert (response.status, response.read()) == (200, b"")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    connection.close()
    server.stop()


def test_a_taken_rest_port_is_said_and_frees_the_grpc_port(shared_server: Server, exported: Path) -> None:
    config = ServerConfig(
        model_name="scale",
        model_base_path=exported / "scale",
        port=0,
        rest_api_port=shared_server.rest_port,
        enable_model_warmup=False,
    )
    with pytest.raises(ServingError, match=f"cannot listen on 127.0.0.1:{shared_server.rest_port}"):
        serve(config)
