"""Served latency: p50, p99 and requests a second, closed loop and open loop, batched and not.

    python -m benchmarks.serving                                   the newest fashion release under saved_models/
    python -m benchmarks.serving --model search_exact --clients 1 16 --seconds 10

The server runs in a process of its own, the clients in this one, on the same machine. Asks with the release's own
sample requests (real products in the histories), batch of one, after a warm-up, and prints p50, p99 and requests a
second beside the same graph called in process; one client sends whole batches, too, which tells what the server adds
to the graph. Sixteen clients also ask a server without batching, in turns with the batched one. The open loop sends at
a fixed rate, whether answers come or not, and looks for the highest rate at which p99, counted from when a request was
due, stays under 25 ms, between a quarter of the closed loops' rate and all of it. The last line is JSON. Requests are
serialised beforehand and responses left unread: this measures the server, not the client.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as `tandem serve` has it

import numpy as np

from benchmarks.load import Load, closed_loop, open_loop
from benchmarks.outcome import add_out, finish
from benchmarks.served_release import add_release, check, fashion_release, in_process, requests_of, start_server
from catalog.files import read_json
from evaluation.provenance import describe_machine

BATCHING = Path(__file__).parent.parent / "serving_config" / "batching_parameters.txt"
_WARM_UP_SECONDS = 2.0
_MOST_MILLISECONDS = 25.0
_RATE_STEPS = 5
_LOWEST = 0.25  # of the closed loops' rate


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or fashion_release(arguments.models_dir, arguments.model)
    folder = arguments.models_dir / arguments.model / str(version)
    samples = read_json(arguments.models_dir / "releases" / str(version) / "sample_requests.json")
    machine = describe_machine()
    print(f"{folder}: {len(samples)} sample requests, {arguments.seconds:g} s a row; {', '.join(machine.values())}")
    print(f"\n{'':>24} {'requests':>9} {'p50 ms':>8} {'p99 ms':>8} {'req/s':>8}")
    report: dict[str, Any] = {"p50_ms": {}, "p99_ms": {}, "qps": {}}
    contract, alone = in_process(folder, samples, arguments.batches, arguments.seconds)
    for size, seconds in alone.items():
        _row(f"in process, batch of {size}", Load(seconds, float(seconds.sum()), size), report, f"in_process_{size}")
    requests = requests_of(arguments.model, samples, contract)
    batched, stop_batched = start_server(arguments.model, folder, BATCHING)
    plain, stop_plain = start_server(arguments.model, folder, None)
    try:
        for address in (batched, plain):
            check(address, requests[0])
        report["same_batch_over_in_process"] = {}
        for rows, seconds in alone.items():
            whole = requests_of(arguments.model, samples, contract, rows)
            load = replace(_closed(batched, whole, 1, arguments.seconds), rows=rows)
            _row(f"1 client, requests of {rows}", load, report, f"request_of_{rows}")
            times = float(np.percentile(load.seconds, 50) / np.percentile(seconds, 50))
            report["same_batch_over_in_process"][str(rows)] = round(times, 3)
        for clients in arguments.clients:
            load = _closed(batched, requests, clients, arguments.seconds)
            _row(f"{clients} clients", load, report, str(clients))
        report["batched_over_unbatched"] = _paired(batched, plain, requests, arguments, report)
        most = max(report["qps"][str(clients)] for clients in arguments.clients)
        report["open_loop_from"] = round(_LOWEST * most, 1)
        measure = partial(_open, batched, requests, seconds=arguments.seconds)
        report["qps_at_p99_25ms"] = highest_rate(measure, _LOWEST * most, most)
    finally:
        stop_batched()
        stop_plain()
    largest = max(alone)
    report["served_over_in_process"] = round(
        report["qps"][f"in_process_{largest}"] / report["qps"][str(max(arguments.clients))], 3
    )
    for rows, times in report["same_batch_over_in_process"].items():
        print(f"a request of {rows}: {times:.2f} times its time in process")
    kept = report["qps_at_p99_25ms"]
    shown = f"below {report['open_loop_from']:.0f}" if kept is None else f"{kept:.0f}"
    print(f"open loop: {shown} requests a second at a p99 under {_MOST_MILLISECONDS:g} ms")
    report |= {"model": arguments.model, "version": version}
    finish("serving", report, arguments.out)


def _closed(address: str, requests: list[bytes], clients: int, seconds: float) -> Load:
    closed_loop(address, requests, clients, _WARM_UP_SECONDS)
    return closed_loop(address, requests, clients, seconds)


def _paired(
    batched: str, plain: str, requests: list[bytes], arguments: argparse.Namespace, report: dict[str, Any]
) -> float:
    """Requests a second with batching over without, with the most clients, in turns: the median of three ratios."""
    clients, ratios = max(arguments.clients), []
    for turn in range(3):
        with_batches = _closed(batched, requests, clients, arguments.seconds / 2)
        without = _closed(plain, requests, clients, arguments.seconds / 2)
        ratios.append(with_batches.rate / without.rate)
        _row(f"{clients} clients, pair {turn + 1}", with_batches, report, "")
        _row("without batching", without, report, f"{clients}_unbatched")
    return round(float(np.median(ratios)), 3)


def highest_rate(measure: Callable[[float], Load], low: float, high: float) -> float | None:
    """The highest rate at which no request fails and p99 stays under 25 ms, by bisection; None if `low` is too much.

    Args:
        measure: sends so many requests a second.
        low, high: requests a second; `high` itself is not tried.
    """

    def is_kept(rate: float) -> bool:
        load = measure(rate)
        return load.p99 <= _MOST_MILLISECONDS and not load.failed

    if not is_kept(low):
        return None
    for _ in range(_RATE_STEPS):
        rate = (low + high) / 2
        low, high = (rate, high) if is_kept(rate) else (low, rate)
    return round(low, 1)


def _open(address: str, requests: list[bytes], rate: float, seconds: float) -> Load:
    load = open_loop(address, requests, rate, seconds)
    _row(f"open loop at {rate:.0f}/s", load, {}, "")
    return load


def _row(name: str, load: Load, report: dict[str, Any], key: str) -> None:
    print(f"{name:>24} {len(load.seconds):>9} {load.p50:>8.2f} {load.p99:>8.2f} {load.rate:>8.0f}", flush=True)
    if key:
        for figure, value in (("p50_ms", load.p50), ("p99_ms", load.p99), ("qps", load.rate)):
            report[figure][key] = round(value, 3)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_release(parser)
    parser.add_argument("--model", default="search", help="search or search_exact")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16], help="sizes of the in-process runs")
    parser.add_argument("--seconds", type=float, default=10.0, help="measured a row, after the warm-up")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
