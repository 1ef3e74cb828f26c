"""The catalogue as tables that graphs gather from by product row, so that batches carry integers alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from catalog.errors import ArtifactError
from catalog.feature_store import FeatureStore
from catalog.files import read_npy
from catalog.schema import ShopData, product_texts
from towers.behaviour import category_log_prices
from towers.config import TowersConfig
from towers.identity import id_buckets
from towers.text import Tokenizer

_TOKEN_STEP = 8


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """What the towers' shapes depend on and a later catalogue must keep to; saved with the weights.

    Attributes:
        categories: paths that have an embedding, in order; the embedding of categories[i] is row i + 1, others row 0.
        counters: names of the snapshot counters, in order.
        id_buckets: rows of the table of hashed ids.
        product_tokens: tokens read of a product.
        image_dim: size of the picture network's embeddings.
        category_prices: log of 1 + median price by category. catalogue_price: of the whole catalogue.
        day0: midnight UTC that day numbers count from, in seconds.
    """

    categories: tuple[str, ...]
    counters: tuple[str, ...]
    id_buckets: int
    product_tokens: int
    image_dim: int
    category_prices: dict[str, float]
    catalogue_price: float
    day0: int


@dataclass(frozen=True, eq=False)
class ProductTables:
    """One row a product, and a last row N for "absent".

    Attributes:
        tokens: [N + 1, T] int32. buckets: [N + 1, 2] int32, hashed ids. category: [N + 1] int32, 0 unknown.
        image_row: [N + 1] int32, the row of `images`; its last one, zeros, where there is no picture.
        images: [M + 1, E] float16, the picture network's embeddings.
        price, category_price, rating_average, rating_count: [N + 1] float32, as `BehaviourEncoder` reads them.
        launched: [N + 1] int32, day number.
    """

    tokens: npt.NDArray[np.int32]
    buckets: npt.NDArray[np.int32]
    category: npt.NDArray[np.int32]
    image_row: npt.NDArray[np.int32]
    images: npt.NDArray[np.float16]
    price: npt.NDArray[np.float32]
    category_price: npt.NDArray[np.float32]
    rating_average: npt.NDArray[np.float32]
    rating_count: npt.NDArray[np.float32]
    launched: npt.NDArray[np.int32]

    @property
    def n_products(self) -> int:
        """Products of the catalogue, N."""
        return len(self.tokens) - 1


def known_products(shop: ShopData, features: FeatureStore) -> pa.Table:
    """The products that were launched in the towers' slice, in order."""
    # Filtered chunk by chunk: `take` would join each column into one array, whose texts may hold 2 GiB at most.
    return shop.products.filter(pa.array(features.launched < features.slices.towers[1]))


def make_vocabulary(
    shop: ShopData, features: FeatureStore, images_dir: Path, tokenizer: Tokenizer, config: TowersConfig
) -> Vocabulary:
    """Read shapes and names off the part of the catalogue that was launched in the towers' slice."""
    products = known_products(shop, features)
    categories = products["category"].to_pylist()
    prices, catalogue_price = category_log_prices(categories, _floats(products, "price"))
    longest = config.text.product_tokens
    used = np.flatnonzero((tokenizer.encode(product_texts(products), longest) != 0).any(axis=0))
    needed = int(used[-1]) + 1 if len(used) else 1
    return Vocabulary(
        categories=tuple(sorted(set(categories) - {""})),
        counters=features.snapshot_features,
        id_buckets=config.id_buckets or 1 << max(shop.products.num_rows, 2).bit_length(),
        product_tokens=min(longest, -(-needed // _TOKEN_STEP) * _TOKEN_STEP),
        image_dim=int(read_embeddings(images_dir, shop).shape[1]),
        category_prices=prices,
        catalogue_price=catalogue_price,
        day0=features.day0,
    )


def make_tables(
    shop: ShopData, features: FeatureStore, images_dir: Path, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> ProductTables:
    """Tables of the whole catalogue.

    Raises:
        ArtifactError: if shop, features and pictures do not belong together.
    """
    products = shop.products
    if products.num_rows != features.n_products:
        raise ArtifactError(
            f"the features know {features.n_products:,} products, the shop's table has {products.num_rows:,}; "
            "build the features again"
        )
    if features.snapshot_features != vocabulary.counters:
        raise ArtifactError(
            f"these towers read the counters {', '.join(vocabulary.counters)}; the features hold "
            f"{', '.join(features.snapshot_features)}; train the towers again or build the features as they were"
        )
    images = read_embeddings(images_dir, shop)
    if images.shape[1] != vocabulary.image_dim:
        raise ArtifactError(
            f"{images_dir}: picture embeddings have size {images.shape[1]}, these towers read {vocabulary.image_dim}; "
            "train the towers again"
        )
    image_row = products["image_row"].to_numpy().astype(np.int32)
    numbers = {category: row for row, category in enumerate(vocabulary.categories, start=1)}
    categories = products["category"].to_pylist()
    prices = [vocabulary.category_prices.get(category, vocabulary.catalogue_price) for category in categories]
    buckets = id_buckets(tf.constant(products["product_id"].to_pylist(), tf.string), vocabulary.id_buckets).numpy()
    return ProductTables(
        tokens=_with_absent(tokenizer.encode(product_texts(products), vocabulary.product_tokens), 0),
        buckets=_with_absent(buckets, 0),
        category=_with_absent(np.asarray([numbers.get(category, 0) for category in categories], np.int32), 0),
        image_row=_with_absent(np.where(image_row < 0, len(images), image_row), len(images)),
        images=_with_absent(images, 0),
        price=_with_absent(_floats(products, "price").astype(np.float32), np.nan),
        category_price=_with_absent(np.asarray(prices, np.float32), 0),
        rating_average=_with_absent(_floats(products, "rating_average").astype(np.float32), np.nan),
        rating_count=_with_absent(products["rating_count"].to_numpy().astype(np.float32), 0),
        launched=_with_absent(np.asarray(features.launched, np.int32), 0),
    )


def read_embeddings(images_dir: Path, shop: ShopData) -> npt.NDArray[np.float16]:
    """[M, E] float16 embeddings of the shop's pictures; [0, 1] for a shop without a picture network."""
    if not len(shop.images) and not (images_dir / "embeddings.npy").exists():
        return np.zeros((0, 1), np.float16)
    embeddings = read_npy(images_dir / "embeddings.npy")
    if len(embeddings) != len(shop.images):
        raise ArtifactError(
            f"{images_dir}/embeddings.npy: {len(embeddings):,} embeddings for {len(shop.images):,} pictures; "
            "run the image stage again"
        )
    if not np.isfinite(embeddings).all():
        raise ArtifactError(
            f"{images_dir}/embeddings.npy holds values that are no finite numbers: the picture network overflows "
            "16 bits or is broken; set images.weights to another network, and run the image stage again"
        )
    return embeddings


class GraphTables(tf.Module):
    """`ProductTables` as tensors, gathered from by row inside of graphs.

    Args:
        tables: of the catalogue.
        dim: size of the content vectors.
        images_change: whether `set_images` will be called.

    Attributes:
        content: [N + 1, dim] variable, each product's content vector as of the last `refresh`; the last row is zero.
    """

    def __init__(self, tables: ProductTables, dim: int, images_change: bool = False) -> None:
        super().__init__(name="tables")
        self.n_products = tables.n_products
        self.tokens = tf.constant(tables.tokens)
        self.buckets = tf.constant(tables.buckets)
        self.category = tf.constant(tables.category)
        self.image_row = tf.constant(tables.image_row)
        self.images = tf.Variable(tables.images, trainable=False) if images_change else tf.constant(tables.images)
        self.price = tf.constant(tables.price)
        self.category_price = tf.constant(tables.category_price)
        self.rating_average = tf.constant(tables.rating_average)
        self.rating_count = tf.constant(tables.rating_count)
        self.launched = tf.constant(tables.launched)
        self.content = tf.Variable(tf.zeros((self.n_products + 1, dim)), trainable=False, name="content")

    def product(self, rows: tf.Tensor, days: tf.Tensor, counters: tf.Tensor) -> dict[str, tf.Tensor]:
        """Inputs of the product tower for products [batch] at days [batch] with counters [batch, F]."""
        image_rows = tf.gather(self.image_row, rows)
        return {
            "tokens": tf.gather(self.tokens, rows),
            "image": self.image(image_rows),
            "image_present": self.has_image(image_rows),
            "buckets": tf.gather(self.buckets, rows),
            "counters": counters,
            "price": tf.gather(self.price, rows),
            "category_price": tf.gather(self.category_price, rows),
            "rating_average": tf.gather(self.rating_average, rows),
            "rating_count": tf.gather(self.rating_count, rows),
            "age_days": tf.cast(days - tf.gather(self.launched, rows), tf.float32),
        }

    def image(self, image_rows: tf.Tensor) -> tf.Tensor:
        """[batch, E] float32 embeddings of pictures by row."""
        return tf.cast(tf.gather(self.images, image_rows), tf.float32)

    def set_images(self, images: npt.NDArray[np.float16]) -> None:
        """Replace the pictures' embeddings [M, E]."""
        self.images.assign(_with_absent(images, 0))

    def has_image(self, image_rows: tf.Tensor) -> tf.Tensor:
        """[batch] bool: whether a picture row is one of a picture."""
        return image_rows < self.images.shape[0] - 1

    def history(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Inputs of the history items [batch, H] by product row."""
        return {
            "buckets": tf.gather(self.buckets, rows),
            "categories": tf.gather(self.category, rows),
            "contents": tf.gather(self.content, rows),
        }


def _with_absent(table: npt.NDArray[Any], fill: float) -> npt.NDArray[Any]:
    last = np.full((1, *table.shape[1:]), fill, table.dtype)
    return np.concatenate([table, last])


def _floats(products: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return products[name].to_numpy().astype(np.float64)
