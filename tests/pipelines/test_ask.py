"""Answers as a table: what products are called is shown as it is."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from catalog.files import write_json, write_parquet
from pipelines import ask
from pipelines.ask import answer_table, print_search
from serving.client import Answer, Hit


def test_titles_are_no_markup_and_unknown_products_keep_their_place() -> None:
    products = pa.table(
        {
            "product_id": ["a"],
            "title": ["Bag [/large] [new]"],
            "category": ["Bags > Totes"],
            "price": [12.5],
            "currency": ["EUR"],
        }
    )
    answer = Answer((Hit("a", 0.5, click_probability=0.25), Hit("gone", 0.1)), "search", 3, reranked=False)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(answer_table(answer, products, "[/b]"))
    text = console.export_text()
    for part in (
        "[/b]",
        "Bag [/large] [new]",
        "Totes",
        "12.50 EUR",
        "25.0%",
        "gone",
        "search version 3",
        "did not answer",
    ):
        assert part in text


def said_of(
    products: list[str], k: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    """What is said beside the table when products a and b come, and the shop has `products`."""

    @contextmanager
    def client(address: str) -> Iterator[Any]:
        yield SimpleNamespace(
            search=lambda *_, **__: Answer((Hit("a", 0.5), Hit("b", 0.1)), "search", 3, reranked=True)
        )

    monkeypatch.setattr(ask, "SearchClient", client)
    (folder / "shop.yaml").write_text(f"name: shop\nworkspace: {folder / 'run'}\nrelease: {{results: 2}}\n")
    write_json(folder / "run" / "stages" / "ingest.json", {})
    columns = {"product_id": products, "title": ["Bag"], "category": [""], "price": [1.0], "currency": [""]}
    write_parquet(folder / "run" / "tables" / "products.parquet", pa.table(columns))
    print_search(folder / "shop.yaml", "bag", None, None, "nowhere:1", k)
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("k", "told"), [(2, False), (500, True)])
def test_an_answer_with_fewer_than_were_asked_for_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], k: int, told: bool
) -> None:
    said = said_of(["a"], k, tmp_path, monkeypatch, capsys)
    assert ("2 products came, and --k asks for 500" in said) == told
    assert ("release.results says when it is released (2 in this config)" in said) == told


@pytest.mark.parametrize(("product", "told"), [("a", False), ("z", True)])
def test_a_server_with_the_release_of_another_shop_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], product: str, told: bool
) -> None:
    said = said_of([product], 2, tmp_path, monkeypatch, capsys)
    assert ("none of these products is among the 1 of shop: the server at nowhere:1 answers with" in said) == told
