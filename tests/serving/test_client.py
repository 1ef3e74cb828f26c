"""Both clients against a server: which model they ask, what they get, and what they say when they get nothing."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serving.client import HistoryEvent, Request, SearchClient
from serving.errors import BadRequestError, ModelNotFoundError
from serving.local_server import Server, ServerConfig, serve

HISTORY = [HistoryEvent("seen", "cart", 10)]
Connect = Callable[..., SearchClient]
Serve = Callable[..., Server]
AddVersion = Callable[[Path, str, int, int], None]


def test_search_gives_typed_hits(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models("search").address)
    answer = client.search("dress", HISTORY, {"country": "NL"}, timestamp=0, k=2)
    assert [hit.product_id for hit in answer] == ["dress", "seen"]
    assert (answer.model, answer.version, answer.reranked) == ("search", 1, True)
    assert answer.hits[0].score == 3.0
    assert answer.hits[0].retrieval_score == pytest.approx(0.3)
    assert answer.hits[0].click_probability == 0.0
    everything = client.search("红裙", HISTORY, {"country": "NL"}, k=100)
    assert [hit.product_id for hit in everything] == ["红裙", "seen", "NL"]


def test_places_that_the_index_could_not_fill_are_left_out(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models("search").address)
    assert [hit.product_id for hit in client.search("dress")] == ["dress"]
    assert len(client.search()) == 0


@pytest.mark.parametrize("models", [("search",), ("retrieval", "rerank"), ("retrieval",)], ids="+".join)
def test_what_is_excluded_is_left_out_before_the_first_k(
    connect: Connect, serve_models: Serve, models: tuple[str, ...]
) -> None:
    client = connect(serve_models(*models).address)
    found = [hit.product_id for hit in client.search("dress", HISTORY, k=1)]
    others = [hit.product_id for hit in client.search("dress", HISTORY, k=1, exclude=set(found))]
    assert sorted(found + others) == ["dress", "seen"]
    requests = [Request("dress", HISTORY, exclude=["dress"]), Request("dress", HISTORY)]
    kept = [{hit.product_id for hit in answer} for answer in client.search_many(requests)]
    assert kept == [{"seen"}, {"dress", "seen"}]


def test_a_picture_goes_to_its_own_signature(connect: Connect, serve_models: Serve) -> None:
    data = io.BytesIO()
    Image.new("RGB", (30, 30), (255, 255, 255)).save(data, "JPEG")
    client = connect(serve_models("search").address)
    assert client.search("dress", image=data.getvalue()).hits[0].click_probability == pytest.approx(1.0)
    with pytest.raises(BadRequestError, match="image: "):
        client.search(image=b"no picture")
    assert client.search("dress").hits[0].click_probability == 0.0  # the connection lives on


def test_search_exact_is_asked_where_search_is_not_loaded(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models(search_exact="search").address)
    assert client.search("dress").model == "search_exact"


def test_retrieval_and_rerank_where_neither_is_loaded(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models("rerank", retrieval_exact="retrieval").address)
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


@pytest.mark.parametrize(("reranker", "order"), [("rerank", ["dress", "seen"]), ("rerank_of_words", ["seen", "dress"])])
def test_the_reranker_is_told_what_a_picture_found(
    connect: Connect, serve_models: Serve, reranker: str, order: list[str]
) -> None:
    data = io.BytesIO()
    Image.new("RGB", (30, 30), (255, 255, 255)).save(data, "PNG")
    picture = data.getvalue()
    client = connect(serve_models("retrieval", rerank=reranker).address)
    # Words alone turn the order round; of pictures only a release that knows better does not.
    found = client.retrieve("dress", HISTORY, image=picture)
    assert (found.with_image, client.retrieve("dress", HISTORY).with_image) == (True, False)
    assert [hit.product_id for hit in client.rerank(found, "dress", HISTORY)] == order
    mixed = client.search_many([Request("dress", HISTORY), Request("dress", HISTORY, image=picture)])
    assert [[hit.product_id for hit in answer] for answer in mixed] == [["seen", "dress"], order]
    assert all(answer.reranked for answer in mixed)


def test_the_reranker_holds_too_few_hits(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models("retrieval", "rerank").address)
    assert [hit.product_id for hit in client.search("dress")] == ["dress"]
    assert len(client.search()) == 0


def test_retrievals_order_stands_where_the_reranker_is_missing(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models("retrieval").address)
    answer = client.search("dress", HISTORY)
    assert [hit.product_id for hit in answer] == ["dress", "seen"]
    assert (answer.model, answer.reranked) == ("retrieval", False)
    assert answer.degraded == "no reranker of retrieval's version is served"


def test_retrievals_order_stands_where_the_rerankers_version_is_another(
    connect: Connect, serve_models: Serve, add_version: AddVersion, tmp_path: Path
) -> None:
    add_version(tmp_path / "rerank", "rerank", 1, 5)
    server = serve_models("retrieval", "rerank")  # versions 1, and 5 instead of 1
    client = connect(server.address)
    assert not client.search("dress").reranked


def test_the_rerankers_version_is_asked_in_its_own_shapes(connect: Connect, exported: Path, tmp_path: Path) -> None:
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
        client = connect(server.address)
        answer = client.search("dress", HISTORY)
        assert (answer.version, answer.reranked) == (1, True)
        assert [hit.product_id for hit in answer] == ["seen", "dress"]
    finally:
        server.stop()


def test_a_server_without_any_of_them_is_named(connect: Connect, shared_server: Server, serve_models: Serve) -> None:
    client = connect(serve_models("scale").address)
    with pytest.raises(ModelNotFoundError, match="serves none of search, search_exact, retrieval, retrieval_exact"):
        client.search("dress")
    with pytest.raises(ModelNotFoundError, match="retrieval or retrieval_exact"):
        client.retrieve("dress")


def test_a_model_of_another_kind_is_named(connect: Connect, serve_models: Serve) -> None:
    client = connect(serve_models(search="scale").address)
    with pytest.raises(BadRequestError, match="takes no query and history"):
        client.search("dress")


def test_a_new_version_with_longer_histories_is_followed(
    connect: Connect, serve_models: Serve, add_version: AddVersion, tmp_path: Path
) -> None:
    server = serve_models("search")
    client = connect(server.address)
    assert client.search("dress").version == 1
    add_version(tmp_path / "search", "search", 2, 2)  # H = 6 instead of 4
    versions = {client.search("dress", HISTORY, timeout=20).version for _ in range(20)}
    while 2 not in versions:
        versions.add(client.search("dress", HISTORY, timeout=20).version)
    assert [hit.product_id for hit in client.search("dress", HISTORY)] == ["dress", "seen"]


def test_arguments_of_another_type_are_named(connect: Connect, shared_server: Server) -> None:
    client = connect(shared_server.address)
    for name in ("k", "timeout"):
        with pytest.raises(BadRequestError, match=f"{name}: received 0"):
            client.search("dress", **{name: 0})
    assert len(client.search("dress", HISTORY, k=np.int64(1), timeout=np.float32(30))) == 1
    for requests in (["a"], "a", None, Request("a")):
        with pytest.raises(BadRequestError, match="requests: received"):
            client.search_many(requests)
    for retrieval in (None, client.search("dress")):
        with pytest.raises(BadRequestError, match=r"retrieval: received .*; expected what `retrieve` returned"):
            client.rerank(retrieval)
    for call in (client.search, client.retrieve):
        with pytest.raises(BadRequestError, match="history: received None"):
            call("dress", None)


def test_a_batch_is_answered_in_order_as_its_requests_are_alone(connect: Connect, serve_models: Serve) -> None:
    data = io.BytesIO()
    Image.new("RGB", (30, 30), (255, 255, 255)).save(data, "JPEG")
    requests = [
        Request("dress", HISTORY, {"country": "NL"}),
        Request(image=data.getvalue()),
        Request("shoes"),
        Request("bag", image=data.getvalue()),
        Request(),
    ]
    client = connect(serve_models("search").address)
    answers = client.search_many(requests, k=2)
    assert [[hit.product_id for hit in each] for each in answers] == [["dress", "seen"], [], ["shoes"], ["bag"], []]
    assert answers == [client.search_many([request], k=2)[0] for request in requests]
    assert answers == client.search_many((request for request in requests), k=2)
    assert client.search_many([]) == []


def test_a_batch_is_reranked_each_with_its_own_candidates(connect: Connect, serve_models: Serve) -> None:
    requests = [Request("dress", HISTORY), Request("shoes"), Request("bag", HISTORY, {"country": "NL"})]
    client = connect(serve_models("retrieval", "rerank").address)
    answers = client.search_many(requests)
    assert [[hit.product_id for hit in each] for each in answers] == [
        ["seen", "dress"],
        ["shoes"],
        ["NL", "seen", "bag"],
    ]
    assert all(each.reranked and each.degraded is None for each in answers)
    assert answers == [client.search_many([request])[0] for request in requests]
