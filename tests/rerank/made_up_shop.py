"""A tiny shop whose right answers are known: clicks = examination(position) x appeal(words matched, quality)."""

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import sentencepiece

from catalog.feature_store import FeatureStore
from catalog.schema import KIND_WEIGHTS, KINDS, PRODUCTS_SCHEMA, ShopData
from catalog.splits import Slices
from rerank.candidates import Candidates
from rerank.config import RerankConfig

GENDERS = ("Men", "Women")
COLOURS = ("Red", "Blue", "Navy Blue", "Black", "White")
TYPES = ("Shirts", "Heels", "Watches", "Dresses", "Casual Shoes")
DAY0 = 1_700_000_000 - 1_700_000_000 % 86_400
SLICES = Slices(towers=(0, 4), rerank=(4, 8), validation=(8, 10), test=(10, 11))
COUNTERS = ("impression_7d", "click_7d", "purchase_7d", "impression_all", "click_all", "purchase_all")
PAGE, DIM, CANDIDATES = 20, 16, 50
EXAMINATION = np.arange(1, PAGE + 1) ** -0.7


@dataclass(frozen=True)
class MadeUpShop:
    """The shop, its log, what retrieval returned, and the truth behind it."""

    shop: ShopData
    features: FeatureStore
    candidates: dict[str, Candidates]
    candidates_dir: Path
    tokenizer: Path
    embeddings: npt.NDArray[np.float32]
    pictures: npt.NDArray[np.float16]
    appeal: npt.NDArray[np.float64]  # [requests, N], P(click | examined)
    config: RerankConfig


def make_products(titles: list[str], columns: dict[str, list[object]]) -> pa.Table:
    """A validated products table; what `columns` does not give is missing."""
    number = len(titles)
    missing: dict[str, list[object]] = {
        "product_id": [f"p{row:04d}" for row in range(number)],
        "title": list(titles),
        "price": [float("nan")] * number,
        "in_stock": [True] * number,
        "created_at": [datetime.fromtimestamp(DAY0, UTC)] * number,
        "rating_average": [float("nan")] * number,
        "rating_count": [0] * number,
        "image_row": [-1] * number,
        "attributes": ["{}"] * number,
    }
    names = PRODUCTS_SCHEMA.names
    return pa.table({name: columns.get(name, missing.get(name, [""] * number)) for name in names}, PRODUCTS_SCHEMA)


def make_shop(products: pa.Table) -> ShopData:
    return ShopData(products, Path("events.parquet"), None, None, np.zeros((0, 8, 8, 3), np.uint8))


def train_tokenizer(path: Path, lines: list[str], size: int = 150) -> Path:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, vocab_size=size, model_type="unigram", byte_fallback=False,
        normalization_rule_name="nmt_nfkc_cf", hard_vocab_limit=False, minloglevel=2,
    )  # fmt: skip
    path.write_bytes(model.getvalue())
    return path


def unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def build_made_up_shop(folder: Path, requests: int = 2000, products: int = 300, seed: int = 0) -> MadeUpShop:
    random = np.random.default_rng(seed)
    kinds = np.stack([random.integers(0, size, products) for size in (len(GENDERS), len(COLOURS), len(TYPES))], 1)
    quality = random.normal(size=products)
    table = _products(kinds, quality, random)
    shop = make_shop(table)
    wanted = np.stack([random.integers(0, size, requests) for size in (len(GENDERS), len(COLOURS), len(TYPES))], 1)
    texts = [f"{COLOURS[c]} {GENDERS[g]} {TYPES[t]}".lower() for g, c, t in wanted]
    queries, query = np.unique(np.array(texts, dtype=object), return_inverse=True)
    matches = (wanted[:, None, :] == kinds[None]).sum(2)  # 0..3 of gender, colour and type
    appeal = 1 / (1 + np.exp(-(2.2 * (matches - 3) + 0.5 + 0.8 * quality[None])))
    log = _log(appeal, matches, quality, random)
    features = _features(log, query.astype(np.int32), queries, quality, products, random)
    # Retrieval knows the type and little else.
    centres = random.normal(size=(len(TYPES), DIM))
    embeddings = unit(centres[kinds[:, 2]] + 0.7 * random.normal(size=(products, DIM)))
    query_embedding = unit(centres[wanted[:, 2]] + 0.7 * random.normal(size=(requests, DIM)))
    candidates = {}
    for code, name in ((1, "rerank"), (2, "validation")):
        request = np.flatnonzero(features.request_slice == code).astype(np.int32)
        score = query_embedding[request] @ embeddings.T
        rows = np.argsort(-score, axis=1)[:, :CANDIDATES].astype(np.int32)
        candidates[name] = Candidates(
            request, rows, np.take_along_axis(score, rows, 1), query_embedding[request], embeddings
        )
        candidates[name].save(folder / "candidates" / name)
    tokenizer = train_tokenizer(folder / "tokenizer.model", [*table["title"].to_pylist(), *texts])
    config = RerankConfig(
        history_length=6, list_length=30, max_position=PAGE, epochs=10, patience=10, batch_requests=32,
        deep_units=(32,), projection_dim=8, cross_layers=2, learning_rate=3e-3, weight_decay=0.5,
        unshown_weight=0.1, teacher_weight=0.0,
        profile_columns=("city",), profile_buckets=8, value_buckets=64,
    )  # fmt: skip
    pictures = random.normal(size=(products, 4)).astype(np.float16)
    return MadeUpShop(
        shop, features, candidates, folder / "candidates", tokenizer, embeddings, pictures, appeal, config
    )


def _products(kinds: npt.NDArray[np.int64], quality: npt.NDArray[np.float64], random: np.random.Generator) -> pa.Table:
    names = [(GENDERS[g], COLOURS[c], TYPES[t]) for g, c, t in kinds]
    titled = random.random(len(names)) < 0.5  # the others tell their colour in the attributes alone
    titles = [f"Acme {g} {c} {t}" if whole else f"Acme {g} {t}" for (g, c, t), whole in zip(names, titled, strict=True)]
    return make_products(
        titles,
        {
            "category": [f"Apparel > {t}" for _, _, t in names],
            "attributes": [json.dumps({"base_colour": c, "gender": g}) for g, c, _ in names],
            "price": list(np.round(random.lognormal(3, 0.5, len(names)), 2)),
            "rating_average": list(np.clip(3.5 + 0.5 * quality, 0, 5)),
            "rating_count": [20] * len(names),
            "image_row": list(range(len(names))),
        },
    )


def _log(
    appeal: npt.NDArray[np.float64],
    matches: npt.NDArray[np.int64],
    quality: npt.NDArray[np.float64],
    random: np.random.Generator,
) -> dict[str, npt.NDArray[np.generic]]:
    """Pages of the old shop: noisy matching plus popularity, a tenth of them shuffled."""
    requests = len(appeal)
    order_by = matches + 0.5 * quality + random.normal(size=matches.shape)
    shown = np.argsort(-order_by, axis=1)[:, :PAGE]
    shuffled = random.random(requests) < 0.1
    shown[shuffled] = random.permuted(shown[shuffled], axis=1)
    click = random.random(shown.shape) < np.take_along_axis(appeal, shown, 1) * EXAMINATION
    cart = click & (random.random(shown.shape) < 0.4)
    return {"shown": shown, "click": click, "cart": cart, "purchase": cart & (random.random(shown.shape) < 0.5)}


def _features(
    log: dict[str, npt.NDArray[np.generic]],
    query: npt.NDArray[np.int32],
    queries: npt.NDArray[np.object_],
    quality: npt.NDArray[np.float64],
    products: int,
    random: np.random.Generator,
) -> FeatureStore:
    requests, users, events = len(query), 50, 4
    day = np.sort(np.append(random.integers(4, 10, requests - 1), 9)).astype(np.int32)
    timestamp = (DAY0 + day.astype(np.int64) * 86_400 + 3600).astype(np.int64)
    user = random.integers(0, users, requests).astype(np.int32)
    interactions = users * events
    kind = random.integers(1, len(KINDS), interactions).astype(np.int8)
    impressions = random.poisson(20, (SLICES.days + 1, products, 2))
    clicks = random.poisson(np.exp(0.5 * quality)[None, :, None], impressions.shape)
    counts = np.stack([impressions, clicks, clicks // 3], 3).transpose(0, 1, 2, 3).reshape(SLICES.days + 1, products, 6)
    none_i32, none_f32, none_bool = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(0, bool)
    none_i64, none_i8 = np.zeros(0, np.int64), np.zeros(0, np.int8)
    return FeatureStore(
        day0=DAY0,
        slices=SLICES,
        user_ids=np.array([f"u{number}" for number in range(users)], dtype=object),
        user_columns={"city": np.array([("Oslo", "Rome", "")[number % 3] for number in range(users)], dtype=object)},
        queries=queries,
        launched=random.integers(-30, 4, products).astype(np.int32),
        snapshots=counts.astype(np.float32),
        snapshot_features=COUNTERS,
        user_start=np.arange(users + 1, dtype=np.int64) * events,
        interaction_user=np.repeat(np.arange(users, dtype=np.int32), events),
        interaction_product=random.integers(0, products, interactions).astype(np.int32),
        interaction_kind=kind,
        interaction_timestamp=np.tile(DAY0 + 3600 * np.arange(events, dtype=np.int64), users),
        interaction_query=np.full(interactions, -1, np.int32),
        interaction_weight=np.array([KIND_WEIGHTS[KINDS[code]] for code in kind], np.float32),
        interaction_target=np.zeros(interactions, bool),
        example_user=none_i32, example_query=none_i32, example_timestamp=none_i64, example_history_end=none_i64,
        example_product=none_i32, example_kind=none_i8, example_weight=none_f32, example_new=none_bool,
        example_slice=none_i8, example_day=none_i32, example_request=none_i32,
        request_user=user,
        request_session=np.array([f"s{number}" for number in range(requests)], dtype=object),
        request_query=query,
        request_timestamp=timestamp,
        request_history_end=(user.astype(np.int64) + 1) * events,
        request_slice=SLICES.codes(day),
        request_day=day,
        impression_start=np.arange(requests + 1, dtype=np.int64) * PAGE,
        impression_product=log["shown"].ravel().astype(np.int32),
        impression_position=np.tile(np.arange(1, PAGE + 1, dtype=np.int32), requests),
        impression_click=log["click"].ravel().astype(bool),
        impression_cart=log["cart"].ravel().astype(bool),
        impression_purchase=log["purchase"].ravel().astype(bool),
    )  # fmt: skip
