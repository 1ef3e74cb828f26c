"""Version changes under load: does a request fail, what do they cost in latency, what stays in memory.

    python -m benchmarks.version_changes                                  50 changes of the newest fashion release
    python -m benchmarks.version_changes --changes 5 --seconds 10         a short run

One release is published again and again under rising numbers, each complete at once, and the number before it removed:
the server loads and warms the new one, moves the requests over and unloads the old one. Requests come at half of what
16 closed-loop clients got answered, whatever happens. Prints latency without and with changes and resident memory
before and after; the last line is JSON. Server and clients share the machine, and so do loading and answering: where a
load takes one of two cores, p99 tells of the machine as much as of the server.
"""

import argparse
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as `tandem serve` has it

import grpc

from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.outcome import add_out, finish
from benchmarks.served_release import ServerProcess, add_release, check, fashion_release, sample_requests, start_models
from benchmarks.serving import BATCHING
from catalog.errors import ArtifactError
from evaluation.provenance import describe_machine
from serving.messages import GetModelStatusRequest, ModelServiceStub
from serving.model_config import single_model_config
from serving.version_table import State

_CLIENTS = 16
_LOAD_SHARE = 0.5  # of the closed loop's rate
_POLL_SECONDS = 0.2
_CHANGE_SECONDS = 120.0
_STATUS_SECONDS = 10.0
_ASK_AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)  # as any call to a full server


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or fashion_release(arguments.models_dir, arguments.model)
    folder = arguments.models_dir / arguments.model / str(version)
    machine = describe_machine()
    requests = sample_requests(folder)
    print(f"{folder}: {arguments.changes} changes; {', '.join(machine.values())}")
    with tempfile.TemporaryDirectory() as base:
        publish(folder, Path(base), 1)
        models = single_model_config(arguments.model, Path(base))
        server = start_models(models, BATCHING, file_system_poll_wait_seconds=_POLL_SECONDS)
        try:
            check(server.address, requests[0])
            report = _measure(server, requests, folder, Path(base), arguments)
        finally:
            server.stop()
    report |= {"model": arguments.model, "version": version}
    finish("version_changes", report, arguments.out)


def publish(folder: Path, base: Path, number: int) -> None:
    """Make `folder` appear as a version of `base`, complete at once, by hard links where that is possible."""
    staging = base / f".staging.{number}"
    shutil.copytree(folder, staging, copy_function=_link)
    staging.rename(base / str(number))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _measure(
    server: ServerProcess, requests: list[bytes], folder: Path, base: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    closed_loop(server.address, requests, _CLIENTS, arguments.seconds / 2)
    rate = arguments.rate or _LOAD_SHARE * closed_loop(server.address, requests, _CLIENTS, arguments.seconds / 2).rate
    print(f"\n{'':>16} {'answers':>9} {'failed':>7} {'p50 ms':>8} {'p99 ms':>8} {'req/s':>8} {'memory MB':>10}")
    steady = open_loop(server.address, requests, rate, arguments.seconds)
    before = server.resident
    _row("no change", steady, before)
    over = threading.Event()
    with ThreadPoolExecutor(1) as sender:
        loaded = sender.submit(
            open_loop, server.address, requests, rate, _CHANGE_SECONDS * arguments.changes, seed=1, until=over
        )
        try:
            seconds, memory = _change(server, arguments.model, folder, base, arguments.changes)
        finally:
            over.set()
        changing = loaded.result()
    _row(f"{arguments.changes} changes", changing, memory[-1])
    after = open_loop(server.address, requests, rate, arguments.seconds, seed=2)
    last = server.resident
    _row("afterwards", after, last)
    print(f"p99 {changing.p99 / steady.p99:.2f} times that without changes; memory {last / before - 1:+.1%}")
    phases = {"steady": steady, "changing": changing, "after": after}
    return {
        "changes": arguments.changes,
        "rate": round(rate, 1),
        "answered_rate": {name: round(load.rate, 1) for name, load in phases.items()},
        "failed": sum(load.failed for load in phases.values()),
        "statuses": dict(changing.statuses),
        "p50_ms": {name: round(load.p50, 2) for name, load in phases.items()},
        "p99_ms": {name: round(load.p99, 2) for name, load in phases.items()},
        "p99_ratio": round(changing.p99 / steady.p99, 3),
        "resident_mb": {"before": before >> 20, "each": [value >> 20 for value in memory], "after": last >> 20},
        "memory_ratio": round(last / before, 4),
        "change_seconds": round(seconds, 2),
    }


def _change(server: ServerProcess, model: str, folder: Path, base: Path, changes: int) -> tuple[float, list[int]]:
    """Change the version so many times: seconds a change, and resident memory after each."""
    memory = []
    started = time.perf_counter()
    with grpc.insecure_channel(server.address) as channel:
        stub = ModelServiceStub(channel)
        for number in range(2, changes + 2):
            publish(folder, base, number)
            wait_for(stub, model, {number: State.AVAILABLE, number - 1: State.END})
            shutil.rmtree(base / str(number - 1))
            memory.append(server.resident)
    return (time.perf_counter() - started) / changes, memory


def wait_for(stub: ModelServiceStub, model: str, wanted: Mapping[int, State]) -> None:
    """Until the versions are in the states `wanted`; one that is gone has ended.

    Raises:
        ArtifactError: if a version does not load, or the states do not come in time.
        grpc.RpcError: if the server refuses to tell them; one that is busy, or gone, is asked again until then.
    """
    request = GetModelStatusRequest()
    request.model_spec.name = model
    until = time.perf_counter() + _CHANGE_SECONDS
    states: dict[int, int] = {}
    unanswered = ""
    while time.perf_counter() < until:
        try:
            answer = stub.GetModelStatus(request, timeout=_STATUS_SECONDS)
        except grpc.RpcError as refused:
            if refused.code() not in _ASK_AGAIN:
                raise
            unanswered = f"; the last call ended in {refused.code().name}: {refused.details()}"
        else:
            states, unanswered = {status.version: status.state for status in answer.model_version_status}, ""
            if all(states.get(number, State.END) == state for number, state in wanted.items()):
                return
        for number, state in wanted.items():
            if state == State.AVAILABLE and states.get(number) == State.END:
                raise ArtifactError(f"version {number} of {model} does not load; the server's log says why")
        time.sleep(_POLL_SECONDS / 4)
    raise ArtifactError(
        f"after {_CHANGE_SECONDS:g} s the versions of {model} are {states}; {dict(wanted)} was wanted{unanswered}"
    )


def _row(name: str, load: Load, resident: int) -> None:
    print(
        f"{name:>16} {len(load.seconds):>9} {load.failed:>7} {load.p50:>8.2f} {load.p99:>8.2f} {load.rate:>8.0f} "
        f"{resident >> 20:>10}",
        flush=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_release(parser)
    parser.add_argument("--model", default="search", help="search or search_exact")
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured before and after the changes")
    parser.add_argument("--rate", type=float, help="requests a second; half of what a closed loop gets by default")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
