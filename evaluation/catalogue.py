"""What the simple methods read of a shop's products."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from scipy import sparse

from catalog.schema import product_texts
from evaluation.arrays import Gains, Mask

_CATEGORY = ""  # stands where an attribute's name does


@dataclass(frozen=True, eq=False)
class Catalogue:
    """Columns of N products.

    Args:
        texts, titles: [N], all a product's text, and its title.
        numbers: [N, 3] float32: price, log(1 + ratings) and the mean rating, NaN where unknown.
        values: CSR [N, V] of ones, the category path, brand and attributes of each product, without case.
        is_category: [V], the value is a category path.
    """

    texts: Sequence[str]
    titles: Sequence[str]
    numbers: Gains
    values: Any
    is_category: Mask

    @classmethod
    def read(cls, products: pa.Table) -> Self:
        """From the validated table."""
        price, ratings, rating = (products[name].to_numpy() for name in ("price", "rating_count", "rating_average"))
        numbers = np.stack([price, np.log1p(ratings), rating], axis=1).astype(np.float32)
        names: dict[tuple[str, str], int] = {}
        start: list[int] = [0]
        columns: list[int] = []
        cells = (products[name].to_pylist() for name in ("category", "brand", "attributes"))
        for category, brand, attributes in zip(*cells, strict=True):
            found = dict.fromkeys(_values(category, brand, attributes))
            columns.extend(names.setdefault(value, len(names)) for value in found)
            start.append(len(columns))
        shape = (products.num_rows, len(names))
        values = sparse.csr_matrix((np.ones(len(columns), np.float32), np.array(columns, np.int32), start), shape)
        is_category = np.array([key == _CATEGORY for key, _ in names], dtype=bool)
        return cls(product_texts(products), products["title"].to_pylist(), numbers, values, is_category)


def _values(category: str, brand: str, attributes: str) -> Iterator[tuple[str, str]]:
    """(key, value) of one product, empty values left out; each member of a list is a value."""
    for key, given in ((_CATEGORY, category), ("brand", brand), *json.loads(attributes or "{}").items()):
        for value in given if isinstance(given, list) else (given,):
            if text := str(value if value is not None else "").strip().lower():
                yield key, text
