"""Real answers for a person to look at: queries with the products that came back; the best and the worst of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from evaluation.arrays import Floats, Ints, Rows
from evaluation.requests import Requests

Picture = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class AnswerItem:
    """One product of an answer. `grade` is the true or judged relevance 0..3, None if unknown."""

    product_id: str
    title: str
    detail: str
    grade: int | None
    picture: Picture | None


@dataclass(frozen=True)
class AnswerList:
    """What one system answered, best first."""

    system: str
    items: tuple[AnswerItem, ...]


@dataclass(frozen=True)
class Answer:
    """One query and what came back. `query` "" is a recommendation; `picture` is the query's own picture, if any."""

    query: str
    note: str
    picture: Picture | None
    lists: tuple[AnswerList, ...]


def make_answer(
    query: str,
    rankings: dict[str, Rows],
    products: pa.Table,
    images: npt.NDArray[np.uint8],
    *,
    note: str = "",
    picture: Picture | None = None,
    grades: dict[str, npt.NDArray[np.integer]] | None = None,
    count: int = 8,
) -> Answer:
    """Put titles and pictures to product rows.

    Args:
        query: as it was asked. rankings: system -> [K] product rows, -1 for none.
        products, images: the validated shop.
        note: who asked, how well it was answered. picture: uint8 [S, S, 3], the query's own.
        grades: system -> [K], true or judged relevance of the ranked products. count: products shown a system.
    """
    lists = []
    for system, rows in rankings.items():
        graded = grades[system] if grades is not None else None
        shown = [place for place in range(min(count, len(rows))) if rows[place] >= 0]
        items = [
            _item(int(rows[place]), None if graded is None else int(graded[place]), products, images) for place in shown
        ]
        lists.append(AnswerList(system, tuple(items)))
    return Answer(query, note, picture, tuple(lists))


def _item(row: int, grade: int | None, products: pa.Table, images: npt.NDArray[np.uint8]) -> AnswerItem:
    names = ("product_id", "title", "price", "currency", "image_row")
    cells = {name: products.column(name)[row].as_py() for name in names}
    priced = cells["price"] is not None and not np.isnan(cells["price"])
    return AnswerItem(
        product_id=cells["product_id"],
        title=cells["title"],
        detail=f"{cells['price']:,.2f} {cells['currency']}".strip() if priced else "",
        grade=grade,
        picture=np.asarray(images[cells["image_row"]]) if cells["image_row"] >= 0 else None,
    )


def best_and_worst(requests: Requests, values: Floats, count: int) -> tuple[Ints, Ints]:
    """Requests with the highest and the lowest values, each query once; ties by request number.

    Args:
        values: [R], one metric of one system; requests without a value (NaN) are neither.

    Returns:
        Two arrays of at most `count` request numbers, best first and worst first; none is in both.
    """
    present = np.flatnonzero(~np.isnan(values))
    order = present[np.argsort(-values[present], kind="stable")]
    texts = requests.queries.tolist()
    asked: dict[object, int] = {}
    for request in order.tolist():
        asked.setdefault(texts[request] or request, request)
    once = np.array(list(asked.values()), np.int64)
    half = min(count, len(once) // 2)
    return once[:half], once[::-1][:half]


def pick(requests: Requests, texts: Sequence[str]) -> Ints:
    """The first request of each text, in the order of the texts; texts nobody asked for are left out."""
    first = {text: request for request, text in reversed(list(enumerate(requests.queries.tolist())))}
    return np.array([first[text] for text in texts if text in first], np.int64)
