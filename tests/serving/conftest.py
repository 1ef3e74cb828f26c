"""Tiny SavedModels, made once a session, servers in this process, real and scripted, and both clients."""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from serving.async_client import AsyncSearchClient
from serving.client import ClientConfig, SearchClient
from serving.local_server import Server, ServerConfig, serve
from serving.messages import (
    ModelConfig,
    ModelServerConfig,
    ModelServiceStub,
    PredictionServiceStub,
    PredictRequest,
)
from serving.tensors import make_proto
from serving.warmup import write_warmup
from tests.serving.scripted import Behaviour, ScriptedServer

HISTORY, PICTURE, CANDIDATES, DIM = 4, 8, 3, 2


class Scale(tf.Module):
    """y = factor * x, and text in capitals; `fails` divides by zero for x = 0."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x"), tf.TensorSpec([None], tf.string, "text")])
    def scale(self, x: tf.Tensor, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": self.factor * x, "capitals": tf.strings.upper(text)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "x")])
    def fails(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 6 // x}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "steps")])
    def slow(self, steps: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.ones([200, 200])
        for _ in tf.range(steps):
            x = x @ x / 200.0
        return {"sum": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name) for name in ("started", "until")])
    def held(self, started: tf.Tensor, until: tf.Tensor) -> dict[str, tf.Tensor]:
        """Makes a file, and answers when there is another one. A thread that runs graphs waits with it."""
        with tf.control_dependencies([tf.io.write_file(started, "")]):
            looks = tf.identity(1)
        while tf.equal(tf.size(tf.io.matching_files(until)), 0):
            looks += 1
        return {"looks": looks}


def save_scale(path: Path, factor: float, warmup: bool = True) -> None:
    module = Scale(factor)
    signatures = {"serving_default": module.scale, "fails": module.fails, "slow": module.slow, "held": module.held}
    tf.saved_model.save(module, str(path), signatures=signatures)
    if warmup:
        write_warmup(path, "scale", [("serving_default", {"x": np.ones(1, np.float32), "text": ["warm"]})])


def _request_specs(length: int) -> dict[str, tf.TensorSpec]:
    return {
        "query": tf.TensorSpec([None], tf.string, "query"),
        "history_product_id": tf.TensorSpec([None, length], tf.string, "history_product_id"),
        "history_kind": tf.TensorSpec([None, length], tf.string, "history_kind"),
        "history_timestamp": tf.TensorSpec([None, length], tf.int64, "history_timestamp"),
        "timestamp": tf.TensorSpec([None], tf.int64, "timestamp"),
        "user_country": tf.TensorSpec([None], tf.string, "user_country"),
    }


def _candidates(inputs: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """The query, the newest history item and the country, as if they were product ids; an empty id is a hole."""
    ids = tf.stack([inputs["query"], inputs["history_product_id"][:, -1], inputs["user_country"]], axis=1)
    return ids, tf.tile([[3.0, 2.0, 1.0]], [tf.shape(ids)[0], 1])


def _searched(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    ids, scores = _candidates(inputs)
    brightness = tf.reduce_mean(tf.cast(inputs.get("query_image", tf.zeros([1, 1])), tf.float32))
    outputs = {"product_id": ids, "score": scores, "retrieval_score": scores / 10.0}
    for name in ("click_probability", "cart_probability", "purchase_probability"):
        outputs[name] = tf.zeros_like(scores) + brightness / 255.0
    outputs["score"] += tf.cast(inputs["timestamp"][:, None], tf.float32) * 0.0
    return outputs


def save_search(path: Path, length: int = HISTORY) -> None:
    module = tf.Module()
    specs = _request_specs(length)
    with_image = specs | {"query_image": tf.TensorSpec([None, PICTURE, PICTURE, 3], tf.uint8, "query_image")}

    def concrete(function: Callable[..., object], inputs: dict[str, tf.TensorSpec]) -> object:
        return tf.function(lambda **tensors: function(tensors)).get_concrete_function(**inputs)

    signatures = {"serving_default": concrete(_searched, specs), "with_image": concrete(_searched, with_image)}
    tf.saved_model.save(module, str(path), signatures=signatures)


def save_retrieval(path: Path, length: int = HISTORY) -> None:
    def retrieve(**inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        ids, scores = _candidates(inputs)
        return {"product_id": ids, "score": scores, "query_embedding": tf.ones([tf.shape(ids)[0], DIM])}

    specs = _request_specs(length)
    with_image = specs | {"query_image": tf.TensorSpec([None, PICTURE, PICTURE, 3], tf.uint8, "query_image")}
    signatures = {
        "serving_default": tf.function(retrieve).get_concrete_function(**specs),
        "with_image": tf.function(retrieve).get_concrete_function(**with_image),
    }
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def save_rerank(path: Path, length: int = HISTORY, pictures: bool = True) -> None:
    """Turns the order of retrieval round: score = -candidate_score; the click probability is their sum with 1.

    What pictures found stays in the order of retrieval: score = candidate_score.
    """

    def rerank(sign: float, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        score = sign * inputs["candidate_score"]
        return {
            "score": score,
            "click_probability": 1.0 + score / 10.0,
            "cart_probability": score * 0.0 + tf.reduce_sum(inputs["query_embedding"], axis=1, keepdims=True),
            "purchase_probability": score * 0.0,
        }

    specs = _request_specs(length) | {
        "query_embedding": tf.TensorSpec([None, DIM], tf.float32, "query_embedding"),
        "candidate_product_id": tf.TensorSpec([None, CANDIDATES], tf.string, "candidate_product_id"),
        "candidate_score": tf.TensorSpec([None, CANDIDATES], tf.float32, "candidate_score"),
    }
    signatures = {
        name: tf.function(lambda sign=sign, **inputs: rerank(sign, inputs)).get_concrete_function(**specs)
        for name, sign in (("serving_default", -1.0), ("found_with_image", 1.0))
        if pictures or name == "serving_default"
    }
    tf.saved_model.save(tf.Module(), str(path), signatures=signatures)


def save_tf1(path: Path) -> None:
    """A TF1 graph over tf.Examples with one feature x: classes and scores, and the regression 2 x."""
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        serialized = v1.placeholder(tf.string, [None], "examples")
        x = v1.parse_example(serialized, {"x": v1.FixedLenFeature([], tf.float32)})["x"]
        weight = v1.get_variable("weight", initializer=2.0)
        scores = tf.stack([x, weight * x], axis=1)
        classes = tf.tile([["low", "high"]], [tf.shape(x)[0], 1])
        session.run(v1.global_variables_initializer())
        signature = v1.saved_model.signature_def_utils
        builder = v1.saved_model.Builder(str(path))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {
                "serving_default": signature.classification_signature_def(serialized, classes, scores),
                "regress": signature.regression_signature_def(serialized, weight * x),
            },
        )
        builder.save()


def save_tagged(path: Path) -> None:
    """Two TF1 graphs over the variable 2: y = 2 x tagged serve, y = 2 x + 1 tagged serve and plus_one, with warm-up."""
    v1 = tf.compat.v1
    builder = v1.saved_model.Builder(str(path))
    for tags, added in ((["serve"], 0.0), (["serve", "plus_one"], 1.0)):
        with tf.Graph().as_default(), v1.Session() as session:
            x = v1.placeholder(tf.float32, [None], "x")
            y = v1.get_variable("weight", initializer=2.0) * x + added
            definition = v1.saved_model.signature_def_utils.predict_signature_def({"x": x}, {"y": y})
            if added:
                builder.add_meta_graph(tags, {"serving_default": definition, "plus_one": definition})
            else:
                session.run(v1.global_variables_initializer())
                builder.add_meta_graph_and_variables(session, tags, {"serving_default": definition})
    builder.save()
    write_warmup(path, "tagged", [("plus_one", {"x": np.ones(1, np.float32)})])


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One export of each model, to copy into a test's own base path."""
    root = tmp_path_factory.mktemp("exported")
    save_scale(root / "scale" / "1", 2.0)
    save_scale(root / "scale" / "2", 3.0)
    save_search(root / "search" / "1")
    save_search(root / "search" / "2", length=6)
    save_retrieval(root / "retrieval" / "1")
    save_rerank(root / "rerank" / "1")
    save_rerank(root / "rerank_of_words" / "1", pictures=False)
    save_rerank(root / "rerank" / "2", length=6)
    save_tf1(root / "tf1" / "1")
    save_tagged(root / "tagged" / "1")
    return root


@pytest.fixture(scope="session")
def shared_server(exported: Path) -> Iterator[Server]:
    """A server with every model; tests change nothing in it."""
    config = exported / "models.config"
    models = "".join(
        f'config {{ name: "{name}" base_path: "{exported / name}" model_platform: "tensorflow" '
        f"model_version_policy {{ all {{}} }} }}\n"
        for name in ("scale", "tf1", "search")
    )
    config.write_text(f"model_config_list {{ {models} }}", encoding="utf-8")
    monitoring = exported / "monitoring.config"
    monitoring.write_text("prometheus_config { enable: true }", encoding="utf-8")
    settings = {"model_config_file": config, "monitoring_config_file": monitoring, "max_message_bytes": 4 << 20}
    server = serve(ServerConfig(port=0, rest_api_port=0, **settings))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def prediction(shared_server: Server) -> Iterator[PredictionServiceStub]:
    with grpc.insecure_channel(shared_server.address) as channel:
        yield PredictionServiceStub(channel)


@pytest.fixture(scope="session")
def models(shared_server: Server) -> Iterator[ModelServiceStub]:
    with grpc.insecure_channel(shared_server.address) as channel:
        yield ModelServiceStub(channel)


@pytest.fixture(scope="session")
def predict_request() -> Callable[..., PredictRequest]:
    """predict_request(model, signature, x=[...], ...): a request with these inputs."""

    def build(model: str, signature: str = "", /, **inputs: object) -> PredictRequest:
        request = PredictRequest()
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(make_proto(values))
        return request

    return build


@pytest.fixture(scope="session")
def add_version(exported: Path) -> Callable[[Path, str, int, int], None]:
    """add_version(base_path, model, exported version, as version): copy beside, then rename, as a release does."""

    def add(base: Path, model: str, source: int, version: int) -> None:
        base.mkdir(parents=True, exist_ok=True)
        staging = base / f".staging.{version}"
        shutil.copytree(exported / model / str(source), staging)
        staging.rename(base / str(version))

    return add


@pytest.fixture
def serve_models(exported: Path, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """serve_models("retrieval", search_exact="search"): a server of copies of these exports under these names."""
    servers = []

    def start(*names: str, **renamed: str) -> Server:
        config = ModelServerConfig()
        for name, source in {**{name: name for name in names}, **renamed}.items():
            shutil.copytree(exported / source / "1", tmp_path / name / "1")
            model = ModelConfig(name=name, base_path=str(tmp_path / name), model_platform="tensorflow")
            config.model_config_list.config.append(model)
        path = tmp_path / "models.config"
        path.write_text(str(config), encoding="utf-8")
        servers.append(serve(ServerConfig(model_config_file=path, port=0, file_system_poll_wait_seconds=0.1)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


class AwaitedClient:
    """An AsyncSearchClient behind the methods of a SearchClient."""

    def __init__(self, config: ClientConfig, loop: asyncio.AbstractEventLoop) -> None:
        self._client = AsyncSearchClient(config=config)
        self._loop = loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **named: asyncio.run_coroutine_threadsafe(method(*args, **named), self._loop).result()


@pytest.fixture(scope="session")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(params=["sync", "async"])
def connect(request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop) -> Iterator[Callable[..., SearchClient]]:
    """connect(address, hedge_after=1): a client; every test that takes this runs with either."""
    clients = []

    def open_client(address: str | tuple[str, ...], **settings: object) -> Any:
        config = ClientConfig(**{"address": address, "timeout": 30.0, "initial_backoff": 0.01, **settings})
        clients.append(SearchClient(config=config) if request.param == "sync" else AwaitedClient(config, loop))
        return clients[-1]

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., ScriptedServer]]:
    """scripted(search=[fails(...), answer]): a server with a script for each of these models."""
    servers = []

    def start(credentials: grpc.ServerCredentials | None = None, **scripts: list[Behaviour]) -> ScriptedServer:
        servers.append(ScriptedServer(scripts, credentials))
        return servers[-1]

    yield start
    for server in servers:
        server.server.stop(None).wait()
