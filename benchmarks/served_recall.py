"""Recall over the wire: the served `retrieval` (ScaNN) against the served `retrieval_exact` of the same release.

    python -m benchmarks.served_recall                              1,000 queries to the newest fashion release
    python -m benchmarks.served_recall --queries 200                a short run

Asks both models over gRPC the same questions and compares the first hundred products of each: what the index was tuned
to must be what the server answers with. The questions are the release's sample requests, then the query of one with
the history of another; both models see the same, and words find them the same products. Prints a table; the last line
is JSON. It measures the index, not the quality: whether the nearest products are the right ones is the report's
business.
"""

import argparse
import json
import os
from itertools import islice
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as `tandem serve` has it

import grpc
import numpy as np

from benchmarks.load import PREDICT
from benchmarks.outcome import add_out, finish
from benchmarks.served_release import add_release, contract_of, fashion_release, pinned, requests_of, start_models
from benchmarks.serving import BATCHING
from catalog.files import read_json
from evaluation.provenance import describe_machine
from serving.messages import PredictResponse
from serving.tensors import to_array

_MODELS = ("retrieval", "retrieval_exact")
_IN_FLIGHT = 16
_TIMEOUT = 30.0


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or fashion_release(arguments.models_dir, _MODELS[0])
    folders = {model: arguments.models_dir / model / str(version) for model in _MODELS}
    release = arguments.models_dir / "releases" / str(version)
    samples = crossed(read_json(release / "sample_requests.json"), arguments.queries)
    contract = contract_of(folders["retrieval"])
    machine = describe_machine()
    print(f"release {version}: {len(samples)} queries, k {arguments.k}; {', '.join(machine.values())}")
    server = start_models(pinned(folders), BATCHING, file_system_poll_wait_seconds=0)
    try:
        found, exact = (_ask(server.address, requests_of(model, samples, contract)) for model in _MODELS)
    finally:
        server.stop()
    shares = np.array([recall(some, every, arguments.k) for some, every in zip(found, exact, strict=True)])
    mean, worst = float(shares.mean()), float(shares.min())
    print(f"\n{'recall':>10} {'worst':>8} {'1st perc.':>10} {'all found':>10}")
    low, whole = float(np.percentile(shares, 1)), float((shares == 1.0).mean())
    print(f"{mean:>10.4f} {worst:>8.2f} {low:>10.2f} {whole:>10.1%}")
    report = {"queries": len(samples), "k": arguments.k, "recall": round(mean, 5), "worst": worst, "all_found": whole}
    report |= {"percentile_1": low, "version": version}
    finish("served_recall", report, arguments.out)


def crossed(samples: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """`count` different questions: the samples, then the query of each with the history of the next, and so on.

    Raises:
        ValueError: if there are not as many.
    """
    made = (
        samples[(place + shift) % len(samples)] | {"query": samples[place]["query"]}
        for shift in range(len(samples))
        for place in range(len(samples))
    )
    different = {json.dumps(sample, sort_keys=True): sample for sample in islice(made, 2 * count + len(samples))}
    if len(different) < count:
        raise ValueError(f"{len(samples)} samples make {len(different)} different questions; {count} are wanted")
    return list(different.values())[:count]


def recall(found: list[bytes], exact: list[bytes], k: int) -> float:
    """Share of the first `k` products of `exact` that are among the first `k` of `found`; places without one aside.

    Raises:
        ValueError: if `exact` holds no product.
    """
    wanted = set(exact[:k]) - {b""}
    if not wanted:
        raise ValueError("exact search answers with no product")
    return len(wanted & set(found[:k])) / len(wanted)


def _ask(address: str, requests: list[bytes]) -> list[list[bytes]]:
    """The products of each answer, in order."""
    products = []
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(PREDICT)
        for start in range(0, len(requests), _IN_FLIGHT):
            futures = [call.future(request, timeout=_TIMEOUT) for request in requests[start : start + _IN_FLIGHT]]
            for future in futures:
                response = PredictResponse.FromString(future.result())
                products.append(to_array(response.outputs["product_id"])[0].tolist())
    return products


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_release(parser)
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
