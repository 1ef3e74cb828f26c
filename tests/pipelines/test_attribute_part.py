"""Queries made from columns: that they are made before anything is scored, and how they are compared."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from catalog.errors import DataError
from evaluation.attribute_queries import make_attribute_queries
from pipelines import attribute_part
from pipelines.attribute_part import attribute_board, attribute_claims, attribute_queries
from pipelines.config import EvaluateConfig
from pipelines.judging import OURS, RETRIEVAL, Shop

COLOURS = ("red", "blue")
PRODUCTS = pa.table(
    {
        "title": [f"{COLOURS[row % 2]} shoe" for row in range(24)],
        "category": ["Shoes"] * 24,
        "attributes": [json.dumps({"colour": COLOURS[row % 2]}) for row in range(24)],
    }
)


def shop(products: int = 24) -> Shop:
    data: Any = SimpleNamespace(products=PRODUCTS.slice(0, products))
    nothing: Any = None
    return Shop(data, nothing, np.ones(products, bool), 0)


def test_a_wrong_key_is_refused_and_too_few_products_leave_the_queries_out(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="'color' is empty in every product"):
        attribute_queries(shop(), EvaluateConfig(attribute_keys=("color",)))
    settings = EvaluateConfig(attribute_keys=("colour",), attribute_queries=4)
    assert attribute_queries(shop(products=8), settings) is None
    assert "too few products share colour" in "".join(capsys.readouterr())
    made = attribute_queries(shop(), settings)
    assert made is not None
    assert len(made.texts) == 4
    assert attribute_queries(shop(), EvaluateConfig()) is None


def test_wordings_of_the_same_values_are_resampled_together(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_attribute_queries(PRODUCTS, np.ones(24, bool), ("colour",), 4)
    assert made is not None
    right = np.array([np.flatnonzero(made.product_codes == code)[:10] for code in made.codes], np.int32)
    monkeypatch.setattr(attribute_part, "our_rankings", lambda *_: {OURS: right, RETRIEVAL: right})
    baselines: Any = SimpleNamespace(rank=lambda _: {"BM25": right[::-1]})
    models: Any = None
    board = attribute_board(made, shop(), models, baselines, False, EvaluateConfig())
    found = board.comparison("match@10", OURS)
    assert found is not None
    assert (board.requests, found.difference.units) == (4, 2)  # four wordings, red and blue
    assert [claim.met for claim in attribute_claims(board)] == [True]
