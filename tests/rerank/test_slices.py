"""Stored features are the computed ones."""

import numpy as np
from made_up_shop import MadeUpShop

from rerank.slices import with_features
from rerank.train import Prepared, prepare


def prepared(shop: MadeUpShop) -> Prepared:
    parts = list(shop.candidates.values())
    return prepare(shop.shop, shop.features, shop.tokenizer, shop.pictures, parts, shop.config)


def test_stored_features_are_the_computed_ones(made_up_shop: MadeUpShop) -> None:
    ready = prepared(made_up_shop)
    part = ready.lists(made_up_shop.candidates["validation"].take(np.arange(70)), 30)
    stored = with_features(part, ready.extractor, memory_gb=1.0)
    places = np.array([0, 65, 3], np.int32)
    batch = part.data.batch(places)
    for computed, kept in zip(
        part.features(ready.extractor, places, batch), stored.features(ready.extractor, places, batch), strict=True
    ):
        np.testing.assert_allclose(kept, computed, atol=1e-6)


def test_what_does_not_fit_is_not_stored(made_up_shop: MadeUpShop) -> None:
    ready = prepared(made_up_shop)
    part = ready.lists(made_up_shop.candidates["validation"].take(np.arange(70)), 30)
    size = 4 * 70 * 30 * len(ready.extractor.names) / 1e9
    assert with_features(part, ready.extractor, memory_gb=size * 0.99).stored is None
    assert with_features(part, ready.extractor, memory_gb=size * 1.01).stored is not None
