"""The simulator's truth in the order of the shop's product rows."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from evaluation.arrays import Gains


class TruthLike(Protocol):
    """What scoring needs of a truth; `catalog.truth.Truth` has it. Columns are products, in the order of `product_ids`.

    Attributes:
        examination: [positions] float32, P(examined), 1 at the top.
    """

    @property
    def product_ids(self) -> npt.NDArray[np.str_]:
        """[products] str."""
        ...

    examination: Gains

    def relevance(self, queries: Sequence[str]) -> npt.NDArray[np.uint8]:
        """[queries, products] grades 0..3."""
        ...

    def appeal(self, user_ids: Sequence[str], session_ids: Sequence[str], queries: Sequence[str]) -> Gains:
        """[requests, products] P(click | examined)."""
        ...

    def conversion(self, user_ids: Sequence[str]) -> Gains:
        """[users, products] P(purchase | click)."""
        ...


class AlignedTruth:
    """A truth whose columns are the validated table's product rows.

    The truth keeps the order in which the products came in; the tables are sorted and may lack rejected products.

    Args:
        truth: the simulated world.
        product_ids: [N], of the validated table.

    Raises:
        DataError: for a product that the truth does not know.
    """

    def __init__(self, truth: TruthLike, product_ids: Sequence[str]) -> None:
        column_of = {name: column for column, name in enumerate(truth.product_ids.tolist())}
        unknown = [name for name in product_ids if name not in column_of]
        if unknown:
            raise DataError(
                f"{len(unknown):,} products are not in the simulated truth, the first is {unknown[0]!r}; "
                "expected the truth of this very shop: simulate and ingest it again"
            )
        self._truth = truth
        self._columns = np.array([column_of[name] for name in product_ids], np.int64)
        self._in_order = np.array_equal(self._columns, np.arange(len(column_of)))
        self.product_ids = np.array(list(product_ids), dtype=object)
        self.examination = np.asarray(truth.examination, np.float32)

    def relevance(self, queries: Sequence[str]) -> npt.NDArray[np.uint8]:
        """See `TruthLike`."""
        grades = self._truth.relevance(queries)
        return grades if self._in_order else grades[:, self._columns]

    def appeal(self, user_ids: Sequence[str], session_ids: Sequence[str], queries: Sequence[str]) -> Gains:
        """See `TruthLike`."""
        appeal = self._truth.appeal(user_ids, session_ids, queries)
        return appeal if self._in_order else appeal[:, self._columns]

    def conversion(self, user_ids: Sequence[str]) -> Gains:
        """See `TruthLike`."""
        conversion = self._truth.conversion(user_ids)
        return conversion if self._in_order else conversion[:, self._columns]
