"""Load on a gRPC server: clients that wait for their answers, and requests that come at a rate whatever happens."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import grpc
import numpy as np
import numpy.typing as npt

PREDICT = "/tensorflow.serving.PredictionService/Predict"
_TIMEOUT = 10.0
_CONNECTIONS = 2  # of the open loop
_IN_FLIGHT = 2048  # requests of the open loop; more than a server's queue holds

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Load:
    """What came of it.

    Attributes:
        seconds: [answers] latency of each.
        elapsed: seconds from the first request to the last answer.
        rows: requests in one answer.
        failed: requests that were refused or failed.
        statuses: requests by the gRPC status that they ended with; of the open loop.
        wrong: answers that are not the expected ones.
        moments: [answers] when each came, rising, in seconds from the start; of the open loop.
    """

    seconds: Seconds
    elapsed: float
    rows: int = 1
    failed: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    moments: Seconds = field(default_factory=lambda: np.zeros(0))

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


def open_loop(
    address: str,
    requests: list[bytes],
    rate: float,
    seconds: float,
    seed: int = 0,
    until: threading.Event | None = None,
    right: Callable[[int, bytes], bool] | None = None,
) -> Load:
    """Requests come at random moments, `rate` a second on average (a Poisson process), whether answers come or not.

    A latency counts from the moment at which the request was due, so that a sender that falls behind hides nothing.

    Args:
        address: of the server.
        requests: serialised, sent in turns.
        rate: requests a second.
        seconds: how long they are sent.
        seed: of the moments.
        until: ends the sending early when it is set.
        right: whether the answer to the request of this number, in `requests`, is the one expected.
    """
    due = np.cumsum(np.random.default_rng(seed).exponential(1.0 / rate, max(int(rate * seconds), 1)))
    ended, answered = np.zeros(len(due)), np.zeros(len(due), bool)
    statuses: Counter[str] = Counter()
    wrong: list[int] = []
    channels = [grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) for _ in range(_CONNECTIONS)]
    calls = [channel.unary_unary(PREDICT) for channel in channels]
    lock = threading.Lock()
    errors: list[BaseException] = []

    def ask(number: int) -> None:
        place, status = number % len(requests), grpc.StatusCode.OK
        try:
            answer = calls[number % _CONNECTIONS](requests[place], timeout=_TIMEOUT)
        except grpc.RpcError as error:
            status = error.code()
        ended[number] = time.perf_counter()
        answered[number] = status is grpc.StatusCode.OK
        with lock:
            statuses[status.name] += 1
        if answered[number] and right is not None and not right(place, answer):
            wrong.append(number)

    def note(done: Future[None]) -> None:
        if (error := done.exception()) is not None:
            errors.append(error)

    sent = 0
    # A thread that waits costs a third less than a call with a callback, and the clients' cores are the server's.
    with ThreadPoolExecutor(_IN_FLIGHT, thread_name_prefix="open-loop") as pool:
        started = time.perf_counter()
        for number, moment in enumerate((started + due).tolist()):
            if (left := moment - time.perf_counter()) > 0:
                time.sleep(left)
            if until is not None and until.is_set():
                break
            pool.submit(ask, number).add_done_callback(note)
            sent = number + 1
    for channel in channels:
        channel.close()
    if errors:
        raise errors[0]
    due, ended, answered = due[:sent], ended[:sent], answered[:sent]
    latencies = (ended - started - due)[answered]
    moments = np.sort(ended[answered] - started)
    failed = int((~answered).sum())
    elapsed = float(ended.max() - started)
    return Load(latencies, elapsed, failed=failed, statuses=statuses, wrong=len(wrong), moments=moments)
