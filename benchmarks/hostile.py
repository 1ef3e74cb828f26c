"""Good, bad and hostile traffic at twice the capacity: is what is answered right, in time, and does memory stay flat.

    python -m benchmarks.hostile                                   ten minutes on the newest fashion release
    python -m benchmarks.hostile --seconds 30                      a short run

A server of the release's search and rerank models runs in a process of its own, attackers in another. First every
sample request is asked alone: its answer is what is expected later. Then good requests come at twice the rate that 64
closed-loop clients got answered, while the attackers send, in turn, what benchmarks/hostile_payloads.py lists, and hold
1,000 half-open connections on the gRPC and the REST port each. A good request is answered as before or refused with
UNAVAILABLE; anything else is a failure.

The queue bounds the wait: a request that is taken finds no more calls before it than the server has threads and lets
wait, and is answered once they are. So no answer is longer under way than the stretch of the run that ends with it and
holds so many answers to good requests; hostile calls that are answered besides only shorten the wait. The bound
printed is the 99th percentile of these stretches, one of which ends with each answer; beside it what it would be at
the mean rate. To hold: the p99 of the server's own measure (from the moment that gRPC hands a call over to its answer)
stays below the bound; it is exact, from the server's own line about each call (--log_requests), and of every Predict
over gRPC that ended OK, hostile ones (about 0.1 %) among the good. The p99 at the clients, from the moment that each
request was due, has the way to the server's thread that accepts calls, which refuses as many again and more meanwhile,
and the clients' own lag on top: everything shares one machine, and the capacity is that of all together. Memory is flat
if it is at most 5 % more in the last quarter of the run than in the second, by their medians: in the first one heaps
fill, and from one moment to the next it moves by a tenth. Prints tables; the last line is JSON.
"""

import argparse
import multiprocessing
import os
import tempfile
import threading
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # as `tandem serve` has it

import grpc
import numpy as np

from benchmarks.hostile_traffic import Target, Traffic, attack, kinds
from benchmarks.load import PREDICT, Load, Seconds, closed_loop, open_loop
from benchmarks.outcome import add_out, finish
from benchmarks.served_release import (
    ServerProcess,
    add_release,
    answer_seconds,
    fashion_release,
    pinned,
    sample_requests,
    start_models,
)
from benchmarks.serving import BATCHING
from evaluation.provenance import describe_machine
from serving.messages import PredictResponse
from serving.server_config import ServerConfig
from serving.tensors import to_array

_CLIENTS = 64
_OVERLOAD = 2.0
_TOLERANCE = 1e-3  # a row of a batch is not computed to the last bit as it is alone
_ONE_PLACE = 1e-2  # what it is worth to the reranker that a product is retrieved one place before another
_TIED = 2
_SAMPLES = 600  # of resident memory


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    version = arguments.version or fashion_release(arguments.models_dir, "search")
    folders = {model: arguments.models_dir / model / str(version) for model in ("search", "rerank")}
    requests = sample_requests(folders["search"])
    machine = describe_machine()
    print(f"release {version}: {arguments.seconds:g} s, {arguments.attackers} attackers; {', '.join(machine.values())}")
    with tempfile.TemporaryDirectory() as scratch:
        answered = Path(scratch) / "answered"
        server = start_models(pinned(folders), BATCHING, answered, file_system_poll_wait_seconds=0, rest_api_port=0)
        try:
            report = _measure(server, requests, answered, arguments)
        finally:
            server.stop()
    report |= {"version": version}
    finish("hostile", report, arguments.out)


def _measure(
    server: ServerProcess, requests: list[bytes], answered: Path, arguments: argparse.Namespace
) -> dict[str, Any]:
    expected = _answers(server.address, requests)
    closed_loop(server.address, requests, _CLIENTS, 2.0)
    capacity = closed_loop(server.address, requests, _CLIENTS, arguments.warm_up).rate
    rate = _OVERLOAD * capacity
    assert server.rest_port is not None
    target = Target(server.address, server.rest_port, requests[0])
    before = len(answer_seconds(answered))
    pipe, process = _start_attack(target, arguments.seconds, arguments.attackers)
    over = threading.Event()
    memory: list[int] = []
    watcher = threading.Thread(target=_watch_memory, args=(server, memory, arguments.seconds / _SAMPLES, over))
    watcher.start()

    def right(number: int, answer: bytes) -> bool:
        return same_answer(expected[number], read_answer(answer))

    try:
        load = open_loop(server.address, requests, rate, arguments.seconds, right=right)
    finally:
        over.set()
        watcher.join()
    traffic: Traffic = pipe.recv()
    process.join()
    inside = p99_after(answer_seconds(answered), before)
    after = sum(same_answer(*pair) for pair in zip(expected, _answers(server.address, requests), strict=True))
    return _report(load, traffic, target, capacity, inside, memory, after / len(requests))


def _report(
    load: Load,
    traffic: Traffic,
    target: Target,
    capacity: float,
    inside: float,
    memory: list[int],
    after: float,
) -> dict[str, Any]:
    unexpected = traffic.unexpected({name: kind.expected for name, kind in kinds(target).items()})
    print(f"\n{'kind':>20} {'sent':>8}  outcomes")
    for name, counts in traffic.outcomes.items():
        shown = ", ".join(f"{outcome} {count}" for outcome, count in counts.most_common())
        print(f"{name:>20} {counts.total():>8}  {shown}{'  UNEXPECTED' if name in unexpected else ''}")
    failed = load.failed - load.statuses["UNAVAILABLE"]
    bound, at_mean = stretch_p99(load.moments, queue_calls()), queue_calls() / load.rate
    _, warm, _, last = (int(np.median(quarter)) for quarter in np.array_split(memory, 4))
    print(f"good: {dict(load.statuses)}, wrong {load.wrong}, failed {failed}")
    print(f"capacity {capacity:.0f}/s before, {load.rate:.0f}/s under attack")
    print(
        f"p99 in the server {1000 * inside:.0f} ms, {queue_calls()} answers took at p99 {1000 * bound:.0f} ms "
        f"({1000 * at_mean:.0f} at the mean rate)"
    )
    print(f"at the clients p50 {load.p50:.0f} ms, p99 {load.p99:.0f} ms")
    print(f"memory MB: first {memory[0] >> 20}, warm {warm >> 20}, last {last >> 20}, most {max(memory) >> 20}")
    print(f"half-open at the end {traffic.half_open}; afterwards {after:.1%} of answers as before")
    return {
        "seconds": round(load.elapsed, 1),
        "capacity": round(capacity, 1),
        "good": {"statuses": dict(load.statuses), "wrong": load.wrong, "failed": failed, "rate": round(load.rate, 1)},
        "p50_ms": round(load.p50, 1),
        "p99_ms": round(load.p99, 1),
        "p99_in_server_ms": round(1000 * inside, 1),
        "queue_p99_bound_ms": round(1000 * bound, 1),
        "queue_bound_at_mean_rate_ms": round(1000 * at_mean, 1),
        "hostile": {name: dict(counts) for name, counts in traffic.outcomes.items()},
        "unexpected": unexpected,
        "half_open": traffic.half_open,
        "resident_mb": [value >> 20 for value in memory],
        "memory_ratio": round(last / warm, 4),
        "right_afterwards": after,
    }


def queue_calls() -> int:
    """The calls that a server with batching works on and lets wait."""
    config = ServerConfig(model_name="search", model_base_path=Path("/"), enable_batching=True)
    threads = config.threads(config.grpc_threads)
    return threads + config.queue_length(threads)


def p99_after(seconds: Seconds, before: int) -> float:
    """99th percentile of all but the first `before`; infinite where there are no more."""
    held = seconds[before:]
    return float(np.percentile(held, 99)) if len(held) else float("inf")


def stretch_p99(moments: Seconds, answers: int) -> float:
    """99th percentile of the time, in seconds, in which so many answers came; infinite where there were fewer.

    Args:
        moments: [all answers] when each came, rising.
        answers: of one stretch; one ends with each answer that has as many before it.
    """
    if len(moments) <= answers:
        return float("inf")
    return float(np.percentile(moments[answers:] - moments[:-answers], 99))


def read_answer(answer: bytes) -> dict[bytes, float]:
    """Product -> score, of a serialised response."""
    outputs = PredictResponse.FromString(answer).outputs
    products, scores = to_array(outputs["product_id"])[0].tolist(), to_array(outputs["score"])[0].tolist()
    return dict(zip(products, scores, strict=True))


def same_answer(expected: dict[bytes, float], found: dict[bytes, float]) -> bool:
    """Whether two answers are the same but for rounding.

    Rounding lets equals change places at the end of a list, and two candidates of equal retrieval score get ranks one
    apart, which is one of the reranker's features: up to two scores may differ by what that is worth.
    """
    both = expected.keys() & found.keys()
    if not both or len(expected) != len(found):
        return False
    lowest = min(expected.values()) + _TOLERANCE
    left_out = [score for own in (expected, found) for product, score in own.items() if product not in both]
    off = [gap for product in both if not (gap := abs(expected[product] - found[product])) <= _TOLERANCE]
    near = len(off) <= _TIED and all(gap <= _ONE_PLACE for gap in off)
    return near and all(score <= lowest for score in left_out)


def _answers(address: str, requests: list[bytes]) -> list[dict[bytes, float]]:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(PREDICT)
        return [read_answer(call(request, timeout=30)) for request in requests]


def _start_attack(target: Target, seconds: float, threads: int) -> tuple[Connection, Any]:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_attack, args=(target, seconds, threads, there), daemon=True)
    process.start()
    return here, process


def _attack(target: Target, seconds: float, threads: int, pipe: Connection) -> None:
    pipe.send(attack(target, seconds, threads))


def _watch_memory(server: ServerProcess, memory: list[int], seconds: float, over: threading.Event) -> None:
    while True:
        memory.append(server.resident)
        if over.wait(seconds):
            break
    memory.append(server.resident)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_release(parser)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--warm-up", type=float, default=5.0, help="seconds in which the capacity is measured")
    parser.add_argument("--attackers", type=int, default=4, help="threads that send hostile traffic")
    add_out(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
