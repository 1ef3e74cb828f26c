"""What human raters would say of a sample of queries and products: the grade, now and then one off."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.schema import JUDGMENTS_SCHEMA
from catalog.simulation.appeal import Appeal
from catalog.simulation.oldshop import OldShop
from catalog.simulation.queries import QueryBook
from catalog.simulation.settings import SimulateConfig

_SLIP = 0.08


def judge(
    appeal: Appeal,
    old: OldShop,
    book: QueryBook,
    uses: npt.NDArray[np.int64],
    config: SimulateConfig,
    random: np.random.Generator,
) -> pa.Table | None:
    """Judge queries drawn by how often they are asked, each with results of the old shop, relevant and random products.

    Args:
        uses: [queries] how often each was asked.

    Returns:
        query, product_id, grade; None when nothing is to be judged.
    """
    count = min(config.judged_queries, int((uses > 0).sum()))
    if count == 0:
        return None
    queries = np.sort(random.choice(len(uses), count, replace=False, p=uses / uses.sum())).astype(np.int32)
    old.rebuild(queries)
    pages = old.search(queries, config.days - 1)
    texts, rows, grades = [], [], []
    for query, page in zip(queries.tolist(), pages, strict=True):
        one = np.array([query])
        truth = appeal.grades(book.wanted.scope[one], book.wanted.values[one])[0]
        chosen = _sample(page[page >= 0], truth, config.judged_products, random)
        slip = np.where(random.random(len(chosen)) < _SLIP, random.choice((-1, 1), len(chosen)), 0)
        texts += [book.texts[query]] * len(chosen)
        rows.append(chosen)
        grades.append(np.clip(truth[chosen].astype(int) + slip, 0, 3))
    products = appeal.shelf.product_ids[np.concatenate(rows)]
    return pa.table(
        {"query": texts, "product_id": products.tolist(), "grade": np.concatenate(grades).tolist()},
        schema=JUDGMENTS_SCHEMA,
    )


def _sample(
    shown: npt.NDArray[np.int32], truth: npt.NDArray[np.uint8], size: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """A third from the old shop's page, a third relevant, the rest partly relevant or random; each once."""
    third = size // 3
    relevant, partly = np.flatnonzero(truth >= 2), np.flatnonzero(truth == 1)
    parts = [
        shown[:third].astype(np.int64),
        random.choice(relevant, min(third, len(relevant)), replace=False),
        random.choice(partly, min(third // 2, len(partly)), replace=False),
        random.choice(len(truth), min(size, len(truth)), replace=False),
    ]
    every = np.concatenate(parts)
    _, first = np.unique(every, return_index=True)
    return every[np.sort(first)][:size]
