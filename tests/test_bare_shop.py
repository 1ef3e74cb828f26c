"""A shop that brings the least: two CSV files, no pictures, no users, no judgments, no truth, nothing but searches."""

import json

import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from catalog.config import parse_config
from catalog.schema import ShopData
from catalog.titles import normalised
from pipelines.config import PipelineConfig
from pipelines.demo import served
from pipelines.publish import latest_release
from pipelines.run import run_pipeline
from pipelines.workspace import Workspace
from serving.client import SearchClient
from serving.errors import BadRequestError
from tests.tiny_shop import CONFIG, simulate_tiny_shop


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    folder = tmp_path_factory.mktemp("bare")
    raw = simulate_tiny_shop(folder)
    products = pq.read_table(raw / "products.parquet")
    events = pq.read_table(raw / "events.parquet")
    files = folder / "files"
    files.mkdir()
    csv.write_csv(products.select(["product_id", "title", "category"]), files / "products.csv")
    searched = events.filter(pc.not_equal(pc.fill_null(events["query"], ""), ""))
    names = ["user_id", "session_id", "timestamp", "kind", "product_id", "query", "position"]
    csv.write_csv(searched.select(names), files / "events.csv")
    values = CONFIG | {
        "name": "bare",
        "release": CONFIG["release"] | {"collapse_duplicates": True},
        "evaluate": {"requests": 60},
        "source": {"kind": "files", "path": str(files)},
        "workspace": str(folder / "run"),
        "models_dir": str(folder / "models"),
    }
    return run_pipeline(parse_config(PipelineConfig, values, "the test"))


def test_it_is_served_and_says_what_it_cannot_do(workspace: Workspace) -> None:
    products = ShopData.load(workspace / "tables").products
    titles = dict(zip(products["product_id"].to_pylist(), products["title"].to_pylist(), strict=True))
    release = latest_release(workspace.config.models_dir, "bare")
    with served(release) as address, SearchClient(address, timeout=30) as client:
        for query in ("red shirt", ""):
            hits = client.search(query, timestamp=0, k=10).hits
            assert len(hits) == 10
            assert {hit.product_id for hit in hits} <= set(titles)
            assert len({normalised(titles[hit.product_id]) for hit in hits}) == len(hits)
        with pytest.raises(BadRequestError, match="search by text, or export one with images"):
            client.search("", image=b"no picture network is there to read this")


def test_the_report_judges_searches_by_the_log_alone(workspace: Workspace) -> None:
    report = json.loads((workspace / "report.json").read_text())
    assert "search_log" in report["blocks"]
    assert not [key for key in report["blocks"] if key.startswith("recommendation") or key.endswith("_truth")]
    assert report["facts"]["search requests judged"] == 60
    assert report["facts"]["titles in an answer"] == "each once"
