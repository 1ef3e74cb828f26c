"""The client against a server: which model it asks, what it gets, and what it says when it gets nothing."""

import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from serving.client import HistoryEvent, SearchClient
from serving.errors import BadRequestError, ModelNotFoundError
from serving.local_server import Server, ServerConfig, serve
from serving.messages import ModelConfig, ModelServerConfig

HISTORY = [HistoryEvent("seen", "cart", 10)]
Serve = Callable[..., Server]
AddVersion = Callable[[Path, str, int, int], None]


@pytest.fixture
def serve_models(exported: Path, tmp_path: Path) -> Iterator[Serve]:
    """serve_models("retrieval", search_exact="search"): a server of copies of these exports under these names."""
    servers = []

    def start(*names: str, **renamed: str) -> Server:
        config = ModelServerConfig()
        for name, source in {**{name: name for name in names}, **renamed}.items():
            shutil.copytree(exported / source / "1", tmp_path / name / "1")
            model = ModelConfig(name=name, base_path=str(tmp_path / name), model_platform="tensorflow")
            config.model_config_list.config.append(model)
        path = tmp_path / "models.config"
        path.write_text(str(config), encoding="utf-8")
        servers.append(serve(ServerConfig(model_config_file=path, port=0, file_system_poll_wait_seconds=0.1)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def test_search_gives_typed_hits(serve_models: Serve) -> None:
    with SearchClient(serve_models("search").address) as client:
        answer = client.search("dress", HISTORY, {"country": "NL"}, timestamp=0, k=2)
        assert [hit.product_id for hit in answer] == ["dress", "seen"]
        assert (answer.model, answer.version, answer.reranked) == ("search", 1, True)
        assert answer.hits[0].score == 3.0
        assert answer.hits[0].retrieval_score == pytest.approx(0.3)
        assert answer.hits[0].click_probability == 0.0
        everything = client.search("红裙", HISTORY, {"country": "NL"}, k=100)
        assert [hit.product_id for hit in everything] == ["红裙", "seen", "NL"]


def test_places_that_the_index_could_not_fill_are_left_out(serve_models: Serve) -> None:
    with SearchClient(serve_models("search").address) as client:
        assert [hit.product_id for hit in client.search("dress")] == ["dress"]
        assert len(client.search()) == 0


def test_a_picture_goes_to_its_own_signature(serve_models: Serve) -> None:
    data = io.BytesIO()
    Image.new("RGB", (30, 30), (255, 255, 255)).save(data, "JPEG")
    with SearchClient(serve_models("search").address) as client:
        assert client.search("dress", image=data.getvalue()).hits[0].click_probability == pytest.approx(1.0)
        with pytest.raises(BadRequestError, match="image: "):
            client.search(image=b"no picture")
        assert client.search("dress").hits[0].click_probability == 0.0  # the connection lives on


def test_search_exact_is_asked_where_search_is_not_loaded(serve_models: Serve) -> None:
    with SearchClient(serve_models(search_exact="search").address) as client:
        assert client.search("dress").model == "search_exact"


def test_retrieval_and_rerank_where_neither_is_loaded(serve_models: Serve) -> None:
    with SearchClient(serve_models("rerank", retrieval_exact="retrieval").address) as client:
        found = client.retrieve("dress", HISTORY, {"country": "NL"})
        assert [(hit.product_id, hit.score) for hit in found] == [("dress", 3.0), ("seen", 2.0), ("NL", 1.0)]
        assert found.query_embedding.tolist() == [1.0, 1.0]
        answer = client.search("dress", HISTORY, {"country": "NL"}, k=2)
        # The reranker scores by -retrieval_score: the order turns round, and the ids stay with their scores.
        assert [(hit.product_id, hit.score, hit.retrieval_score) for hit in answer] == [
            ("NL", -1.0, 1.0),
            ("seen", -2.0, 2.0),
        ]
        assert [hit.click_probability for hit in answer] == pytest.approx([0.9, 0.8])
        assert answer.hits[0].cart_probability == 2.0  # the sum of the embedding that retrieval answered with
        assert (answer.model, answer.reranked) == ("rerank", True)
        assert client.rerank(found, "dress", HISTORY, {"country": "NL"}, k=1).hits == answer.hits[:1]


def test_the_reranker_holds_too_few_hits(serve_models: Serve) -> None:
    with SearchClient(serve_models("retrieval", "rerank").address) as client:
        assert [hit.product_id for hit in client.search("dress")] == ["dress"]
        assert len(client.search()) == 0


def test_retrievals_order_stands_where_the_reranker_is_missing(serve_models: Serve) -> None:
    with SearchClient(serve_models("retrieval").address) as client:
        answer = client.search("dress", HISTORY)
        assert [hit.product_id for hit in answer] == ["dress", "seen"]
        assert (answer.model, answer.reranked) == ("retrieval", False)


def test_retrievals_order_stands_where_the_rerankers_version_is_another(
    serve_models: Serve, add_version: AddVersion, tmp_path: Path
) -> None:
    add_version(tmp_path / "rerank", "rerank", 1, 5)
    server = serve_models("retrieval", "rerank")  # versions 1, and 5 instead of 1
    with SearchClient(server.address) as client:
        assert not client.search("dress").reranked


def test_the_rerankers_version_is_asked_in_its_own_shapes(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "retrieval" / "1", tmp_path / "retrieval" / "1")
    shutil.copytree(exported / "rerank", tmp_path / "rerank")  # version 2 reads longer histories than version 1
    every = "model_version_policy { all {} }"
    models = "".join(
        f'config {{ name: "{name}" base_path: "{tmp_path / name}" model_platform: "tensorflow" {every} }}\n'
        for name in ("retrieval", "rerank")
    )
    (tmp_path / "models.config").write_text(f"model_config_list {{ {models} }}", encoding="utf-8")
    server = serve(ServerConfig(model_config_file=tmp_path / "models.config", port=0))
    try:
        with SearchClient(server.address) as client:
            answer = client.search("dress", HISTORY)
            assert (answer.version, answer.reranked) == (1, True)
            assert [hit.product_id for hit in answer] == ["seen", "dress"]
    finally:
        server.stop()


def test_a_server_without_any_of_them_is_named(shared_server: Server, serve_models: Serve) -> None:
    with SearchClient(serve_models("scale").address) as client:
        with pytest.raises(ModelNotFoundError, match="serves none of search, search_exact, retrieval, retrieval_exact"):
            client.search("dress")
        with pytest.raises(ModelNotFoundError, match="retrieval or retrieval_exact"):
            client.retrieve("dress")


def test_a_model_of_another_kind_is_named(serve_models: Serve) -> None:
    with (
        SearchClient(serve_models(search="scale").address) as client,
        pytest.raises(BadRequestError, match="takes no query and history"),
    ):
        client.search("dress")


def test_a_new_version_with_longer_histories_is_followed(
    serve_models: Serve, add_version: AddVersion, tmp_path: Path
) -> None:
    server = serve_models("search")
    with SearchClient(server.address) as client:
        assert client.search("dress").version == 1
        add_version(tmp_path / "search", "search", 2, 2)  # H = 6 instead of 4
        versions = {client.search("dress", HISTORY, timeout=20).version for _ in range(20)}
        while 2 not in versions:
            versions.add(client.search("dress", HISTORY, timeout=20).version)
        assert [hit.product_id for hit in client.search("dress", HISTORY)] == ["dress", "seen"]


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_k_is_a_number_of_products(shared_server: Server, k: int) -> None:
    with SearchClient(shared_server.address) as client, pytest.raises(BadRequestError, match="k: received"):
        client.search("dress", k=k)


def test_a_timeout_is_positive(shared_server: Server) -> None:
    with SearchClient(shared_server.address) as client, pytest.raises(BadRequestError, match="timeout: received 0"):
        client.search("dress", timeout=0)
