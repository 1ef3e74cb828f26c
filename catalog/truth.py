"""The truth behind a simulated log: what is relevant, who wants what, the bias curve. Only evaluation may read it."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import DataError
from catalog.simulation.appeal import Appeal, Rows
from catalog.simulation.log import examination
from catalog.simulation.settings import VERSION
from catalog.simulation.shelf import language_names
from catalog.simulation.shoppers import PROFILES
from catalog.simulation.world import SHOWN, World


class Truth:
    """The simulated world, asked for any shopper, session and query.

    Products are in the order of `product_ids`, which is that of raw/products.parquet. "" as a user stands for the
    average stranger, "" as a session for no current intent, "" as a query for a recommendation.

    Attributes:
        version: the simulator's version that wrote it.
        product_ids: [products] str.
        examination: [positions] float32, P(examined); 1 at the top.

    Example:
        >>> truth = Truth.load(workspace / "truth")                                # doctest: +SKIP
        >>> truth.appeal(["u00001"], [""], ["red dress"]).argmax(1)                # doctest: +SKIP
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._appeal = Appeal(world.shelf, world.shoppers, world.intents, world.keys)
        self._users = {name: row for row, name in enumerate(world.user_ids.tolist())} | {"": len(world.user_ids)}
        self._sessions = {name: row for row, name in enumerate(world.session_ids.tolist())} | {
            "": len(world.session_ids)
        }
        self._queries = {text: row for row, text in enumerate(world.book.texts)}
        self.version = VERSION
        self.product_ids = world.shelf.product_ids
        self.examination = examination(world.config.page_size, world.config.position_decay)

    @classmethod
    def load(cls, folder: Path) -> "Truth":
        """Read truth/ of a simulated workspace.

        Raises:
            ArtifactError: when it is missing, broken or written by another version of the simulator.
        """
        return cls(World.load(folder))

    def __repr__(self) -> str:
        world = self._world
        return (
            f"Truth(version {self.version}: {len(self.product_ids):,} products, {len(world.shoppers):,} shoppers, "
            f"{len(world.session_ids):,} sessions, {len(world.book.texts):,} queries)"
        )

    def relevance(self, queries: Sequence[str]) -> npt.NDArray[np.uint8]:
        """[queries, products] grade 0..3 of what each query says, whoever asks.

        Raises:
            DataError: for a query that nobody asked in the simulated log.
        """
        rows = _rows(self._queries, queries, "query")
        wanted = self._world.book.wanted
        return self._appeal.grades(wanted.scope[rows], wanted.values[rows])

    def appeal(
        self, user_ids: Sequence[str], session_ids: Sequence[str], queries: Sequence[str]
    ) -> npt.NDArray[np.float32]:
        """[requests, products] P(click | examined) for that shopper in that session with that query.

        Raises:
            DataError: for a user, session or query that the simulated log does not have.
        """
        if not len(user_ids) == len(session_ids) == len(queries):
            raise DataError(
                f"appeal: received {len(user_ids)} users, {len(session_ids)} sessions and {len(queries)} queries; "
                "expected one of each a request"
            )
        users, sessions = _rows(self._users, user_ids, "user_id"), _rows(self._sessions, session_ids, "session_id")
        typed = np.array([query != "" for query in queries], dtype=bool)
        result = np.empty((len(users), len(self.product_ids)), np.float32)
        if typed.any():
            rows = _rows(self._queries, [query for query in queries if query], "query")
            wanted = self._world.book.wanted
            result[typed] = self._appeal.search(users[typed], sessions[typed], wanted.scope[rows], wanted.values[rows])
        if not typed.all():
            result[~typed] = self._appeal.recommendation(users[~typed], sessions[~typed])
        return result

    def conversion(self, user_ids: Sequence[str]) -> npt.NDArray[np.float32]:
        """[requests, products] P(purchase | click) for each shopper."""
        return self._appeal.purchase(_rows(self._users, user_ids, "user_id"))

    def query_facts(self, queries: Sequence[str]) -> pa.Table:
        """What each query is: language, misspelt, specificity (attributes asked for), constraints as JSON, and whether
        for at least half of what fits best something asked for shows in the picture alone.
        """
        rows = _rows(self._queries, queries, "query")
        book = self._world.book
        return pa.table(
            {
                "query": pa.array(list(queries), pa.string()),
                "language": [("en", "zh")[code] for code in book.language[rows].tolist()],
                "misspelt": book.misspelt[rows].tolist(),
                "specificity": pa.array((book.wanted.values[rows] >= 0).sum(1).astype(np.int32)),
                "constraints": [self._constraints(row) for row in rows.tolist()],
                "shows_only_in_picture": self._world.picture_queries[rows].tolist(),
            }
        )

    def _constraints(self, row: int) -> str:
        attributes, wanted = self._world.shelf.attributes, self._world.book.wanted
        scope, types = int(wanted.scope[row]), len(attributes.types)
        said = {"type": attributes.types[scope]} if scope < types else {"category": attributes.parents[scope - types]}
        for key, value in zip(self._world.keys, wanted.values[row].tolist(), strict=True):
            if value >= 0:
                said[key] = attributes.values[key][value]
        return json.dumps(said, ensure_ascii=False)

    def user_facts(self, user_ids: Sequence[str]) -> pa.Table:
        """Who each shopper is: profile, language, day of the first visit."""
        rows = _rows(self._users, user_ids, "user_id")
        if (rows == len(self._world.shoppers)).any():
            raise DataError('user_facts: received "" (the average stranger); expected ids of simulated shoppers')
        shoppers = self._world.shoppers
        return pa.table(
            {
                "user_id": pa.array(list(user_ids), pa.string()),
                "profile": [PROFILES[code] for code in shoppers.profile[rows].tolist()],
                "language": [("en", "zh")[code] for code in shoppers.language[rows].tolist()],
                "first_day": pa.array(shoppers.first_day[rows]),
            }
        )

    def product_facts(self) -> pa.Table:
        """What each product is: language, launch, stock-out, type, true attributes, and where each of them shows.

        Columns `attribute_<key>` hold the true value ("" for none), `shown_<key>` "text", "picture", "both" or "".
        """
        shelf, world = self._world.shelf, self._world
        start = datetime.combine(world.config.start, datetime.min.time(), tzinfo=UTC)
        launched = [start + timedelta(days=day) for day in shelf.launch_day.tolist()]
        columns: dict[str, Any] = {
            "product_id": pa.array(shelf.product_ids.tolist(), pa.string()),
            "type": [shelf.attributes.types[code] for code in shelf.attributes.type.tolist()],
            "language": language_names(shelf.language),
            "launch_day": shelf.launch_day,
            "launched_on": pa.array(launched, pa.timestamp("us", tz="UTC")),
            "sold_out_day": shelf.sold_out_day,
            "quality": shelf.quality,
        }
        for column, key in enumerate(world.keys):
            names = [*shelf.attributes.values[key], ""]
            columns[f"attribute_{key}"] = [names[code] for code in shelf.attributes.codes[key].tolist()]
            columns[f"shown_{key}"] = [SHOWN[code] for code in world.shown[:, column].tolist()]
        return pa.table(columns)


def _rows(known: dict[str, int], asked: Sequence[str], what: str) -> Rows:
    try:
        return np.array([known[item] for item in asked], dtype=np.int32)
    except KeyError as error:
        raise DataError(
            f"{what} {error.args[0]!r} is not in the simulated truth; "
            f"expected one of the {len(known):,} that the log has"
        ) from error
