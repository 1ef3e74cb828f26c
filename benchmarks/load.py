"""Load on a gRPC server: clients that wait for their answers, and requests that come at a rate whatever happens."""

import threading
import time
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_TIMEOUT = 10.0
_CONNECTIONS = 8  # of the open loop

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        seconds: [answers] latency of each.
        elapsed: seconds from the first request to the last answer.
        rows: requests in one answer.
        failed: requests that were refused or failed.
    """

    seconds: Seconds
    elapsed: float
    rows: int = 1
    failed: int = 0

    @property
    def rate(self) -> float:
        """Requests answered a second."""
        return len(self.seconds) * self.rows / self.elapsed

    @property
    def p50(self) -> float:
        """Median latency in milliseconds."""
        return float(np.percentile(self.seconds, 50) * 1000) if len(self.seconds) else float("inf")

    @property
    def p99(self) -> float:
        """99th percentile of the latency in milliseconds."""
        return float(np.percentile(self.seconds, 99) * 1000) if len(self.seconds) else float("inf")


def closed_loop(address: str, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Each client sends its next request when it has its answer.

    Raises:
        grpc.RpcError: the first request's that fails.
    """
    latencies: list[list[float]] = [[] for _ in range(clients)]
    failures: list[grpc.RpcError] = []
    until = time.perf_counter() + seconds

    def ask(client: int) -> None:
        # A connection a client, as many backends would have.
        with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            call = channel.unary_unary(PREDICT)
            turn = client * 7
            while (started := time.perf_counter()) < until:
                try:
                    call(requests[turn % len(requests)], timeout=_TIMEOUT)
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
    return Load(np.concatenate([np.array(own) for own in latencies]), elapsed)


def open_loop(address: str, requests: list[bytes], rate: float, seconds: float, seed: int = 0) -> Load:
    """Requests come at random moments, `rate` a second on average (a Poisson process), whether answers come or not.

    A latency counts from the moment at which the request was due, so that a sender that falls behind hides nothing.
    """
    due = np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, max(int(rate * seconds), 1)))
    ended = np.zeros(len(due))
    channels = [grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(_CONNECTIONS)]
    calls = [channel.unary_unary(PREDICT) for channel in channels]
    futures = []

    def finish(number: int) -> None:
        ended[number] = time.perf_counter()

    started = time.perf_counter()
    for number, moment in enumerate((started + due).tolist()):
        if (left := moment - time.perf_counter()) > 0:
            time.sleep(left)
        future = calls[number % _CONNECTIONS].future(requests[number % len(requests)], timeout=_TIMEOUT)
        future.add_done_callback(lambda _, number=number: finish(number))
        futures.append(future)
    answered = np.array([future.exception() is None for future in futures])
    while (ended == 0).any():  # the last callbacks
        time.sleep(0.001)
    elapsed = float(ended.max() - started)
    for channel in channels:
        channel.close()
    return Load((ended - started - due)[answered], elapsed, failed=int((~answered).sum()))
