"""Raw fields of products as the released product tower takes them."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from catalog.feature_store import FeatureStore
from catalog.schema import TEXT_FIELDS, ShopData
from pipelines.snapshot import snapshot_time
from towers.tables import read_embeddings


def raw_fields(shop: ShopData, features: FeatureStore, day: int, images_dir: Path) -> dict[str, npt.NDArray[Any]]:
    """Inputs of `product_tower`'s signature `with_image_embedding` for every product, at the start of `day`.

    Counters are those of that day; texts, price and ratings have no time and are those of the products table.

    Returns:
        The texts as [N] objects; price, rating_average [N] float32; rating_count, created_at, timestamp [N] int64;
        counters [N, F] float32; image_embedding [N, E] float32 and image_present [N] bool.
    """
    products = shop.products
    fields: dict[str, npt.NDArray[Any]] = {
        name: np.array(products.column(name).to_pylist(), dtype=object) for name in ("product_id", *TEXT_FIELDS)
    }
    for name in ("price", "rating_average"):
        fields[name] = products.column(name).to_numpy().astype(np.float32)
    fields["rating_count"] = products.column("rating_count").to_numpy().astype(np.int64)
    seconds = pc.divide(pc.cast(products.column("created_at"), "int64"), 1_000_000)
    fields["created_at"] = seconds.to_numpy().astype(np.int64)
    fields["timestamp"] = np.full(products.num_rows, snapshot_time(features, day), np.int64)
    fields["counters"] = np.asarray(features.snapshots[day], dtype=np.float32)
    image_row = products.column("image_row").to_numpy()
    embeddings = read_embeddings(images_dir, shop)
    present = image_row >= 0
    picked = np.zeros((products.num_rows, embeddings.shape[1]), np.float32)
    picked[present] = embeddings[image_row[present]]
    return fields | {"image_embedding": picked, "image_present": present}
