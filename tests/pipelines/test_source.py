"""The source stage replaces what it wrote itself, and nothing else."""

from pathlib import Path

import pytest

from catalog.errors import ConfigError, DataError
from catalog.simulate import SimulateConfig
from pipelines import s01_source
from pipelines.config import PipelineConfig
from pipelines.workspace import Workspace


def workspace_at(root: Path, **source: object) -> Workspace:
    values = {"source": {"kind": "made_up", **source}, "simulate": {"products": 10}}
    return Workspace(PipelineConfig(name="shop", workspace=root, **values), root)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that writes one product, at once."""

    def simulate(config: SimulateConfig, raw_dir: Path, truth_dir: Path) -> None:
        (raw_dir / "products.parquet").write_text(f"{config.products} products")

    monkeypatch.setattr("catalog.simulate.simulate", simulate)


@pytest.mark.parametrize("linked", [False, True])
def test_a_source_inside_raw_is_refused_and_kept(tmp_path: Path, linked: bool) -> None:
    archive = tmp_path / "raw" / "fashion.zip"
    archive.parent.mkdir()
    archive.write_text("the only copy")
    named = tmp_path / "link.zip" if linked else archive
    if linked:
        named.symlink_to(archive)
    with pytest.raises(ConfigError, match=r"source\.path: .*\.zip lies in .*raw, which this stage replaces; move it"):
        s01_source.run(workspace_at(tmp_path, kind="fashion", path=named))
    assert archive.read_text() == "the only copy"


def test_a_folder_that_the_stage_did_not_write_is_kept(tmp_path: Path) -> None:
    products = tmp_path / "raw" / "products.csv"
    products.parent.mkdir()
    products.write_text("product_id,title\n1,shirt\n")
    with pytest.raises(ConfigError, match=r"not known to be this stage's: products\.csv\. If they are yours, move"):
        s01_source.run(workspace_at(tmp_path))
    assert products.exists()


def test_what_the_stage_wrote_is_made_anew(tmp_path: Path) -> None:
    s01_source.run(workspace_at(tmp_path))
    products = tmp_path / "raw" / "products.parquet"
    products.unlink()
    s01_source.run(workspace_at(tmp_path))
    assert products.read_text() == "10 products"


@pytest.mark.parametrize("name", ["products.parquet", "images/1.jpg"])
def test_what_was_changed_or_added_since_is_kept(tmp_path: Path, name: str) -> None:
    s01_source.run(workspace_at(tmp_path))
    mine = tmp_path / "raw" / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("the shop's own, and longer")
    with pytest.raises(ConfigError, match=f"not known to be this stage's: {name}"):
        s01_source.run(workspace_at(tmp_path))
    assert mine.read_text() == "the shop's own, and longer"


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    s01_source.run(workspace_at(tmp_path))
    assert (tmp_path / "raw" / "products.parquet").exists()


def test_a_source_that_cannot_be_read_leaves_what_was_there(tmp_path: Path) -> None:
    s01_source.run(workspace_at(tmp_path))
    broken = tmp_path / "broken.zip"
    broken.write_text("no zip")
    with pytest.raises(DataError, match="neither a folder nor a zip file"):
        s01_source.run(workspace_at(tmp_path, kind="fashion", path=broken))
    assert (tmp_path / "raw" / "products.parquet").read_text() == "10 products"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.zip", "raw"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"kind": "made_up", "path": "shop"}, r"source\.path: shop would not be read.*'made_up'; remove one"),
        ({"kind": "made_up", "limit": 5}, r"source\.limit: 5 would do nothing for source\.kind 'made_up'"),
        ({"kind": "files", "path": "shop", "limit": 5}, r"source\.limit: 5 would do nothing for source\.kind 'files'"),
    ],
)
def test_settings_that_would_do_nothing_are_refused(tmp_path: Path, source: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        s01_source.run(workspace_at(tmp_path, **source))


def test_products_that_nobody_brings_are_asked_for(tmp_path: Path) -> None:
    config = PipelineConfig(name="shop", source={"kind": "made_up"}, simulate={"products": 0})
    with pytest.raises(ConfigError, match=r"simulate\.products is 0 .* give a number above 0"):
        s01_source.run(Workspace(config, tmp_path))
