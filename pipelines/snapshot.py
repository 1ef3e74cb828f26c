"""The moment a release stands for: its day, and the products that its index holds."""

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from catalog.splits import SECONDS_PER_DAY


def snapshot_day(features: FeatureStore, snapshot: str) -> int:
    """The day whose morning a release stands for.

    Args:
        features: the shop's features.
        snapshot: "test": the first test day, so that the release can be judged on what came after; "latest": the day
            after the last event, for deployment.
    """
    return features.slices.test[0] if snapshot == "test" else features.slices.test[1]


def snapshot_time(features: FeatureStore, day: int) -> int:
    """Seconds since the epoch at the start of `day`."""
    return features.day0 + day * SECONDS_PER_DAY


def launched_rows(features: FeatureStore, day: int) -> npt.NDArray[np.int32]:
    """Rows of the products that were launched before `day`, ascending."""
    return np.flatnonzero(features.launched < day).astype(np.int32)


def eligible_rows(shop: ShopData, features: FeatureStore, day: int) -> npt.NDArray[np.int32]:
    """Rows of the products that were launched before `day` and are in stock, ascending: what the index holds.

    Stock has no time: it is that of the products table, whatever the day.
    """
    rows = launched_rows(features, day)
    in_stock = shop.products.column("in_stock").to_numpy(zero_copy_only=False)
    return rows[in_stock[rows]]
