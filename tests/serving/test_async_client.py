"""What only the asyncio client has: it agrees with the other one, runs calls side by side, and can be cancelled."""

import asyncio
import contextlib
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.async_client import AsyncSearchClient
from serving.client import ClientConfig, HistoryEvent, Request, SearchClient
from serving.errors import ServingError
from serving.local_server import Server, ServerConfig, serve
from serving.tensors import Array
from tests.serving.scripted import Never, ScriptedServer, answer

Scripts = Callable[..., ScriptedServer]

words = st.text(st.characters(codec="utf-8"), max_size=20)
events = st.builds(HistoryEvent, words, st.sampled_from(["view", "cart"]), st.integers(0, 2_000_000_000))
requests = st.builds(
    Request, words, st.lists(events, max_size=6).map(tuple), st.just({}) | st.builds(lambda it: {"country": it}, words)
)
few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def stock_server(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of retrieval and rerank alone."""
    folder = tmp_path_factory.mktemp("stock")
    models = ""
    for name in ("retrieval", "rerank"):
        shutil.copytree(exported / name / "1", folder / name / "1")
        models += f'config {{ name: "{name}" base_path: "{folder / name}" model_platform: "tensorflow" }}\n'
    (folder / "models.config").write_text(f"model_config_list {{ {models} }}", encoding="utf-8")
    server = serve(ServerConfig(model_config_file=folder / "models.config", port=0))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["one call", "two calls"])
def address(request: pytest.FixtureRequest, shared_server: Server, stock_server: Server) -> str:
    """A server that is searched by one call, and one that takes two."""
    return shared_server.address if request.param == "one call" else stock_server.address


@few
@given(asked=st.lists(requests, min_size=1, max_size=5), k=st.integers(1, 5))
def test_both_clients_give_the_same_answers(
    address: str, loop: asyncio.AbstractEventLoop, asked: list[Request], k: int
) -> None:
    config = ClientConfig(address=address, timeout=30)

    async def awaited() -> tuple[object, ...]:
        async with AsyncSearchClient(config=config) as client:
            alone = await asyncio.gather(*(client.search(it.query, it.history, it.user, k=k) for it in asked))
            return list(alone), await client.search_many(asked, k)

    with SearchClient(config=config) as client:
        alone = [client.search(it.query, it.history, it.user, k=k) for it in asked]
        together = client.search_many(asked, k)
    assert (alone, together) == asyncio.run_coroutine_threadsafe(awaited(), loop).result()
    assert together == alone  # a batch changes nothing


@few
@given(asked=requests)
def test_both_clients_retrieve_and_rerank_alike(
    stock_server: Server, loop: asyncio.AbstractEventLoop, asked: Request
) -> None:
    config = ClientConfig(address=stock_server.address, timeout=30)
    arguments = (asked.query, asked.history, asked.user)

    async def awaited() -> tuple[object, ...]:
        async with AsyncSearchClient(config=config) as client:
            found = await client.retrieve(*arguments)
            return found.hits, found.query_embedding.tolist(), await client.rerank(found, *arguments)

    with SearchClient(config=config) as client:
        found = client.retrieve(*arguments)
        expected = (found.hits, found.query_embedding.tolist(), client.rerank(found, *arguments))
    assert expected == asyncio.run_coroutine_threadsafe(awaited(), loop).result()


@pytest.mark.parametrize("hedge_after", [None, 0.01])
def test_a_call_that_is_cancelled_cancels_its_requests(
    scripted: Scripts, loop: asyncio.AbstractEventLoop, hedge_after: float | None
) -> None:
    nevers = [Never() for _ in range(2 if hedge_after else 1)]
    server = scripted(search=[*nevers, answer])

    async def cancelled() -> bool:
        async with AsyncSearchClient(config=ClientConfig(address=server.address, hedge_after=hedge_after)) as client:
            task = asyncio.create_task(client.search("dress", timeout=60))
            for never in nevers:
                await asyncio.to_thread(never.asked.wait, 30)
            task.cancel()
            await asyncio.wait([task])
            for never in nevers:
                assert await asyncio.to_thread(never.given_up.wait, 30)
            return task.cancelled()

    assert asyncio.run_coroutine_threadsafe(cancelled(), loop).result()


def close_while_asked(
    scripted: Scripts,
    loop: asyncio.AbstractEventLoop,
    hedge_after: float | None,
    begin: Callable[[AsyncSearchClient], Coroutine[None, None, asyncio.Task[object]]],
) -> None:
    """Close a client while the task that `begin` made waits for an answer: it is told."""
    never = Never()
    server = scripted(search=[never])

    async def closed() -> None:
        client = AsyncSearchClient(config=ClientConfig(address=server.address, hedge_after=hedge_after))
        task = await begin(client)
        await asyncio.to_thread(never.asked.wait, 30)
        await client.close()
        with pytest.raises(ServingError, match="is closed"):
            await task

    asyncio.run_coroutine_threadsafe(closed(), loop).result()


@pytest.mark.parametrize("hedge_after", [None, 0.01])
def test_a_call_under_way_ends_when_the_client_is_closed(
    scripted: Scripts, loop: asyncio.AbstractEventLoop, hedge_after: float | None
) -> None:
    async def begin(client: AsyncSearchClient) -> asyncio.Task[object]:
        return asyncio.create_task(client.search("dress", timeout=60))

    close_while_asked(scripted, loop, hedge_after, begin)


@pytest.mark.parametrize("hedge_after", [None, 0.01])
def test_a_task_that_swallowed_a_cancellation_is_told_that_the_client_is_closed(
    scripted: Scripts, loop: asyncio.AbstractEventLoop, hedge_after: float | None
) -> None:
    async def begin(client: AsyncSearchClient) -> asyncio.Task[object]:
        started = asyncio.Event()

        async def stubborn() -> None:
            with contextlib.suppress(asyncio.CancelledError):
                started.set()
                await asyncio.Event().wait()
            await client.search("dress", timeout=60)

        task = asyncio.create_task(stubborn())
        await started.wait()
        task.cancel()
        return task

    close_while_asked(scripted, loop, hedge_after, begin)


def test_calls_run_side_by_side(scripted: Scripts, loop: asyncio.AbstractEventLoop) -> None:
    never = Never()
    server = scripted(search=[answer, never, answer])

    async def both() -> str:
        async with AsyncSearchClient(server.address) as client:
            await client.search("learns the shapes")
            waiting = asyncio.create_task(client.search("dress", timeout=60))
            await asyncio.to_thread(never.asked.wait, 30)
            overtaking = await client.search("shoes")
            assert not waiting.done()
            waiting.cancel()
            return overtaking.hits[0].product_id

    assert asyncio.run_coroutine_threadsafe(both(), loop).result() == "shoes"


def test_other_tasks_run_while_a_picture_is_decoded(
    scripted: Scripts, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoding, others_ran = threading.Event(), threading.Event()

    def decoded(data: bytes, size: int) -> Array:
        decoding.set()
        assert others_ran.wait(30)
        return np.zeros((size, size, 3), np.uint8)

    monkeypatch.setattr("serving.requests.decode_picture", decoded)
    server = scripted(search=[answer])
    server.picture = 8

    async def both() -> int:
        async with AsyncSearchClient(server.address) as client:
            pictured = asyncio.create_task(client.search("dress", image=b"picture", timeout=60))
            await asyncio.to_thread(decoding.wait, 30)
            await client.search("shoes")
            others_ran.set()
            return len(await pictured)

    assert asyncio.run_coroutine_threadsafe(both(), loop).result() == 1


def test_a_client_that_never_connected_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(AsyncSearchClient("127.0.0.1:1").close(), loop).result()


def test_a_client_in_a_second_event_loop_says_so(scripted: Scripts) -> None:
    client = AsyncSearchClient(scripted(search=[answer]).address)

    async def ask() -> int:
        return len(await client.search("dress"))

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert first.run(ask()) == 1
        with pytest.raises(ServingError, match="belongs to the event loop of its first call"):
            second.run(ask())
        assert first.run(ask()) == 1
        first.run(client.close())
