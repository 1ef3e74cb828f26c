"""A canary from end to end: two versions served, clients pinned by label, the label moved forth and back."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from serving.client import Answer, HistoryEvent, SearchClient
from serving.errors import ModelNotFoundError
from serving.local_server import Server, ServerConfig, serve
from serving.messages import ModelConfig, ModelServerConfig, ModelServiceStub, ReloadConfigRequest

Connect = Callable[..., SearchClient]
AddVersion = Callable[[Path, str, int, int], None]

SECONDS = 30.0
# More than version 1 takes and fewer than version 2 does: the exports differ in their histories, 4 and 6 long.
HISTORY = [HistoryEvent(f"p{number}", "cart", 10 + number) for number in range(5)]


class Shop:
    """A server of versions 1 and 2 of some models, and the labels on them."""

    def __init__(self, folder: Path, models: tuple[str, ...], poll_seconds: float) -> None:
        self._folder = folder
        self._models = models
        self.file = folder / "models.config"
        self.write(stable=1, canary=2)
        config = ServerConfig(
            model_config_file=self.file,
            port=0,
            model_config_file_poll_wait_seconds=poll_seconds,
            allow_version_labels_for_unavailable_models=True,
        )
        self.server: Server = serve(config)

    def config(self, **labels: int) -> ModelServerConfig:
        config = ModelServerConfig()
        for name in self._models:
            model = ModelConfig(name=name, base_path=str(self._folder / name), model_platform="tensorflow")
            model.model_version_policy.specific.versions.extend([1, 2])
            for label, version in labels.items():
                model.version_labels[label] = version
            config.model_config_list.config.append(model)
        return config

    def write(self, **labels: int) -> None:
        self.file.write_text(str(self.config(**labels)), encoding="utf-8")

    def reload(self, **labels: int) -> None:
        with grpc.insecure_channel(self.server.address) as channel:
            ModelServiceStub(channel).HandleReloadConfigRequest(
                ReloadConfigRequest(config=self.config(**labels)), timeout=SECONDS
            )


@pytest.fixture
def open_shop(tmp_path: Path, add_version: AddVersion) -> Iterator[Callable[..., Shop]]:
    shops = []

    def start(*models: str, poll_seconds: float = 0.0) -> Shop:
        for model in models:
            for version in (1, 2):
                # A retrieval of one version only was exported; both read it as their own.
                add_version(tmp_path / model, model, 1 if model == "retrieval" else version, version)
        shops.append(Shop(tmp_path, models, poll_seconds))
        return shops[-1]

    yield start
    for shop in shops:
        shop.server.stop()


def ask(client: SearchClient) -> Answer:
    answer = client.search("dress", HISTORY, k=2)
    assert [hit.product_id for hit in answer] == ["dress", "p4"]
    return answer


def test_each_client_asks_its_own_version_and_follows_the_label(
    connect: Connect, open_shop: Callable[..., Shop]
) -> None:
    shop = open_shop("search")
    stable, canary = (connect(shop.server.address, version_label=label) for label in ("stable", "canary"))
    newest = connect(shop.server.address)
    assert [ask(client).version for client in (stable, canary, newest)] == [1, 2, 2]
    shop.reload(stable=2, canary=2)
    assert [ask(client).version for client in (stable, canary, newest)] == [2, 2, 2]
    shop.reload(stable=1, canary=2)
    assert [ask(client).version for client in (stable, canary, newest)] == [1, 2, 2]


def test_a_label_is_moved_and_moved_back_in_the_config_file(connect: Connect, open_shop: Callable[..., Shop]) -> None:
    shop = open_shop("search", poll_seconds=0.05)
    stable = connect(shop.server.address, version_label="stable")
    for version in (1, 2, 1):
        shop.write(stable=version)
        until = time.monotonic() + SECONDS
        while (answered := ask(stable).version) != version:
            assert time.monotonic() < until
        assert answered == version


def test_the_reranker_is_that_of_the_version_that_retrieved(connect: Connect, open_shop: Callable[..., Shop]) -> None:
    shop = open_shop("retrieval", "rerank")
    for label, version in (("stable", 1), ("canary", 2)):
        client = connect(shop.server.address, version_label=label)
        retrieval = client.retrieve("dress")
        assert (retrieval.version, client.rerank(retrieval, "dress").version) == (version, version)


def test_a_label_that_is_gone_is_named(connect: Connect, open_shop: Callable[..., Shop]) -> None:
    shop = open_shop("search")
    canary = connect(shop.server.address, version_label="canary")
    assert ask(canary).version == 2
    shop.reload(stable=1)
    with pytest.raises(ModelNotFoundError, match="in a version labelled 'canary'"):
        canary.search("dress")
    with pytest.raises(ModelNotFoundError, match="retrieval_exact labelled 'canary'"):
        canary.retrieve("dress")
