"""A release as the serving benchmarks ask for it: in process, and in a server of its own."""

import argparse
import logging
import multiprocessing
import struct
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.load import PREDICT, Seconds
from catalog.errors import ArtifactError, TandemError
from catalog.files import read_json
from serving.local_server import ServerConfig, serve
from serving.messages import ModelServerConfig, PredictRequest, PredictResponse
from serving.model_config import single_model_config
from serving.process import resident_bytes
from serving.requests import Contract, HistoryEvent, Request, read_contract
from serving.servable import Servable, Threads
from serving.tensors import Array, make_proto, to_array

_START_SECONDS = 180
_WARM_UP_SECONDS = 2.0


def add_release(parser: argparse.ArgumentParser) -> None:
    """The options that name the release; without a version `fashion_release` finds it."""
    parser.add_argument("--models-dir", type=Path, default=Path("saved_models"))
    parser.add_argument("--version", type=int, help="the newest fashion release by default, else the newest")


def fashion_release(models_dir: Path, model: str) -> int:
    """The newest release of a shop called fashion that holds `model`; the newest of any shop where there is none.

    Raises:
        ArtifactError: if there is no release.
    """
    versions = sorted((int(item.name) for item in (models_dir / model).glob("*") if item.name.isdigit()), reverse=True)
    if not versions:
        raise ArtifactError(f"no release under {models_dir / model}; make one with `tandem run --config CONFIG`")
    for version in versions:
        try:
            manifest = read_json(models_dir / "releases" / str(version) / "manifest.json")
        except TandemError:
            continue
        if manifest.get("name") == "fashion":
            return version
    return versions[0]


def in_process(
    folder: Path, samples: list[dict[str, Any]], sizes: list[int], seconds: float
) -> tuple[Contract, dict[int, Seconds]]:
    """Run the graph of `folder` on batches of samples for `seconds` each: what the model asks for, seconds a run."""
    servable = Servable(folder, Threads(intra_op=1))  # as the server's
    contract = read_contract(servable.signatures)
    inputs = [_request(sample).inputs(contract) for sample in samples]
    measured = {}
    for size in sizes:
        batches = [_batch(inputs, turn, size) for turn in range(len(inputs))]
        latencies: list[float] = []
        for duration in (_WARM_UP_SECONDS, seconds):
            latencies = []
            until = time.perf_counter() + duration
            while (started := time.perf_counter()) < until:
                servable.run("serving_default", batches[len(latencies) % len(batches)])
                latencies.append(time.perf_counter() - started)
        measured[size] = np.array(latencies)
    servable.close()
    return contract, measured


def sample_requests(folder: Path) -> list[bytes]:
    """The sample requests of the release that the version `folder` is of, as they go over the wire."""
    model, release = folder.parent, folder.parent.parent / "releases" / folder.name
    return requests_of(model.name, read_json(release / "sample_requests.json"), contract_of(folder))


def contract_of(folder: Path) -> Contract:
    """What the version `folder` of a model asks for."""
    servable = Servable(folder)
    contract = read_contract(servable.signatures)
    servable.close()
    return contract


def requests_of(model: str, samples: list[dict[str, Any]], contract: Contract, rows: int = 1) -> list[bytes]:
    """As many requests as samples, of `rows` samples each, as they go over the wire."""
    inputs = [_request(sample).inputs(contract) for sample in samples]
    return [_serialised(model, _batch(inputs, turn, rows)) for turn in range(len(inputs))]


@dataclass(frozen=True)
class ServerProcess:
    """A server in a process of its own.

    Attributes:
        address: of gRPC, host:port.
        rest_port: of REST; None for none.
        pid: of the process.
        stop: ends it.
    """

    address: str
    rest_port: int | None
    pid: int
    stop: Callable[[], None]

    @property
    def resident(self) -> int:
        """Bytes of memory that are resident now.

        Raises:
            ArtifactError: if the process has ended.
        """
        if resident := resident_bytes(self.pid):
            return resident
        raise ArtifactError("the server's process has ended; its output says why")


def start_server(model: str, folder: Path, batching: Path | None) -> tuple[str, Callable[[], None]]:
    """Start a server on one version in a process of its own: its address, and what stops it."""
    server = start_models(pinned({model: folder}), batching, file_system_poll_wait_seconds=0)
    return server.address, server.stop


def pinned(folders: Mapping[str, Path]) -> ModelServerConfig:
    """The config of models, each of one version."""
    config = ModelServerConfig()
    for model, folder in folders.items():
        config.MergeFrom(single_model_config(model, folder.parent))
        config.model_config_list.config[-1].model_version_policy.specific.versions.append(int(folder.name))
    return config


def start_models(
    models: ModelServerConfig, batching: Path | None, answered: Path | None = None, **settings: Any
) -> ServerProcess:
    """Start a server in a process of its own.

    Args:
        models: what it serves.
        batching: its batching_parameters_file; None for no batching.
        answered: where it writes how long it had each Predict call of gRPC that it answered (`answer_seconds`).
        settings: of ServerConfig.

    Raises:
        ArtifactError: if it does not answer in time.
    """
    settings |= {
        "port": 0,
        "log_requests": answered is not None,
        "enable_batching": batching is not None,
        "batching_parameters_file": batching,
    }
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(str(models), settings, answered, there), daemon=True)
    process.start()
    if not here.poll(_START_SECONDS):
        process.kill()
        raise ArtifactError(f"the server did not start within {_START_SECONDS} s")
    address, rest_port = here.recv()
    assert process.pid is not None

    def stop() -> None:
        process.terminate()
        process.join()

    return ServerProcess(address, rest_port, process.pid, stop)


def check(address: str, request: bytes) -> None:
    """Ask once; ArtifactError where no product comes."""
    with grpc.insecure_channel(address) as channel:
        response = PredictResponse.FromString(channel.unary_unary(PREDICT)(request, timeout=30))
    products = to_array(response.outputs["product_id"])
    if not products.size or not any(products.ravel().tolist()):
        raise ArtifactError("the served model answers with no products")


class _AnswerLog(logging.Handler):
    """Writes the milliseconds of the server's own line about each answered call, eight bytes each."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=0)  # the server may be killed

    def emit(self, record: logging.LogRecord) -> None:
        line = getattr(record, "fields", {})
        if (line.get("entrypoint"), line.get("api"), line.get("status")) == ("GRPC", "Predict", "OK"):
            self._file.write(struct.pack("d", line["milliseconds"]))


def log_answers(answered: Path) -> None:
    """Let a server of this process, one that logs requests, write `answered`, and nothing else about them."""
    requests = logging.getLogger("serving.requests")
    requests.setLevel(logging.INFO)
    requests.propagate = False
    requests.handlers = [_AnswerLog(answered)]


def answer_seconds(answered: Path) -> Seconds:
    """[answers] how long the server of `start_models` had each call, from when gRPC handed it over to its answer.

    Of every Predict over gRPC that ended OK, whoever sent it and whichever model it asked.
    """
    return np.fromfile(answered) / 1000.0


def _serve(models: str, settings: dict[str, Any], answered: Path | None, pipe: Connection) -> None:
    if answered is not None:
        log_answers(answered)
    with tempfile.NamedTemporaryFile("w", suffix=".config") as file:
        file.write(models)
        file.flush()
        server = serve(ServerConfig(model_config_file=Path(file.name), **settings))
    pipe.send((server.address, server.rest_port))
    server.wait()


def _serialised(model: str, inputs: dict[str, Array]) -> bytes:
    message = PredictRequest()
    message.model_spec.name = model
    for name, values in inputs.items():
        message.inputs[name].CopyFrom(make_proto(values))
    return message.SerializeToString()


def _batch(inputs: list[dict[str, Array]], turn: int, size: int) -> dict[str, Array]:
    chosen = [inputs[(turn * size + place) % len(inputs)] for place in range(size)]
    return {name: np.concatenate([one[name] for one in chosen]) for name in inputs[0]}


def _request(sample: dict[str, Any]) -> Request:
    columns = (sample["history_product_id"], sample["history_kind"], sample["history_timestamp"])
    history = [HistoryEvent(*event) for event in zip(*columns, strict=True) if event[0]]
    user = {name.removeprefix("user_"): value for name, value in sample.items() if name.startswith("user_")}
    return Request(sample["query"], history, user, timestamp=sample["timestamp"])
