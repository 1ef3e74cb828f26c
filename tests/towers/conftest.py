"""A toy shop whose right answers are plain: shoppers like one colour, and click what they asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from catalog.feature_store import FeatureStore
from catalog.features import FeaturesConfig, build
from catalog.files import write_npy, write_parquet
from catalog.schema import EVENTS_SCHEMA, PRODUCTS_SCHEMA, ShopData
from catalog.splits import SplitsConfig
from towers.config import DeviceConfig, HistoryConfig, TextConfig, TowersConfig, TrainingConfig

COLOURS = ("red", "green", "blue", "navy blue", "黑色", "white")
TYPES = ("shirt", "shoe", "watch", "手机壳")
START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 12


@dataclass(frozen=True)
class Toy:
    """A shop on disk: its tables, features and picture embeddings."""

    folder: Path
    shop: ShopData
    features: FeatureStore

    @property
    def images_dir(self) -> Path:
        return self.folder / "images"


def small_config(**changes: object) -> TowersConfig:
    """Towers that train in seconds."""
    training = TrainingConfig(
        epochs=2,
        search_examples=24,
        next_items=16,
        catalogue_queries=24,
        mixed_negatives=16,
        learning_rate=5e-3,
        modality_dropout=0.1,
        patience=5,
    )
    base = TowersConfig(
        dim=16,
        text=TextConfig(vocab_size=400, product_tokens=16, query_tokens=8),
        history=HistoryConfig(length=8, search_length=6, blocks=1, dropout=0.1),
        training=training,
        device=DeviceConfig(),
    )
    return base.model_copy(update=changes)


def with_training(config: TowersConfig, **changes: object) -> TowersConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def write_toy(
    folder: Path,
    products: int = 48,
    users: int = 24,
    sessions: int = 6,
    searches: bool = True,
    pictures: bool = True,
    seed: int = 0,
) -> Toy:
    """Products of a colour and a type; users who like one colour, search for it and click what matches."""
    rng = np.random.default_rng(seed)
    colour, kind = rng.integers(0, len(COLOURS), products), rng.integers(0, len(TYPES), products)
    has_picture = (rng.random(products) < 0.8) & pictures
    image_row = np.where(has_picture, np.cumsum(has_picture) - 1, -1)
    created = [START + timedelta(days=int(day)) for day in rng.choice([-30, -10, 0, 3, DAYS - 2], products)]
    table = {
        "product_id": [f"p{row:04d}" for row in range(products)],
        "title": [f"{COLOURS[c]} {TYPES[t]} number {row}" for row, (c, t) in enumerate(zip(colour, kind, strict=True))],
        "description": [""] * products,
        "category": [f"Things > {TYPES[t]}" for t in kind],
        "brand": [f"brand{row % 3}" for row in range(products)],
        "attributes": [f'{{"colour":"{COLOURS[c]}"}}' for c in colour],
        "price": [float("nan") if row % 7 == 0 else 10.0 + row for row in range(products)],
        "currency": ["EUR"] * products,
        "in_stock": [True] * products,
        "created_at": created,
        "rating_average": [float("nan") if row % 5 == 0 else 1.0 + row % 4 for row in range(products)],
        "rating_count": [0 if row % 5 == 0 else row for row in range(products)],
        "review_text": [""] * products,
        "image_row": image_row,
        "image_sha256": [f"hash{row}" if row >= 0 else "" for row in image_row],
    }
    tables = folder / "tables"
    write_parquet(tables / "products.parquet", pa.table(table, schema=PRODUCTS_SCHEMA))
    write_parquet(tables / "events.parquet", _events(rng, users, sessions, searches, colour, kind, created))
    owners = pa.table(
        {"user_id": [f"u{u}" for u in range(users)], "country": ["DE" if u % 2 else "" for u in range(users)]}
    )
    write_parquet(tables / "users.parquet", owners)
    shown = np.flatnonzero(has_picture)
    images = rng.integers(0, 256, (len(shown), 32, 32, 3)).astype(np.uint8)
    images[..., 0] = 40 * colour[shown, None, None]
    write_npy(tables / "images.npy", images)
    embeddings = rng.normal(size=(len(shown), 12)) * 0.1 + np.eye(12)[colour[shown]] + np.eye(12)[6 + kind[shown]]
    write_npy(folder / "images" / "embeddings.npy", embeddings.astype(np.float16))
    splits = SplitsConfig(rerank_days=2, validation_days=2, test_days=1)
    features = build(tables, folder / "features", FeaturesConfig(counter_windows_days=(2, 5)), splits)
    return Toy(folder, ShopData.load(tables), features)


def _events(
    rng: np.random.Generator,
    users: int,
    sessions: int,
    searches: bool,
    colour: np.ndarray,
    kind: np.ndarray,
    created: list[datetime],
) -> pa.Table:
    rows: list[tuple[datetime, str, str, str, str, str, int]] = []
    for user in range(users):
        liked = user % len(COLOURS)
        for session in range(sessions):
            now = START + timedelta(seconds=int(rng.integers(0, DAYS * 86_400 - 3_600)))
            asked = searches and rng.random() < 0.6
            wanted = int(rng.integers(0, len(TYPES)))
            fits = np.flatnonzero((colour == liked) & ((kind == wanted) | (not asked)))
            there = [row for row in fits if created[row] <= now]
            if not there:
                continue
            query = f"{COLOURS[liked]} {TYPES[wanted]}" if asked else ""
            clicked = rng.choice(there, min(3, len(there)), replace=False)
            page = dict.fromkeys([*clicked.tolist(), *rng.integers(0, len(kind), 3).tolist()])
            for position, row in enumerate(page, start=1):
                rows.append((now, f"u{user}", f"s{user}-{session}", "impression", f"p{row:04d}", query, position))
            for step, row in enumerate(clicked.tolist()):
                at = now + timedelta(seconds=60 * (step + 1))
                rows.append((at, f"u{user}", f"s{user}-{session}", "click", f"p{row:04d}", query, 0))
                if rng.random() < 0.3:
                    rows.append(
                        (
                            at + timedelta(seconds=9),
                            f"u{user}",
                            f"s{user}-{session}",
                            "purchase",
                            f"p{row:04d}",
                            query,
                            0,
                        )
                    )
    rows.sort(key=lambda row: row[0])
    names = ("timestamp", "user_id", "session_id", "kind", "product_id", "query", "position")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)) | {"device": [""] * len(rows)}
    return pa.table({name: columns[name] for name in EVENTS_SCHEMA.names}, schema=EVENTS_SCHEMA)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    return write_toy(tmp_path_factory.mktemp("toy"))


@pytest.fixture(scope="session")
def make_toy(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Toy]:
    return lambda **settings: write_toy(tmp_path_factory.mktemp("made"), **settings)


@pytest.fixture(scope="session")
def config() -> TowersConfig:
    return small_config()
