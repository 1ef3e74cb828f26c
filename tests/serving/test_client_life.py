"""How a client's life ends: closed before, between and during calls, and in a process that was forked."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from serving.client import ClientConfig, SearchClient
from serving.errors import ServingError
from serving.local_server import Server
from serving.messages import PredictRequest, PredictResponse
from tests.serving.scripted import Never, ScriptedServer, answer

Connect = Callable[..., SearchClient]
Scripts = Callable[..., ScriptedServer]


def test_a_closed_client_says_so(connect: Connect, shared_server: Server) -> None:
    client = connect(shared_server.address)
    client.search("dress")
    client.close()
    with pytest.raises(ServingError, match="is closed"):
        client.search("dress")


@pytest.mark.parametrize("settings", [{}, {"hedge_after": 1.0}], ids=["blocking", "hedged"])
def test_a_client_that_is_closed_right_before_its_call_says_so(
    settings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = SearchClient(config=ClientConfig(address="127.0.0.1:1", **settings))
    client.close()
    looks = iter([False])  # when the client looked first it was open
    monkeypatch.setattr(client._closed, "is_set", lambda: next(looks, True))
    with pytest.raises(ServingError, match="is closed"):
        client.search("a")


@pytest.mark.parametrize("hedge_after", [None, 0.01])
def test_a_call_under_way_ends_when_the_client_is_closed(
    connect: Connect, scripted: Scripts, hedge_after: float | None
) -> None:
    never = Never()
    client = connect(scripted(search=[never]).address, hedge_after=hedge_after)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.search, "dress", timeout=60)
        assert never.asked.wait(30)
        client.close()
        with pytest.raises(ServingError, match="is closed"):
            call.result(30)


def test_a_client_of_another_process_says_so(connect: Connect, shared_server: Server) -> None:
    client = connect(shared_server.address)
    client.search("dress")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        with pytest.raises(ServingError, match="made in another process; open one after the fork"):
            client.search("dress")
        client.close()  # not this process's to close
    assert len(client.search("dress")) == 1


def test_a_forked_client_says_so(scripted: Scripts) -> None:
    script = """
import os, sys
from serving.client import SearchClient
client = SearchClient(sys.argv[1], timeout=30)
client.search("dress")
if os.fork() == 0:
    try:
        client.search("dress")
    except Exception as error:
        print(type(error).__name__, error, flush=True)
    client.close()
    os._exit(0)
os.wait()
print(client.search("dress").hits[0].product_id)
"""
    command = [sys.executable, "-c", script, scripted(search=[answer]).address]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout.splitlines()
    assert said[0].startswith("ServingError the client of 127.0.0.1:")
    assert said[1:] == ["dress"]


def test_a_pause_before_a_retry_ends_when_the_client_is_closed(connect: Connect, scripted: Scripts) -> None:
    failed = threading.Event()

    def unavailable(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        failed.set()
        context.abort(grpc.StatusCode.UNAVAILABLE, "as scripted")

    server = scripted(search=[unavailable])
    client = connect(server.address, timeout=86_400, initial_backoff=8e4, max_backoff=8e4)
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.search, "dress")
        assert failed.wait(30)
        client.close()
        with pytest.raises(ServingError, match="is closed"):
            call.result(30)
