"""Five products made by hand, features of them, and requests for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf
from made_up_shop import DAY0, make_products, make_shop, train_tokenizer

from catalog.schema import KIND_WEIGHTS, KINDS
from rerank.associations import fit_associations
from rerank.config import RerankConfig
from rerank.features import FeatureExtractor
from rerank.product_tables import behaviour_table, build_tables, choose_keys

TITLES = ["Acme Men Navy Blue Shirts", "Acme Men Blue Shirts", "Acme Women Red Heels", "Bolt Watch", "红色连衣裙"]
COLOURS = ["Navy Blue", "Blue", "Red", None, "红色"]
GENDERS = ["Men", "Men", "Women", ["Unisex", "Men"], "Women"]
CATEGORIES = ["Apparel > Shirts", "Apparel > Shirts", "Shoes > Heels", "Watches", "Apparel > Dresses"]
PICTURES = [[1, 0], [0, 1], [0.6, 0.8], [0, 0], [-1, 0], [0, 0]]  # the fourth product has none; the last row is absent
PRICES = [10.0, 20.0, 40.0, float("nan"), 5.0]
HISTORY = 4
ABSENT = len(TITLES)
SLICES = SimpleNamespace(rerank=(1, 2))


def build_extractor(folder: Path, kind_weights: Mapping[str, float] = KIND_WEIGHTS) -> FeatureExtractor:
    attributes = [
        json.dumps({"colour": colour, "gender": gender}) for colour, gender in zip(COLOURS, GENDERS, strict=True)
    ]
    shop = make_shop(make_products(TITLES, {"category": CATEGORIES, "attributes": attributes, "price": PRICES}))
    features = SimpleNamespace(
        launched=np.zeros(ABSENT, np.int32),
        slices=SLICES,
        snapshots=np.stack([np.zeros((ABSENT, 1), np.float32), np.full((ABSENT, 1), 7, np.float32)]),
        snapshot_features=("click_all",),
    )
    tokenizer = train_tokenizer(folder / "model", TITLES * 3, 60)
    config = RerankConfig(history_length=HISTORY, history_half_life=1.0)
    keys = choose_keys(shop, config.lexical)
    assert keys == (
        "category_top",
        "category_second",
        "category_leaf",
        "brand",
        "attributes.gender",
        "attributes.colour",
    )
    tables = build_tables(shop, features, tokenizer, keys, config.lexical)  # type: ignore[arg-type]
    behaviour = behaviour_table(tables, features, [0, 1])  # type: ignore[arg-type]
    embeddings = np.eye(ABSENT, 6, dtype=np.float32)
    pictures = np.array(PICTURES, np.float32)
    associations = fit_associations(no_searches(), tables, config.lexical)
    weights = [kind_weights[kind] for kind in KINDS]
    return FeatureExtractor(
        tables, behaviour, ("click_all",), embeddings, pictures, associations, tokenizer, config, weights
    )


def no_searches() -> Any:
    none = np.zeros(0, np.int32)
    return SimpleNamespace(queries=none, example_query=none, example_product=none, example_slice=none)


def request(query: str | bytes = "", **changes: Any) -> dict[str, tf.Tensor]:
    values: dict[str, Any] = {
        "query": np.array([query], dtype=object),
        "query_embedding": np.ones((1, 6), np.float32),
        "history_row": np.full((1, HISTORY), ABSENT, np.int32),
        "history_kind": np.zeros((1, HISTORY), np.int32),
        "history_timestamp": np.zeros((1, HISTORY), np.int64),
        "timestamp": np.array([DAY0], np.int64),
        "candidate_row": np.arange(ABSENT + 1, dtype=np.int32)[None],
        "candidate_score": np.zeros((1, ABSENT + 1), np.float32),
        "candidate_rank": np.zeros((1, ABSENT + 1), np.float32),
        "best_score": np.zeros(1, np.float32),
        "day_slot": np.zeros(1, np.int32),
    }
    return {name: tf.constant(value) for name, value in {**values, **changes}.items()}


def column(extractor: FeatureExtractor, name: str, inputs: dict[str, tf.Tensor]) -> list[float]:
    numeric = extractor(inputs).numeric
    assert numeric.shape[-1] == len(extractor.names)
    return [round(float(value), 4) for value in numeric[0, :, extractor.names.index(name)]]
