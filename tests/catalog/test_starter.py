"""The examples that `tandem init` writes are accepted whole."""

import pytest

from catalog.ingest import IngestConfig, ingest, write_examples


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    write_examples(folder / "raw")
    return folder, ingest(folder / "raw", folder / "tables", IngestConfig(user_columns=("country", "language")))


def test_no_row_is_refused(shop):
    import pyarrow.parquet as pq

    assert pq.read_table(shop[0] / "tables" / "rejects.parquet").num_rows == 0


def test_everything_a_shop_can_bring_is_shown(shop):
    data = shop[1]
    assert data.products.num_rows == 12
    assert len(data.images) == 11
    assert data.events.num_rows >= 50
    assert set(data.events["kind"].to_pylist()) == {"impression", "view", "click", "cart", "favourite", "purchase"}
    assert "" in data.events["query"].to_pylist()
    assert data.users.column_names == ["user_id", "country", "language"]
    assert data.judgments.num_rows > 0
    assert set(data.judgments["product_id"].to_pylist()) <= set(data.products["product_id"].to_pylist())
    assert False in data.products["in_stock"].to_pylist()


def test_examples_are_small(shop):
    assert sum(path.stat().st_size for path in (shop[0] / "raw").rglob("*") if path.is_file()) < 60_000
