"""Answers as a table: what products are called is shown as it is."""

import io

import pyarrow as pa
from rich.console import Console

from pipelines.ask import answer_table
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
