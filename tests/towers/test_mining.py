"""Hard negatives of products whose scores are made up: from which ranks they are drawn, and that nobody chose them."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from towers import mining
from towers.mining import mine_hard_negatives


def mined(monkeypatch: pytest.MonkeyPatch, products: int, chosen: list[list[int]]) -> np.ndarray:
    """[searches, 4] of one search for each choice; query i chose `chosen[i]`, and product 0 is last of each ranking."""
    pairs = [(query, product) for query, found in enumerate(chosen) for product in found]
    features: Any = SimpleNamespace(
        queries=np.arange(len(chosen)),
        n_products=products,
        example_query=np.array([query for query, _ in pairs]),
        example_product=np.array([product for _, product in pairs]),
    )
    towers: Any = SimpleNamespace(features=features, query_embeddings=lambda examples: np.ones((len(examples), 1)))
    batches: Any = SimpleNamespace(launched=np.arange(products), searches=np.arange(len(pairs)), search_length=1)
    monkeypatch.setattr(mining, "example_questions", lambda features, examples, length: examples)
    return mine_hard_negatives(towers, batches, np.arange(products, dtype=np.float32)[:, None], 0)


def test_ranks_10_to_110_of_what_nobody_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    # 200 products, the best of which is 199: chosen, so ranks 10 to 110 are the products 188 to 89
    found = mined(monkeypatch, 200, [[199]] * 600)
    drawn = np.random.default_rng(0)
    expected = np.concatenate([188 - (drawn.integers(10, 110, (rows, 4)) - 10) for rows in (512, 88)])
    np.testing.assert_array_equal(found, expected)


def test_what_somebody_chose_is_never_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    # 14 products: after 3 choices rank 10 alone is left, after 5 the last is rank 8; after 14 there is none
    some, many = [11, 12, 13], [0, 2, 11, 12, 13]
    found = mined(monkeypatch, 14, [some, many, list(range(14)), [13]])
    assert (found[:3] == 0).all()  # rank 10 of 10 to 0
    assert (found[3:8] == 1).all()  # rank 8 of 10 to 3 and 1
    assert set(found[22:].ravel()) <= {0, 1, 2}  # ranks 10 to 12 of 12 to 0
