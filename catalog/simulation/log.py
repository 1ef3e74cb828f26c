"""Visits become events: pages with positions, clicks by examination times appeal, then favourites, carts, purchases."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from catalog.progress import track
from catalog.schema import KINDS
from catalog.simulation.appeal import HIGHEST_APPEAL, Appeal, Rows
from catalog.simulation.oldshop import OldShop
from catalog.simulation.queries import QueryBook
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.shelf import Floats
from catalog.simulation.shoppers import Sessions

SEARCH, HOME, BROWSE = 0, 1, 2
_FIRST_ACTION, _LATER_ACTION = (0.5, 0.26, 0.24), (0.52, 0.2, 0.28)
_MORE_ACTIONS, _MORE_VIEWS, _MOST_VIEWS = 1.1, 1.7, 6
_NEAR_POOL, _FAR_POOL = 160, 120
_VIEW_WORTH = 0.5
_REBUILD_DAYS = 7
_DAY = 86_400


@dataclass(frozen=True)
class Actions:
    """What happens in the visits, in order.

    Attributes:
        session: [actions] int32. kind: [actions] int8, SEARCH, HOME or BROWSE.
        second: [actions] int64, since the log's start. query: [actions] int32, -1 where nothing is typed.
    """

    session: Rows
    kind: npt.NDArray[np.int8]
    second: npt.NDArray[np.int64]
    query: Rows


@dataclass
class Events:
    """Columns of the growing log; `query` -1 means none, `position` 0 none."""

    session: list[Rows] = field(default_factory=list)
    product: list[Rows] = field(default_factory=list)
    second: list[npt.NDArray[np.int64]] = field(default_factory=list)
    kind: list[npt.NDArray[np.int8]] = field(default_factory=list)
    query: list[Rows] = field(default_factory=list)
    position: list[npt.NDArray[np.int16]] = field(default_factory=list)

    def add(
        self,
        kind: str,
        session: Rows,
        product: Rows,
        second: npt.NDArray[np.int64],
        query: Rows,
        position: npt.NDArray[np.integer] | None = None,
    ) -> None:
        """Append events of one kind."""
        self.session.append(session.astype(np.int32))
        self.product.append(product.astype(np.int32))
        self.second.append(second.astype(np.int64))
        self.kind.append(np.full(len(session), KINDS.index(kind), np.int8))
        self.query.append(query.astype(np.int32))
        self.position.append(np.zeros(len(session), np.int16) if position is None else position.astype(np.int16))

    def sorted(self) -> dict[str, npt.NDArray[np.generic]]:
        """One array a column, ordered by time, then session, then position; appended order breaks ties."""
        columns = {name: np.concatenate(getattr(self, name)) for name in self.__dataclass_fields__}
        order = np.lexsort((columns["position"], columns["session"], columns["second"]))
        return {name: column[order] for name, column in columns.items()}


def examination(page_size: int, decay: float) -> Floats:
    """[page size] P(examined) of each position, 1 at the top."""
    return (np.arange(1, page_size + 1) ** -decay).astype(np.float32)


def draw_actions(sessions: Sessions, random: np.random.Generator) -> Actions:
    """Draw how many searches, home pages and browsing spells each visit has, and when; no query yet."""
    counts = 1 + random.poisson(_MORE_ACTIONS, len(sessions.user))
    session = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    kind = random.choice(3, len(session), p=_LATER_ACTION).astype(np.int8)
    kind[starts] = random.choice(3, len(starts), p=_FIRST_ACTION)
    gaps = 60 + np.minimum(np.exp(random.normal(4.6, 0.5, len(session))), 300).astype(np.int64)
    since = np.cumsum(gaps)
    since -= np.repeat(since[starts], counts)
    begin = sessions.day.astype(np.int64) * _DAY + sessions.second
    return Actions(session, kind, begin[session] + since, np.full(len(session), -1, np.int32))


class Recorder:
    """Plays the visits against the old shop, day by day.

    Args:
        appeal: who wants what. old: what is shown. book: the queries. sessions: the visits.
    """

    def __init__(
        self,
        appeal: Appeal,
        old: OldShop,
        book: QueryBook,
        sessions: Sessions,
        actions: Actions,
        config: SimulateConfig,
        random: np.random.Generator,
    ) -> None:
        self._appeal, self._old, self._book, self._sessions = appeal, old, book, sessions
        self._actions, self._query, self._config, self._random = actions, actions.query, config, random
        self._examined = examination(config.page_size, config.position_decay)
        self._department = _last_departments(appeal, sessions)
        types = appeal.shelf.attributes.type
        self._members = np.argsort(types, kind="stable")
        self._counts = np.bincount(types, minlength=len(appeal.shelf.attributes.types))
        self._starts = np.cumsum(self._counts) - self._counts
        self._clicked: list[Rows] = []
        self._bought: list[Rows] = []
        self.events = Events()

    def play(self) -> Events:
        """Record the whole log."""
        days = self._sessions.day[self._actions.session]
        for day in track(range(self._config.days), "days of shopping"):
            first, last = np.searchsorted(days, (day, day + 1))
            if day % _REBUILD_DAYS == 0:
                ahead = self._query[first : np.searchsorted(days, day + _REBUILD_DAYS)]
                self._old.rebuild(ahead[ahead >= 0])
            rows = np.arange(first, last)
            kinds = self._actions.kind[rows]
            self._search(rows[kinds == SEARCH], day)
            self._home(rows[kinds == HOME], day)
            self._browse(rows[kinds == BROWSE], day)
            self._old.learn(
                *(np.concatenate(found) if found else np.empty(0, np.int32) for found in (self._clicked, self._bought))
            )
            self._clicked, self._bought = [], []
        return self.events

    def _search(self, rows: npt.NDArray[np.int64], day: int) -> None:
        if not len(rows):
            return
        query, session = self._query[rows], self._actions.session[rows]
        pages = self._old.search(query, day)
        wanted = self._book.wanted
        chance = self._appeal.search(
            self._sessions.user[session], session, wanted.scope[query], wanted.values[query], np.maximum(pages, 0)
        )
        self._show(rows, query, pages, chance)

    def _home(self, rows: npt.NDArray[np.int64], day: int) -> None:
        if not len(rows):
            return
        session = self._actions.session[rows]
        pages = self._old.home(self._department[session], day)
        chance = self._appeal.recommendation(self._sessions.user[session], session, np.maximum(pages, 0))
        self._show(rows, np.full(len(rows), -1, np.int32), pages, chance)

    def _show(self, rows: npt.NDArray[np.int64], query: Rows, pages: Rows, chance: Floats) -> None:
        """Log the impressions of pages, the clicks on them and what follows."""
        page, slot = np.nonzero(pages >= 0)
        session, second = self._actions.session[rows], self._actions.second[rows]
        self.events.add("impression", session[page], pages[page, slot], second[page], query[page], slot + 1)
        clicked = self._random.random(pages.shape) < self._examined * chance * (pages >= 0)
        page, slot = np.nonzero(clicked)
        wait = 3 + 2 * slot + self._random.exponential(8, len(page)).astype(np.int64)
        self.events.add("click", session[page], pages[page, slot], second[page] + wait, query[page], slot + 1)
        self._follow(session[page], pages[page, slot], second[page] + wait, query[page], 1.0)

    def _browse(self, rows: npt.NDArray[np.int64], day: int) -> None:
        """Direct views: the shopper wanders mostly among the wanted type and picks by appeal."""
        if not len(rows):
            return
        session = self._actions.session[rows]
        pool = self._wander(session)
        chance = self._appeal.recommendation(self._sessions.user[session], session, pool)
        share = np.minimum(chance / HIGHEST_APPEAL, np.float32(1 - 1e-6))
        wish = np.log(share / (1 - share)) + self._random.gumbel(size=pool.shape)
        wish[~self._appeal.shelf.on_sale(day)[pool]] = -np.inf
        views = np.minimum(1 + self._random.poisson(_MORE_VIEWS, len(rows)), _MOST_VIEWS)
        best = np.argsort(-wish, axis=1, kind="stable")[:, :_MOST_VIEWS]
        seen = np.take_along_axis(pool, best, 1)
        repeated = (seen[:, :, None] == seen[:, None, :]) & np.tri(_MOST_VIEWS, k=-1, dtype=bool)
        keep = (np.arange(_MOST_VIEWS) < views[:, None]) & ~repeated.any(2)
        keep &= np.take_along_axis(wish, best, 1) > -np.inf
        row, place = np.nonzero(keep)
        wait = place * 25 + self._random.integers(0, 20, len(row))
        second, none = self._actions.second[rows][row] + wait, np.full(len(row), -1, np.int32)
        self.events.add("view", session[row], seen[row, place], second, none)
        self._follow(session[row], seen[row, place], second, none, _VIEW_WORTH)

    def _wander(self, session: Rows) -> Rows:
        """[visits, pool] products: some of the wanted type, some of any."""
        kind = self._appeal.shelf.attributes.type[self._appeal.intents.target[session]]
        pick = (self._random.random((len(session), _NEAR_POOL)) * self._counts[kind][:, None]).astype(np.int64)
        near = self._members[self._starts[kind][:, None] + pick]
        far = self._random.integers(len(self._members), size=(len(session), _FAR_POOL))
        return np.concatenate((near, far), axis=1).astype(np.int32)

    def _follow(self, session: Rows, product: Rows, second: npt.NDArray[np.int64], query: Rows, worth: float) -> None:
        """Favourites, carts and purchases after looking at a product; what is bought was in the cart."""
        chance = self._appeal.purchase(self._sessions.user[session], product[:, None].astype(np.int32))[:, 0] * worth
        into_cart = np.minimum(0.03 + 1.6 * chance, 1.0)
        draw = self._random.random((3, len(session)))
        favoured = np.flatnonzero(draw[0] < 0.03 + 0.4 * chance)
        carted = np.flatnonzero(draw[1] < into_cart)
        bought = carted[draw[2][carted] < chance[carted] / into_cart[carted]]
        reach = second + self._random.integers(8, 60, len(session))
        for kind, rows, extra in (("favourite", favoured, 5), ("cart", carted, 10), ("purchase", bought, 120)):
            self.events.add(kind, session[rows], product[rows], reach[rows] + extra, query[rows])
        self._clicked.append(product)
        self._bought.append(product[bought])


def _last_departments(appeal: Appeal, sessions: Sessions) -> Rows:
    """[sessions] parent category of the shopper's visit before, -1 on the first."""
    attributes = appeal.shelf.attributes
    department = attributes.type_parent[attributes.type[appeal.intents.target[:-1]]].astype(np.int32)
    order = np.lexsort((sessions.ordinal, sessions.user))
    before = np.full(len(order), -1, np.int32)
    before[order[1:]] = department[order[:-1]]
    before[sessions.ordinal == 0] = -1
    return before
