"""The whole path on a tiny shop: simulate, train, release, serve in another process, ask over gRPC, judge."""

import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml
from PIL import Image

from benchmarks.quality import evidence
from catalog.config import parse_config
from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.ask import shopper
from pipelines.config import PipelineConfig
from pipelines.demo import served
from pipelines.publish import PUBLISH_ORDER, latest_release
from pipelines.run import run_pipeline
from pipelines.s07_candidates import nearest, retrieve
from pipelines.snapshot import eligible_rows, launched_rows, snapshot_day
from pipelines.workspace import Workspace
from rerank.candidates import Candidates
from rerank.word_index import WordIndex
from serving.client import SearchClient
from serving.servable import Servable
from tests.shallow_network import shallow_network
from tests.tiny_shop import CONFIG
from towers.trained import load

TOWERS = CONFIG["towers"]
TINY = CONFIG | {
    "source": {"kind": "made_up"},
    "simulate": {"products": 160, "shoppers": 220, "days": 21, "judged_queries": 20, "picture_pixels": 48},
    "ingest": CONFIG["ingest"] | {"user_columns": ["language"]},
    "images": CONFIG["images"] | {"pretrain_epochs": 1, "max_pretrain_images": 160},
    "towers": TOWERS | {"profile_columns": ["language"], "training": TOWERS["training"] | {"steps_per_epoch": 12}},
    "rerank": CONFIG["rerank"] | {"profile_columns": ["language"]},
    "evaluate": {"requests": 60},
}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("tiny")
    values = TINY | {"workspace": str(folder / "run"), "models_dir": str(folder / "models")}
    with shallow_network():
        return run_pipeline(parse_config(PipelineConfig, values, "the test"))


@pytest.fixture(scope="module")
def client(workspace: Workspace) -> Iterator[SearchClient]:
    release = latest_release(workspace.config.models_dir, "tiny")
    with served(release) as address, SearchClient(address, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def shop(workspace: Workspace) -> ShopData:
    return ShopData.load(workspace / "tables")


@pytest.mark.parametrize("query", ["red shirt", "红色", "", "🦄 zzz " * 50])
def test_every_query_is_answered_with_products_in_stock(client: SearchClient, shop: ShopData, query: str) -> None:
    answer = client.search(query, timestamp=0, k=10)
    in_stock = dict(zip(shop.products["product_id"].to_pylist(), shop.products["in_stock"].to_pylist(), strict=True))
    assert len(answer) == 10
    assert len({hit.product_id for hit in answer}) == 10
    assert all(in_stock[hit.product_id] for hit in answer)
    scores = [hit.score for hit in answer]
    assert scores == sorted(scores, reverse=True)
    for hit in answer:
        assert hit.click_probability is not None
        assert 0 <= hit.click_probability <= 1


def test_a_picture_is_a_query(client: SearchClient, shop: ShopData) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(shop.images[0])).save(buffer, "PNG")
    with_picture = client.search("", image=buffer.getvalue(), timestamp=0, k=10)
    without = client.search("", timestamp=0, k=10)
    assert [hit.product_id for hit in with_picture] != [hit.product_id for hit in without]


def test_a_history_changes_the_answer(client: SearchClient, workspace: Workspace, shop: ShopData) -> None:
    features = FeatureStore.load(workspace / "features")
    user = str(features.user_ids[int(np.argmax(np.diff(features.user_start)))])
    history, profile = shopper(features, shop.products, user, ("language",))
    known = client.search("", history, profile, timestamp=0, k=10)
    stranger = client.search("", timestamp=0, k=10)
    assert [hit.score for hit in known] != [hit.score for hit in stranger]
    with pytest.raises(DataError, match="nobody"):
        shopper(features, shop.products, "nobody", ())


def test_who_holds_a_rare_word_is_among_the_candidates(workspace: Workspace, shop: ShopData) -> None:
    features = FeatureStore.load(workspace / "features")
    rows = eligible_rows(shop, features, snapshot_day(features, "test"))
    ids, titles = (shop.products[name].take(rows).to_pylist() for name in ("product_id", "title"))
    holders: dict[str, set[str]] = {}
    for product, title in zip(ids, titles, strict=True):
        for word in re.findall("[a-z]{4,}", title.lower()):
            holders.setdefault(word, set()).add(product)
    rare = [word for word, held in sorted(holders.items()) if len(held) <= 3][:5]
    assert rare
    release = latest_release(workspace.config.models_dir, "tiny")
    sample = json.loads((release.folder / "sample_requests.json").read_text())[0]
    whole = ("history_timestamp", "timestamp")
    inputs = {
        name: np.array([value] * len(rare), np.int64 if name in whole else object) for name, value in sample.items()
    }
    for name in ("retrieval", "retrieval_exact"):
        servable = Servable(release.model(name))
        answers = servable.run("serving_default", inputs | {"query": np.array(rare, object)})
        servable.close()
        assert (np.diff(answers["score"], axis=1) <= 0).all()
        for word, found in zip(rare, answers["product_id"].tolist(), strict=True):
            assert holders[word] <= {product.decode() for product in found}


def test_the_reranker_learns_from_what_words_find(workspace: Workspace, shop: ShopData) -> None:
    config, features = workspace.config, FeatureStore.load(workspace / "features")
    part = Candidates.load(workspace / "candidates" / "validation")
    day = features.slices.validation[0]
    among = launched_rows(features, day)
    index = WordIndex.build(shop, among, config.rerank.lexical, config.release.word_candidates)
    typed = np.flatnonzero(features.request_query[part.request] >= 0)
    queries = np.asarray(features.queries, object)[features.request_query[part.request[typed]]]
    found = index(tf.constant(queries, tf.string)).numpy()
    assert (found >= 0).any(axis=1).sum() > len(typed) / 2
    for rows, wanted in zip(part.rows[typed], found, strict=True):
        assert set(wanted[wanted >= 0].tolist()) <= set(rows.tolist())
    assert (np.diff(part.scores, axis=1) <= 0).all()

    vectors = config.model_copy(update={"release": config.release.model_copy(update={"word_share": 0.0})})
    towers = load(workspace / "towers", shop, features, workspace / "images")
    alone = retrieve(towers, shop, features, part.request, day, among, vectors, "vectors alone")
    nearest_rows, _ = nearest(part.query_embedding, part.product_embeddings[among], 20, "nearest")
    np.testing.assert_array_equal(alone.rows, among[nearest_rows])
    assert (alone.rows != part.rows).any()


def test_all_models_share_one_version_and_answer_as_promised(workspace: Workspace) -> None:
    release = latest_release(workspace.config.models_dir, "tiny")
    manifest = release.manifest()
    assert set(manifest["proof"]) == set(PUBLISH_ORDER)
    sample = json.loads((release.folder / "sample_requests.json").read_text())[0]
    whole = ("history_timestamp", "timestamp")
    inputs = {name: np.array([value], np.int64 if name in whole else object) for name, value in sample.items()}
    found = {}
    for name in ("search", "search_exact", "retrieval", "retrieval_exact"):
        servable = Servable(release.model(name))
        found[name] = servable.run("serving_default", inputs)
        servable.close()
    assert set(found["search"]) == {
        "product_id", "score", "retrieval_score", "click_probability", "cart_probability", "purchase_probability",
    }  # fmt: skip
    assert found["search"]["product_id"].shape == (1, 10)
    assert found["retrieval"]["product_id"].shape == (1, 20)
    assert found["retrieval"]["query_embedding"].shape == (1, 16)
    # What became a constant of the graph is not saved as a variable besides.
    for name in ("query_tower", "product_tower", "search"):
        saved = tf.train.list_variables(str(release.model(name) / "variables" / "variables"))
        assert 0 < len(saved) < 100, name  # the picture network alone has more than three hundred
    # ScaNN's brute force and plain ops find the same products, so both orders agree.
    np.testing.assert_allclose(found["retrieval"]["score"], found["retrieval_exact"]["score"], atol=1e-5)
    np.testing.assert_allclose(found["search"]["score"], found["search_exact"]["score"], atol=1e-4)


def test_a_picture_is_asked_with_in_one_step_and_in_two(workspace: Workspace, shop: ShopData) -> None:
    release = latest_release(workspace.config.models_dir, "tiny")
    sample = json.loads((release.folder / "sample_requests.json").read_text())[0] | {"query": ""}
    whole = ("history_timestamp", "timestamp")
    inputs = {name: np.array([value], np.int64 if name in whole else object) for name, value in sample.items()}
    pictured = inputs | {"query_image": np.asarray(shop.images[:1])}
    searched, retrieved, reranker = (Servable(release.model(name)) for name in ("search", "retrieval", "rerank"))
    at_once = searched.run("with_image", pictured)["score"]
    candidates = retrieved.run("with_image", pictured)
    inputs["query_embedding"] = candidates["query_embedding"]
    inputs |= {f"candidate_{name}": candidates[name] for name in ("product_id", "score")}
    told, untold = (reranker.run(name, inputs)["score"] for name in ("found_with_image", "serving_default"))
    for servable in (searched, retrieved, reranker):
        servable.close()
    np.testing.assert_allclose(-np.sort(-told)[:, : at_once.shape[1]], at_once, atol=1e-4)
    weight = workspace.config.rerank.picture_query_weight
    np.testing.assert_allclose(told - untold, weight * candidates["score"], atol=1e-4)


def test_the_report_holds_every_system(workspace: Workspace) -> None:
    report = json.loads((workspace / "report.json").read_text())
    systems = [row["system"] for row in report["blocks"]["search_truth"]["rows"]]
    baselines = {
        "popularity", "recent popularity", "item-to-item", "user-to-user, cosine", "user-to-user, Pearson",
        "content profile", "ALS", "BM25", "LightGBM",
    }  # fmt: skip
    assert set(systems) == {"Tandem", "Tandem, retrieval order", "oracle"} | baselines
    for key, block in report["blocks"].items():
        if block["kind"] == "Board":
            assert baselines <= {row["system"] for row in block["rows"]}, key
        if block["kind"] == "SliceTable":
            assert baselines <= set(block["systems"]), key
    assert {"search_masks", "recommendation_masks", "heads", "examination", "index"} <= set(report["blocks"])
    assert {"search_recall", "recommendation_by_history", "index_curve", "embedding_map"} <= set(report["blocks"])
    assert {"recommendation_history_gap", "answers_worst_searches", "answers_worst_recommendations"} <= {
        *report["blocks"]
    }
    assert report["weaknesses"]
    calibration, importance = (report["blocks"][key] for key in ("calibration", "importance"))
    assert {"all", "search", "recommendation"} <= {row[0] for row in calibration["rows"]}
    assert {"retrieval", "text", "behaviour", "person"} <= {row[0] for row in importance["rows"]}
    assert importance["columns"][2:] == ["NDCG@10 lost, appeal", "NDCG@10 lost, clicks"]
    claims = [claim["text"] for claim in report["claims"]]
    assert {f"Search {metric}, reranked against the retrieval order" for metric in ("ndcg@10", "appeal_ndcg@10")} <= {
        *claims
    }
    assert {
        "Recommendation recall@100 after two or more events, against popularity",
        "Predicted over observed clicks on the test pages, in every decile and slice",
        "Log-loss of click on the test pages, over the base rate's",
        "Learned P(examined) beside the true one",
    } <= {*claims}
    parts = evidence(report)["parts"]
    assert {"search_slices", "search_languages", "search_cold_start", "calibration", "importance"} <= set(parts)
    page = (workspace / "report.html").read_text()
    assert "<html" in page
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|url\(["']?https?:|@import""", page), "nothing is fetched"


def test_the_vectors_are_written_for_the_projector(workspace: Workspace, shop: ShopData) -> None:
    folder = workspace / "projector"
    assert np.loadtxt(folder / "tensors.tsv", delimiter="\t").shape == (shop.products.num_rows, 16)
    lines = (folder / "metadata.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == shop.products.num_rows + 1
    assert (folder / "sprite.png").stat().st_size > 0


def test_a_second_run_does_nothing(workspace: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in (workspace / "stages").iterdir()}
    run_pipeline(workspace.config)
    assert {path: path.stat().st_mtime_ns for path in (workspace / "stages").iterdir()} == before


README = Path(__file__).parent.parent / "README.md"


def readme_commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def test_the_readme_s_commands_run(workspace: Workspace, client: SearchClient, tmp_path: Path) -> None:
    """Each line of a shell block, in order, on the tiny shop; demo, server, tuning and training are run elsewhere."""
    config = tmp_path / "tiny.yaml"
    values = workspace.config.model_dump(mode="json")
    config.write_text(yaml.safe_dump(values), encoding="utf-8")
    replaced = {
        "pipelines/configs/demo.yaml": f"{config} --address {client.address}",
        "saved_models": str(workspace.config.models_dir),
        "serving_config/": f"{README.parent}/serving_config/",
    }
    tandem = f"{Path(sys.executable).parent}/tandem"
    ran = []
    for line in readme_commands():
        if line.startswith(("make ", "tandem serve", "tandem tune", "tandem run")):
            continue
        command = line.replace("tandem", tandem, 1)
        for written, actual in replaced.items():
            command = command.replace(written, actual)
        result = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, f"{line}\n{result.stderr}"
        ran.append(line.split()[1])
    assert ran == ["search", "init", "ingest", "render-config"]
    assert (tmp_path / "my-shop" / "tables" / "products.parquet").exists()
