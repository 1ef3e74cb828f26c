"""The products as shoppers feel about them: quality, price within the type, style, looks, launch; and what is told."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.simulation.attributes import AUDIENCE_KEYS, LOOK_KEYS, Attributes
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.vocabulary import BAD_REVIEWS, GOOD_REVIEWS, TYPES

Floats = npt.NDArray[np.float32]

STYLE_DIMENSIONS = 8
NEVER = np.int32(2**30)

_LANGUAGES = ("en", "zh", "both")


@dataclass(frozen=True)
class Shelf:
    """The product side of the simulated world, row by row as in raw/products.parquet.

    Attributes:
        product_ids: [products] str.
        attributes: types and attribute values as queries may ask for them.
        looks: [products, LOOK_DIMENSIONS] measured on the pixels.
        style: [products, STYLE_DIMENSIONS] from brand, material, usage and the like.
        quality: [products] standard normal; its exponential is the long tail of appeal.
        price_z: [products] log price, standardised within the type.
        language: [products] int8: 0 English, 1 Chinese, 2 both.
        launch_day: [products] int32, day of the log, negative before it.
        sold_out_day: [products] int32, first day it cannot be had; NEVER for most.
    """

    product_ids: npt.NDArray[np.str_]
    attributes: Attributes
    looks: Floats
    style: Floats
    quality: Floats
    price_z: Floats
    language: npt.NDArray[np.int8]
    launch_day: npt.NDArray[np.int32]
    sold_out_day: npt.NDArray[np.int32]

    def on_sale(self, day: int) -> npt.NDArray[np.bool_]:
        """[products] whether a product could be had on a day."""
        return (self.launch_day <= day) & (day < self.sold_out_day)


def stock_shelf(
    table: pa.Table,
    attributes: Attributes,
    looks: Floats,
    languages: npt.NDArray[np.int8],
    config: SimulateConfig,
    random: np.random.Generator,
) -> tuple[Shelf, pa.Table]:
    """Draw what the catalogue does not say, and fill in what a shop would know of it.

    Args:
        table: the products as made up or as an adapter wrote them.
        attributes: their codes. looks: their looks. languages: [products] 0, 1 or 2.

    Returns:
        The shelf, and `table` with price, currency, created_at, ratings, stock and (for a made-up catalogue) reviews.
    """
    size = table.num_rows
    told = _told_prices(table)
    known = np.isfinite(told)
    price = np.where(known, told, _prices(attributes, random))
    logs = np.log(price)
    launch = np.where(
        random.random(size) < config.launched_during_log,
        random.integers(0, config.days, size),
        -random.integers(1, 540, size),
    ).astype(np.int32)
    sold_out = np.full(size, NEVER, np.int32)
    gone = random.random(size) < config.out_of_stock_share
    sold_out[gone] = random.integers(max(config.days - 20, 1), config.days, int(gone.sum()))
    shelf = Shelf(
        product_ids=np.array(table["product_id"].to_pylist(), dtype=np.str_),
        attributes=attributes,
        looks=looks,
        style=_styles(attributes, random),
        quality=random.standard_normal(size, dtype=np.float32),
        price_z=_within(logs, attributes.type),
        language=languages,
        launch_day=launch,
        sold_out_day=np.maximum(sold_out, launch + 1),
    )
    return shelf, _tell(table, shelf, price, known, config, random)


def _told_prices(table: pa.Table) -> npt.NDArray[np.float64]:
    """[products] the catalogue's own prices, NaN where it has none."""
    if "price" not in table.column_names:
        return np.full(table.num_rows, np.nan)
    told = table["price"].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.where(told > 0, told, np.nan)


def _prices(attributes: Attributes, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Prices by type and brand, log-normal around both."""
    size = len(attributes.type)
    bases = {f"{kind.label} {kind.words.zh[0]}": kind.price for kind in TYPES}
    drawn = np.exp(random.normal(3.4, 0.6, len(attributes.types)))
    base = np.array([bases.get(name, value) for name, value in zip(attributes.types, drawn, strict=True)])
    brand = attributes.codes.get("brand")
    factor = np.zeros(size)
    if brand is not None:
        factor = np.append(random.normal(0, 0.3, len(attributes.values["brand"])), 0.0)[brand]
    price = base[attributes.type] * np.exp(factor + random.normal(0, 0.3, size))
    return np.maximum(np.round(price, 2), 0.5)


def _within(values: npt.NDArray[np.float64], groups: npt.NDArray[np.int16]) -> Floats:
    """Standardise within groups, by each group's mean and a spread of at least 0.1."""
    counts = np.maximum(np.bincount(groups), 1)
    mean = np.bincount(groups, values) / counts
    spread = np.sqrt(np.bincount(groups, (values - mean[groups]) ** 2) / counts)
    return np.clip((values - mean[groups]) / np.maximum(spread, 0.1)[groups], -3, 3).astype(np.float32)


def _styles(attributes: Attributes, random: np.random.Generator) -> Floats:
    """Each value of brand, material, usage and so on is a random vector; a product is their scaled sum."""
    total = np.zeros((len(attributes.type), STYLE_DIMENSIONS), np.float32)
    keys = [key for key in attributes.keys if key not in (*LOOK_KEYS, *AUDIENCE_KEYS)]
    for key in keys:
        vectors = random.standard_normal((len(attributes.values[key]) + 1, STYLE_DIMENSIONS)).astype(np.float32)
        vectors[-1] = 0
        total += vectors[attributes.codes[key]] * (1.4 if key == "brand" else 0.8)
    return total / np.float32(max(np.sqrt((total**2).mean()), 1e-3))


def _tell(
    table: pa.Table,
    shelf: Shelf,
    price: npt.NDArray[np.float64],
    known: npt.NDArray[np.bool_],
    config: SimulateConfig,
    random: np.random.Generator,
) -> pa.Table:
    """Fill in what the shop knows; of the made-up prices some are left out."""
    size = table.num_rows
    day0 = datetime.combine(config.start, datetime.min.time(), tzinfo=UTC)
    seconds = random.integers(0, 6 * 3600, size)  # in the night before the day opens
    created = [
        day0 + timedelta(days=int(day), seconds=int(s)) for day, s in zip(shelf.launch_day, seconds, strict=True)
    ]
    old = shelf.launch_day < 0
    counts = np.where(old, random.poisson(np.exp(1.6 + 0.9 * shelf.quality + random.normal(0, 0.7, size))), 0)
    noise = random.normal(0, 0.9, size) / np.sqrt(np.maximum(counts, 1))
    stars = np.clip(3.9 + 0.45 * shelf.quality + noise, 1, 5).round(1)
    hidden = (random.random(size) < config.missing_price_share) & ~known
    columns = {
        "price": pa.array(np.where(hidden, np.nan, price), pa.float64(), mask=hidden),
        "currency": pa.array(["USD"] * size),
        "in_stock": pa.array(shelf.sold_out_day == NEVER),
        "created_at": pa.array(created, pa.timestamp("us", tz="UTC")),
        "rating_average": pa.array(stars, pa.float64(), mask=counts == 0),
        "rating_count": pa.array(counts.astype(np.int64)),
    }
    if config.products > 0:
        columns["review_text"] = pa.array(_reviews(shelf, counts, random))
    for name, cells in columns.items():
        if name in table.column_names:
            table = table.set_column(table.column_names.index(name), name, cells)
        else:
            table = table.append_column(name, cells)
    return table


def _reviews(shelf: Shelf, counts: npt.NDArray[np.int64], random: np.random.Generator) -> list[str | None]:
    """One to three sentences for products that have ratings, the happier the better the product."""
    texts: list[str | None] = []
    for row, count in enumerate(counts.tolist()):
        said = []
        for _ in range(min(count, int(random.integers(1, 4)))):
            happy = random.random() < 1 / (1 + np.exp(-1.0 - 1.5 * float(shelf.quality[row])))
            choices = GOOD_REVIEWS if happy else BAD_REVIEWS
            language = int(shelf.language[row]) if shelf.language[row] < 2 else int(random.integers(2))
            said.append(choices[int(random.integers(len(choices)))][language])
        texts.append(" ".join(dict.fromkeys(said)) or None)
    return texts


def language_codes(names: list[str]) -> npt.NDArray[np.int8]:
    """ "en", "zh", "both" -> 0, 1, 2."""
    return np.array([_LANGUAGES.index(name) for name in names], np.int8)


def language_names(codes: npt.NDArray[np.int8]) -> list[str]:
    """0, 1, 2 -> "en", "zh", "both"."""
    return [_LANGUAGES[code] for code in codes.tolist()]
