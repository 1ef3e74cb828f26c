"""The log and the people as the shop's own tables, ready to be written."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.schema import EVENTS_SCHEMA, KINDS
from catalog.simulation.log import Events
from catalog.simulation.shoppers import PROFILES, Sessions
from catalog.simulation.world import World

_DEVICES, _DEVICE_SHARES = ("phone", "desktop", "tablet"), (0.64, 0.3, 0.06)
_AGES = ("18-24", "25-34", "35-44", "45-54", "55+")
_AGE_SHARES = (0.18, 0.32, 0.24, 0.15, 0.11)
_UNTOLD = 0.06


def events_table(events: Events, world: World, sessions: Sessions, random: np.random.Generator) -> pa.Table:
    """The events as raw/events.parquet has them, in order of time."""
    columns = events.sorted()
    session = columns["session"].astype(np.int32)
    device = random.choice(len(_DEVICES), len(sessions.user), p=_DEVICE_SHARES).astype(np.int32)
    start = int(datetime.combine(world.config.start, datetime.min.time(), tzinfo=UTC).timestamp())
    queries = [*world.book.texts, ""]
    query = columns["query"].astype(np.int32)
    cells = {
        "user_id": _strings(sessions.user[session], world.user_ids),
        "session_id": _strings(session, world.session_ids),
        "timestamp": pa.array((columns["second"].astype(np.int64) + start) * 1_000_000).cast(
            pa.timestamp("us", tz="UTC")
        ),
        "kind": _strings(columns["kind"].astype(np.int32), KINDS),
        "product_id": _strings(columns["product"].astype(np.int32), world.shelf.product_ids),
        "query": _strings(np.where(query < 0, len(queries) - 1, query).astype(np.int32), queries),
        "position": pa.array(columns["position"].astype(np.int32)),
        "device": _strings(device[session], _DEVICES),
    }
    return pa.table(cells, schema=EVENTS_SCHEMA)


def _strings(codes: npt.NDArray[np.int32], names: npt.NDArray[np.str_] | list[str] | tuple[str, ...]) -> Any:
    """Codes -> plain strings, by way of a dictionary."""
    return pa.array(list(names), pa.string()).take(pa.array(codes, pa.int32()))


def users_table(world: World, random: np.random.Generator) -> pa.Table:
    """The shoppers as raw/users.parquet has them: gender, language and age as told, some untold."""
    shoppers = world.shoppers
    count = len(shoppers)
    genders = np.array([profile.split()[0] for profile in PROFILES])[shoppers.profile]
    columns = {
        "gender": genders,
        "language": np.array(("en", "zh"))[shoppers.language],
        "age_band": random.choice(_AGES, count, p=_AGE_SHARES),
    }
    told = {name: np.where(random.random(count) < _UNTOLD, "", values) for name, values in columns.items()}
    return pa.table(
        {
            "user_id": world.user_ids.tolist(),
            **{name: pa.array(values.tolist(), pa.string()) for name, values in told.items()},
        }
    )
