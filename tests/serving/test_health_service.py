"""The health service over gRPC, alone."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from serving.health_service import HealthService

Asked, Status = health_pb2.HealthCheckRequest, health_pb2.HealthCheckResponse
SECONDS = 30.0


class Running:
    """A server of the health of "shop" alone."""

    def __init__(self) -> None:
        self.service = HealthService({"shop"})
        self.server = grpc.server(ThreadPoolExecutor(4))
        health_pb2_grpc.add_HealthServicer_to_server(self.service, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()


@pytest.fixture
def running() -> Iterator[Running]:
    running = Running()
    yield running
    running.server.stop(0)


@pytest.fixture
def health(running: Running) -> Iterator[health_pb2_grpc.HealthStub]:
    with grpc.insecure_channel(running.address) as channel:
        yield health_pb2_grpc.HealthStub(channel)


def test_a_check_says_what_serves_until_the_server_leaves(running: Running, health: health_pb2_grpc.HealthStub) -> None:
    assert health.Check(Asked(service="shop"), timeout=SECONDS).status == Status.SERVING
    with pytest.raises(grpc.RpcError) as error:
        health.Check(Asked(service="other"), timeout=SECONDS)
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    running.service.leave()
    assert health.Check(Asked(service="shop"), timeout=SECONDS).status == Status.NOT_SERVING


def test_who_watches_is_told_that_the_server_leaves_and_let_go(
    running: Running, health: health_pb2_grpc.HealthStub
) -> None:
    watches = {name: health.Watch(Asked(service=name), timeout=SECONDS) for name in ("shop", "other")}
    assert {name: next(watch).status for name, watch in watches.items()} == {
        "shop": Status.SERVING,
        "other": Status.SERVICE_UNKNOWN,
    }
    running.service.leave()
    late = health.Watch(Asked(service="shop"), timeout=SECONDS)
    assert [answer.status for answer in late][-1] == Status.NOT_SERVING
    for watch in watches.values():
        assert [answer.status for answer in watch] == [Status.NOT_SERVING]
        assert watch.code() is grpc.StatusCode.OK


def test_watches_that_come_and_go_side_by_side_stop_nothing(running: Running) -> None:
    def come_and_go() -> None:
        with grpc.insecure_channel(running.address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for _ in range(50):
                watch = stub.Watch(Asked(service="shop"), timeout=SECONDS)
                seen.append(next(watch).status)
                watch.cancel()

    seen: list[int] = []
    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [Status.SERVING] * 200
