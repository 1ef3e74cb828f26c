"""The shop whose log we have: what its search and its home page showed, good and bad.

Its search knows titles only: the share of a query's words found there, a guess at the category that is often wrong or
missing, popularity, and noise. Its index is rebuilt once a week. A tenth of all pages is shuffled.
"""

import re
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from catalog.simulation.appeal import Rows
from catalog.simulation.queries import QueryBook
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.shelf import Floats, Shelf

LEXICAL, CATEGORY, POPULARITY, NOISE = 4.0, 1.2, 0.35, 0.5
"""Weights of the old shop's search: share of words found, guessed category, popularity, noise a page."""

_GUESSED, _GUESSED_MISSPELT = 0.7, 0.35
_POOL, _SHUFFLED_POOL = 200, 120
_MEMORY = 0.97
_PURCHASE_WORTH = 4.0
_NEW_DAYS = 14
_HOME_POPULARITY = 0.4
_SHELF_SIZES = ((40, 100, 600), (60, 60, 400), (100, 30, 300), (25, 60, 100))
"""What a home page draws from, each as (a part of the catalogue, at least, at most): bestsellers, bestsellers of a
department, new products, and any product, which only shuffled pages reach."""

_SHELF_BOOST = (0.0, 0.6, 0.6, -50.0)
_TOKEN = re.compile("[a-z0-9][a-z0-9&'.]*|[\u3400-\u9fff]+")


def tokens(text: str) -> list[str]:
    """Lower-case words without a plural s; runs of Chinese as overlapping pairs of characters."""
    found: list[str] = []
    for word in _TOKEN.findall(text.lower().replace("-", " ")):
        if word[0] < "\u3400":
            found.append(word[:-1] if len(word) > 3 and word.endswith("s") else word)
        else:
            found.extend(word[place : place + 2] for place in range(max(1, len(word) - 1)))
    return found


class OldShop:
    """Ranks pages and learns popularity from what it sold.

    Args:
        titles: [products] titles.
        shelf: the products; only what a shop knows of them is read: type, launch, stock.
        book: every query that will be asked.
        popularity: [products] clicks remembered from before the log.
    """

    def __init__(
        self,
        titles: Sequence[str],
        shelf: Shelf,
        book: QueryBook,
        popularity: Floats,
        config: SimulateConfig,
        random: np.random.Generator,
    ) -> None:
        self._shelf, self._book, self._config, self._random = shelf, book, config, random
        self._memory = popularity.copy()
        self._postings, self._weight = _index(titles)
        self._members = [np.flatnonzero(shelf.attributes.type == kind) for kind in range(len(shelf.attributes.types))]
        self._guess = self._guess_types()
        size = len(titles)
        self._shelves = tuple(int(np.clip(size // part, low, high)) for part, low, high in _SHELF_SIZES)
        self._pools = np.empty((0, 0), np.int32)
        self._scores = np.empty((0, 0), np.float32)
        self._place = np.full(len(book.texts), -1, np.int64)

    def learn(self, clicked: Rows, bought: Rows) -> None:
        """Forget a little, then count a day's clicks and purchases."""
        size = len(self._memory)
        fresh = np.bincount(clicked, minlength=size) + _PURCHASE_WORTH * np.bincount(bought, minlength=size)
        self._memory = (self._memory * _MEMORY + fresh).astype(np.float32)

    def popularity(self) -> Floats:
        """[products] standardised log popularity."""
        logs = np.log1p(self._memory)
        return ((logs - logs.mean()) / max(float(logs.std()), 1e-6)).astype(np.float32)

    def rebuild(self, queries: Rows) -> None:
        """Rebuild the index: the best products of every query that will be asked until the next time."""
        width = min(_POOL, len(self._memory))
        distinct = np.unique(queries)
        self._place[:] = -1
        self._place[distinct] = np.arange(len(distinct))
        self._pools = np.empty((len(distinct), width), np.int32)
        self._scores = np.empty((len(distinct), width), np.float32)
        popular = POPULARITY * self.popularity()
        for row, query in enumerate(distinct.tolist()):
            scores = popular.copy()
            words = [word for word in dict.fromkeys(tokens(self._book.texts[query])) if word in self._postings]
            known = sum(self._weight[word] for word in words)
            for word in words:
                scores[self._postings[word]] += LEXICAL * self._weight[word] / known
            if self._guess[query] >= 0:
                scores[self._members[self._guess[query]]] += CATEGORY
            best = np.argpartition(-scores, width - 1)[:width]
            self._pools[row], self._scores[row] = best, scores[best]

    def search(self, queries: Rows, day: int) -> Rows:
        """[pages] queries -> [pages, page size] products, best first; -1 where there are not enough."""
        place = self._place[queries]
        pools = self._pools[place]
        scores = self._scores[place] + NOISE * self._random.standard_normal(pools.shape, dtype=np.float32)
        scores[~self._shelf.on_sale(day)[pools]] = -np.inf
        return self._page(pools, scores, _SHUFFLED_POOL)

    def home(self, departments: Rows, day: int) -> Rows:
        """Recommendation pages: bestsellers, bestsellers of the department last visited, and what is new.

        Args:
            departments: [pages] parent category of the shopper's last visit, -1 for strangers.
        """
        sale = self._shelf.on_sale(day)
        logs = np.log1p(self._memory) * np.float32(_HOME_POPULARITY)
        ranked = np.argsort(-np.where(sale, logs, -np.inf), kind="stable")[: int(sale.sum())]
        parent = self._shelf.attributes.type_parent[self._shelf.attributes.type]
        fresh = np.flatnonzero(sale & (self._shelf.launch_day > day - _NEW_DAYS))
        fresh = fresh[np.argsort(-self._shelf.launch_day[fresh], kind="stable")][: self._shelves[2]]
        best, local, new, any_ = np.cumsum((0, *self._shelves[:3]))
        pools = np.full((len(departments), sum(self._shelves)), -1, np.int32)
        pools[:, best : best + len(ranked[: self._shelves[0]])] = ranked[: self._shelves[0]]
        for department in np.unique(departments[departments >= 0]).tolist():
            shelf = ranked[parent[ranked] == department][: self._shelves[1]]
            rows = np.flatnonzero(departments == department)
            pools[rows[:, None], local + np.arange(len(shelf))] = shelf
        pools[:, new : new + len(fresh)] = fresh
        pools[:, any_:] = ranked[self._random.integers(len(ranked), size=(len(departments), self._shelves[3]))]
        scores = logs[pools]
        scores[:, new:] = 0
        scores += np.repeat(np.array(_SHELF_BOOST, np.float32), self._shelves)
        scores += self._random.gumbel(size=pools.shape).astype(np.float32)
        scores[pools < 0] = -np.inf
        return self._page(pools, scores, pools.shape[1])

    def _page(self, pools: Rows, scores: Floats, shuffled_from: int) -> Rows:
        """Take the top of each pool without repeats; a share of pages is drawn and ordered at random instead."""
        size, count = self._config.page_size, len(pools)
        depth = min(shuffled_from, pools.shape[1])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :depth]
        ranked = np.take_along_axis(pools, order, 1)
        ranked[np.take_along_axis(scores, order, 1) == -np.inf] = -1
        shuffled = self._random.random(count) < self._config.shuffled_page_share
        mixed = np.argsort(self._random.random((int(shuffled.sum()), depth)), axis=1, kind="stable")
        ranked[shuffled] = np.take_along_axis(ranked[shuffled], mixed, 1)
        return _first_distinct(ranked[:, : 4 * size], size)

    def _guess_types(self) -> npt.NDArray[np.int64]:
        """What the shop's rules take each query's category to be: right, a sibling, or -1 for no guess."""
        attributes, scope = self._shelf.attributes, self._book.wanted.scope
        count = len(scope)
        types = len(attributes.types)
        right = np.where(scope < types, scope, 0).astype(np.int64)
        sibling = np.array([self._sibling(kind) for kind in range(types)])[right]
        chance = np.where(self._book.misspelt, _GUESSED_MISSPELT, _GUESSED)
        draw = self._random.random(count)
        guess = np.where(draw < chance, right, np.where(draw < chance + 0.12, sibling, -1))
        return np.where(scope < types, guess, -1)

    def _sibling(self, kind: int) -> int:
        parents = self._shelf.attributes.type_parent
        others = [other for other in np.flatnonzero(parents == parents[kind]).tolist() if other != kind]
        return int(self._random.choice(others)) if others else kind


def _index(titles: Sequence[str]) -> tuple[dict[str, npt.NDArray[np.int64]], dict[str, float]]:
    """Token -> products whose title has it, and token -> inverse document frequency."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, title in enumerate(titles):
        for token in sorted(set(tokens(title))):
            rows[token].append(row)
    postings = {token: np.array(found) for token, found in rows.items()}
    weight = {token: float(np.log(1 + len(titles) / len(found))) for token, found in postings.items()}
    return postings, weight


def _first_distinct(ranked: Rows, size: int) -> Rows:
    """[pages, depth] -> [pages, size]: each page's first products, repeats and -1 left out, filled with -1."""
    order = np.argsort(ranked, axis=1, kind="stable")
    ordered = np.take_along_axis(ranked, order, 1)
    repeated = np.zeros_like(ranked, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], 1)
    keep = ~repeated & (ranked >= 0)
    front = np.argsort(~keep, axis=1, kind="stable")[:, :size]
    page = np.where(np.take_along_axis(keep, front, 1), np.take_along_axis(ranked, front, 1), -1)
    if page.shape[1] < size:
        page = np.pad(page, ((0, 0), (0, size - page.shape[1])), constant_values=-1)
    return page.astype(np.int32)
