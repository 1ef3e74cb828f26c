"""The throughput is that of the second epoch of a short training, on what a run has made."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import benchmarks.training
import towers.train
from benchmarks.training import measure
from catalog.errors import ArtifactError
from catalog.files import write_json


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "shop.yaml"
    path.write_text(f"name: shop\nworkspace: {tmp_path / 'run'}\n")
    return path


def test_the_second_of_two_epochs_is_timed(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def train(shop: object, features: object, images: Path, towers: Any, folder: Path) -> None:
        given.update(shop=shop, images=images, training=towers.training, folder=folder)
        epochs = [{"examples_per_second": 10.0, "seconds": 90.0}, {"examples_per_second": 512.34, "seconds": 8.0}]
        write_json(folder / "metrics.json", {"epochs": epochs})

    (tmp_path / "run" / "images").mkdir(parents=True)
    (tmp_path / "run" / "images" / "embeddings.npy").touch()
    write_json(tmp_path / "run" / "stages" / "images.json", {})
    monkeypatch.setattr(towers.train, "train", train)
    monkeypatch.setattr(benchmarks.training, "ShopData", SimpleNamespace(load=lambda path: path))
    monkeypatch.setattr(
        benchmarks.training, "FeatureStore", SimpleNamespace(load=lambda path: SimpleNamespace(n_products=7))
    )
    measured = measure(config, 20)
    assert float(str(measured.pop("peak_memory_gb"))) > 0
    assert measured == {
        "config": "shop",
        "products": 7,
        "steps": 20,
        "examples_per_second": 512.3,
        "steps_per_second": 2.5,  # 20 in 8 s
    }
    assert (given["training"].epochs, given["training"].steps_per_epoch) == (2, 20)
    assert given["shop"] == tmp_path / "run" / "tables"
    assert not given["folder"].exists()


def test_a_run_without_features_is_an_error(config: Path) -> None:
    with pytest.raises(ArtifactError, match="has no features and pictures yet; run `tandem run -c"):
        measure(config, 20)
