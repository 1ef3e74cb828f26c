"""Resident memory of the embedded server: with one version of a release, and with two.

    python -m benchmarks.memory                                     the newest fashion release under saved_models/
    python -m benchmarks.memory --version 2 --requests 100          a short run

For each row a server of its own loads and warms the models, answers `--requests` requests a model, one at a time, and
tells its resident memory. Then the same release is published again as a second version beside the first, and once that
is warm and as many requests are answered, memory is read again. Requests are the release's samples; what a reranker
is given besides, candidates and an embedding, is as in its own warm-up request. Prints a table in MiB; the last line
is JSON. It measures what stays, not what a load takes for a moment.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as `tandem serve` has it

import grpc

from benchmarks.load import PREDICT
from benchmarks.outcome import add_out, finish
from benchmarks.served_release import add_release, fashion_release, sample_requests, start_models
from benchmarks.serving import BATCHING
from benchmarks.version_changes import publish, wait_for
from evaluation.provenance import describe_machine
from serving.messages import ModelServerConfig, ModelServiceStub, PredictRequest
from serving.model_config import single_model_config
from serving.tensors import Array, make_proto
from serving.version_table import State
from serving.warmup import read_warmup

_ROWS = ((), ("search",), ("search_exact",), ("rerank",), ("retrieval_exact", "rerank", "query_tower"))
_POLL_SECONDS = 0.2
_TIMEOUT = 30.0


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or fashion_release(arguments.models_dir, "search")
    machine = describe_machine()
    print(f"release {version}: {arguments.requests} requests a model; {', '.join(machine.values())}")
    print(f"\n{'MiB':>40} {'one version':>13} {'two versions':>13} {'second adds':>13}")
    rows = {}
    for models in _ROWS:
        folders = {model: arguments.models_dir / model / str(version) for model in models}
        name = " + ".join(models) or "no model"
        rows[name] = row(_resident(folders, arguments.requests))
        print(f"{name:>40}", *(f"{value:>13}" for value in rows[name].values()), flush=True)
    finish("memory", {"resident_mib": rows, "requests": arguments.requests, "version": version}, arguments.out)


def keeping_two(bases: Mapping[str, Path]) -> ModelServerConfig:
    """The config of models, the two newest versions of each."""
    config = ModelServerConfig()
    for model, base in bases.items():
        config.MergeFrom(single_model_config(model, base))
        config.model_config_list.config[-1].model_version_policy.latest.num_versions = 2
    return config


def completed(request: bytes, inputs: Mapping[str, Array]) -> bytes:
    """A request with those of `inputs` that it lacks."""
    message = PredictRequest.FromString(request)
    for name in inputs.keys() - message.inputs.keys():
        message.inputs[name].CopyFrom(make_proto(inputs[name]))
    return message.SerializeToString()


def row(resident: Sequence[int]) -> dict[str, int]:
    """What the report says of bytes resident with one version, and perhaps with two: MiB."""
    mib = [round(value / (1 << 20)) for value in resident]
    return {"one": mib[0]} | ({"two": mib[1], "second_adds": mib[1] - mib[0]} if len(mib) > 1 else {})


def _resident(folders: Mapping[str, Path], count: int) -> list[int]:
    """Bytes with one version of each model and with two; once of a server without a model."""
    requests = [data for folder in folders.values() for data in islice(cycle(_requests(folder)), count)]
    resident = []
    with tempfile.TemporaryDirectory() as scratch:
        bases = {model: Path(scratch) / model for model in folders}
        for model, folder in folders.items():
            publish(folder, bases[model], 1)
        server = start_models(keeping_two(bases), BATCHING, file_system_poll_wait_seconds=_POLL_SECONDS)
        try:
            with grpc.insecure_channel(server.address) as channel:
                for newest in (1, 2) if folders else (1,):
                    for model, folder in folders.items():
                        if newest > 1:
                            publish(folder, bases[model], newest)
                        wait_for(ModelServiceStub(channel), model, dict.fromkeys((1, newest), State.AVAILABLE))
                    for data in requests:
                        channel.unary_unary(PREDICT)(data, timeout=_TIMEOUT)
                    resident.append(server.resident)
        finally:
            server.stop()
    return resident


def _requests(folder: Path) -> list[bytes]:
    """The sample requests for a version; what it asks for besides is as in its warm-up request of one row."""
    warm = [inputs for name, inputs in read_warmup(folder) if name == "serving_default" and len(inputs["query"]) == 1]
    return [completed(request, warm[0] if warm else {}) for request in sample_requests(folder)]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_release(parser)
    parser.add_argument("--requests", type=int, default=300, help="a model, before memory is read")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
