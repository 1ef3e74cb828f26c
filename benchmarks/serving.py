"""Served latency: one server process, closed-loop clients in this one, on the same machine.

    python -m benchmarks.serving                                   the newest release under saved_models/
    python -m benchmarks.serving --model search_exact --clients 1 16 --seconds 10

Asks with the release's own sample requests (real products in the histories), batch of one, after a warm-up, and
prints p50, p99 and requests a second beside the same graph called in process. The last line is JSON. Requests are
serialised beforehand and responses left unread: this measures the server, not the client. No open loop yet.
"""

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
import numpy as np
import numpy.typing as npt

from catalog.errors import ArtifactError
from catalog.files import read_json
from evaluation.provenance import describe_machine, package_versions
from serving.local_server import ServerConfig, serve
from serving.messages import PredictRequest, PredictResponse
from serving.model_config import single_model_config
from serving.requests import Contract, HistoryEvent, Request, read_contract
from serving.servable import Servable
from serving.tensors import make_proto, to_array

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_START_SECONDS = 180
_WARM_UP_SECONDS = 2.0

Latencies = npt.NDArray[np.float64]


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or _newest(arguments.models_dir / arguments.model)
    folder = arguments.models_dir / arguments.model / str(version)
    samples = read_json(arguments.models_dir / "releases" / str(version) / "sample_requests.json")
    print(f"{folder}: {len(samples)} sample requests, {arguments.seconds:g} s a row")
    machine = describe_machine()
    print(", ".join(machine.values()))

    contract, in_process = measure_in_process(folder, samples, arguments.seconds)
    requests = [predict_request(arguments.model, sample, contract) for sample in samples]
    rows = {"in process": (in_process, len(in_process) / in_process.sum())}
    address, stop = start_server(arguments.model, folder, arguments.grpc_threads)
    try:
        _check(address, requests[0])
        for clients in arguments.clients:
            measure_served(address, requests, clients, _WARM_UP_SECONDS)
            rows[str(clients)] = measure_served(address, requests, clients, arguments.seconds)
    finally:
        stop()
    report = print_table(rows)
    report |= {"model": arguments.model, "version": version, "machine": machine, "versions": package_versions()}
    print(json.dumps({"benchmark": "serving", **report}))


def measure_in_process(folder: Path, samples: list[dict[str, Any]], seconds: float) -> tuple[Contract, Latencies]:
    """Run the graph of `folder` on the samples for `seconds`: what the model asks for, and seconds a call."""
    servable = Servable(folder)
    contract = read_contract(servable.signatures)
    inputs = [_request(sample).inputs(contract) for sample in samples]
    latencies = []
    for duration in (_WARM_UP_SECONDS, seconds):
        latencies = []
        until = time.perf_counter() + duration
        while (started := time.perf_counter()) < until:
            servable.run("serving_default", inputs[len(latencies) % len(inputs)])
            latencies.append(time.perf_counter() - started)
    servable.close()
    return contract, np.array(latencies)


def measure_served(address: str, requests: list[bytes], clients: int, seconds: float) -> tuple[Latencies, float]:
    """Each client sends its next request when it has its answer: seconds a request, and requests a second."""
    latencies: list[list[float]] = [[] for _ in range(clients)]
    failures: list[grpc.RpcError] = []
    until = time.perf_counter() + seconds

    def ask(client: int) -> None:
        # A connection a client, as many backends would have.
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(_PREDICT)
            turn = client * 7
            while (started := time.perf_counter()) < until:
                try:
                    call(requests[turn % len(requests)], timeout=10)
                except grpc.RpcError as error:
                    failures.append(error)
                    return
                latencies[client].append(time.perf_counter() - started)
                turn += 1

    threads = [threading.Thread(target=ask, args=(client,)) for client in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    if failures:
        raise failures[0]
    every = np.concatenate([np.array(own) for own in latencies])
    return every, len(every) / elapsed


def start_server(model: str, folder: Path, grpc_threads: int) -> tuple[str, Any]:
    """Start a server on one version in a process of its own: its address, and what stops it."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(model, folder, grpc_threads, there), daemon=True)
    process.start()
    if not here.poll(_START_SECONDS):
        process.kill()
        raise ArtifactError(f"the server did not start within {_START_SECONDS} s")
    address: str = here.recv()

    def stop() -> None:
        process.terminate()
        process.join()

    return address, stop


def predict_request(model: str, sample: dict[str, Any], contract: Contract) -> bytes:
    """A sample request as it goes over the wire."""
    message = PredictRequest()
    message.model_spec.name = model
    for name, values in _request(sample).inputs(contract).items():
        message.inputs[name].CopyFrom(make_proto(values))
    return message.SerializeToString()


def print_table(rows: dict[str, tuple[Latencies, float]]) -> dict[str, Any]:
    """Print the table; the same numbers by figure and number of clients."""
    print(f"\n{'clients':>10} {'requests':>9} {'p50 ms':>8} {'p99 ms':>8} {'req/s':>8}")
    result: dict[str, Any] = {"p50_ms": {}, "p99_ms": {}, "qps": {}}
    for name, (latencies, rate) in rows.items():
        p50, p99 = np.percentile(latencies * 1000, [50, 99])
        print(f"{name:>10} {len(latencies):>9} {p50:>8.2f} {p99:>8.2f} {rate:>8.0f}")
        for key, value in (("p50_ms", p50), ("p99_ms", p99), ("qps", rate)):
            result[key][name.replace(" ", "_")] = round(float(value), 3)
    return result


def _serve(model: str, folder: Path, grpc_threads: int, pipe: Connection) -> None:
    models = single_model_config(model, folder.parent)
    models.model_config_list.config[0].model_version_policy.specific.versions.append(int(folder.name))
    with tempfile.NamedTemporaryFile("w", suffix=".config") as file:
        file.write(str(models))
        file.flush()
        config = ServerConfig(
            model_config_file=Path(file.name), port=0, grpc_threads=grpc_threads, file_system_poll_wait_seconds=0
        )
        server = serve(config)
    pipe.send(server.address)
    server.wait()


def _check(address: str, request: bytes) -> None:
    with grpc.insecure_channel(address) as channel:
        response = PredictResponse.FromString(channel.unary_unary(_PREDICT)(request, timeout=30))
    products = to_array(response.outputs["product_id"])
    if not products.size or not any(products.ravel().tolist()):
        raise ArtifactError("the served model answers with no products")


def _request(sample: dict[str, Any]) -> Request:
    columns = (sample["history_product_id"], sample["history_kind"], sample["history_timestamp"])
    history = [HistoryEvent(*event) for event in zip(*columns, strict=True) if event[0]]
    return Request(sample["query"], history, timestamp=sample["timestamp"])


def _newest(base: Path) -> int:
    versions = [int(item.name) for item in base.glob("*") if item.name.isdigit()]
    if not versions:
        raise ArtifactError(f"no release under {base}; make one with `tandem run --config CONFIG`")
    return max(versions)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models-dir", type=Path, default=Path("saved_models"))
    parser.add_argument("--model", default="search", help="search or search_exact")
    parser.add_argument("--version", type=int, help="the newest by default")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--seconds", type=float, default=10.0, help="measured a row, after the warm-up")
    parser.add_argument("--grpc-threads", type=int, default=0, help="as in the server's config")
    return parser.parse_args()


if __name__ == "__main__":
    main()
