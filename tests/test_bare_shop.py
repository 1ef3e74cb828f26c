"""A shop that brings the least: two CSV files, no pictures, users, judgments, truth or impressions, only searches."""

import json

import pytest

from catalog.errors import ConfigError
from catalog.schema import ShopData
from catalog.splits import SplitsConfig
from catalog.titles import normalised
from pipelines.demo import served
from pipelines.publish import latest_release
from pipelines.run import STAGES, evaluate, retrain, run_pipeline
from pipelines.workspace import Workspace
from serving.client import SearchClient
from serving.errors import BadRequestError
from tests.eager import eagerly
from tests.tiny_shop import CONFIG, bare_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    config = bare_workspace(tmp_path_factory).config
    with eagerly():
        run_pipeline(config, until="rerank")
    return run_pipeline(config)


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
    # Without impressions nothing says what was shown and left, nor where it stood.
    assert report["facts"]["impressions"] == 0
    assert not {"heads", "calibration", "examination"} & set(report["blocks"])
    assert report["facts"]["titles in an answer"] == "each once"


def test_a_retraining_makes_a_new_version_beside_the_old_one(workspace: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in (workspace / "stages").iterdir()}
    first = latest_release(workspace.config.models_dir, "bare")
    config = workspace.config
    config = config.model_copy(update={"release": config.release.model_copy(update={"snapshot": "latest"})})
    retrain(config)
    second = latest_release(workspace.config.models_dir, "bare")
    assert second.version == first.version + 1
    assert first.model("search").exists()
    days = SplitsConfig(**CONFIG["splits"]).test_days
    assert second.manifest()["snapshot"]["day"] == first.manifest()["snapshot"]["day"] + days
    assert set(second.manifest()["code"]["stages"]) == {stage.name for stage in STAGES} - {"release", "evaluate"}
    after = {path: path.stat().st_mtime_ns for path in (workspace / "stages").iterdir()}
    assert {path.stem for path in before if after.get(path) != before[path]} == {"index", "release"}
    with pytest.raises(ConfigError, match="a report would flatter"):
        evaluate(config)
