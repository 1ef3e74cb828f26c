"""Who comes when, with which lasting tastes, and what each visit is after."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.simulation.appeal import (
    LANGUAGE,
    LOOKS,
    PRICE,
    QUALITY,
    STYLE,
    Intents,
    Rows,
    Shoppers,
    audience_codes,
    audience_key,
    audience_size,
    product_factors,
)
from catalog.simulation.attributes import ASKED, Attributes
from catalog.simulation.settings import SimulateConfig
from catalog.simulation.shelf import STYLE_DIMENSIONS, Floats, Shelf

PROFILES = ("men", "women", "men with children", "women with children")
_PROFILE_SHARES = (0.4, 0.4, 0.1, 0.1)

_CONTINUED, _SIMILAR, _COMPLEMENT = 0.42, 0.2, 0.18
"""How a visit follows the one before: the same wish, another of that type, something that goes with it; else anew."""

_LIKED_TYPES, _LIKED, _TYPE_NOISE, _SHARE_POWER = 4.0, 2.4, 0.5, 0.75
_POOL = 48


@dataclass(frozen=True)
class Sessions:
    """The visits, sorted by (day, second, shopper).

    Attributes:
        user: [sessions] int32. day: [sessions] int32. second: [sessions] int32, of the day.
        ordinal: [sessions] int32, 0 for a shopper's first visit.
    """

    user: Rows
    day: Rows
    second: Rows
    ordinal: Rows


def draw_shoppers(shelf: Shelf, languages: list[int], config: SimulateConfig, random: np.random.Generator) -> Shoppers:
    """Draw the people and their lasting tastes.

    Args:
        languages: codes of the languages they speak, 0 English and 1 Chinese.
    """
    count = config.shoppers
    profile = random.choice(len(PROFILES), count, p=_PROFILE_SHARES).astype(np.int8)
    language = np.asarray(languages, np.int8)[random.integers(len(languages), size=count)]
    first = np.where(random.random(count) < config.present_at_start, 0, random.integers(0, config.days, count))
    looks = random.standard_normal((count, shelf.looks.shape[1]), dtype=np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    looks *= np.exp(random.normal(0, 0.25, (count, 1))).astype(np.float32) * np.float32(LOOKS)
    style = random.standard_normal((count, STYLE_DIMENSIONS), dtype=np.float32)
    style /= np.linalg.norm(style, axis=1, keepdims=True)
    style *= np.float32(STYLE)
    price = random.normal(PRICE, 0.4, (count, 1))
    audience = audience_table(shelf.attributes)[profile]
    foreign = np.zeros((count, 3), np.float32)
    foreign[np.arange(count), 1 - language] = -LANGUAGE
    factors = np.concatenate((looks, style, price, np.full((count, 1), QUALITY), audience, foreign), axis=1)
    taste = _type_taste(shelf.attributes, profile, random)
    return Shoppers(
        factors=np.vstack((factors, factors.mean(0))).astype(np.float32),
        type_taste=np.vstack((taste, taste.mean(0))).astype(np.float32),
        profile=profile,
        language=language,
        first_day=first.astype(np.int32),
    )


def audience_table(attributes: Attributes) -> Floats:
    """[profiles, audience values] logits: how much a product for these people is for this shopper."""
    key = audience_key(attributes)
    names = [*(attributes.values[key] if key else []), ""]
    table = np.zeros((len(PROFILES), audience_size(attributes)), np.float32)
    for column, name in enumerate(names):
        word = name.lower()
        for row, profile in enumerate(PROFILES):
            if word in ("boys", "girls", "kids", "children", "baby"):
                table[row, column] = -0.4 if "children" in profile else -2.8
            elif word in ("men", "women"):
                table[row, column] = 0.0 if profile.split()[0] == word else -3.0
            else:
                table[row, column] = -0.2
    return table


def _type_audience(attributes: Attributes) -> Floats:
    """[profiles, types] log of the mean appeal of a type's products to a profile."""
    table, codes = np.exp(audience_table(attributes)), audience_codes(attributes)
    counts = np.bincount(attributes.type, minlength=len(attributes.types))
    means = [np.bincount(attributes.type, row[codes], minlength=len(counts)) / np.maximum(counts, 1) for row in table]
    return np.log(np.array(means) + 1e-6).astype(np.float32)


def _log_share(attributes: Attributes) -> Floats:
    counts = np.bincount(attributes.type, minlength=len(attributes.types))
    return (_SHARE_POWER * np.log(np.maximum(counts, 0.5) / counts.sum())).astype(np.float32)


def _type_taste(attributes: Attributes, profile: npt.NDArray[np.int8], random: np.random.Generator) -> Floats:
    """A handful of liked types each, larger types and those made for the shopper more often; the rest is noise."""
    size = (len(profile), len(attributes.types))
    wish = _log_share(attributes) + _type_audience(attributes)[profile] + random.gumbel(size=size)
    rank = np.argsort(np.argsort(-wish, axis=1, kind="stable"), axis=1, kind="stable")
    liked = rank < 2 + random.poisson(_LIKED_TYPES, (len(profile), 1))
    strength = _LIKED + 0.6 * random.standard_normal(size)
    return (liked * strength + _TYPE_NOISE * random.standard_normal(size)).astype(np.float32)


def draw_sessions(shoppers: Shoppers, config: SimulateConfig, random: np.random.Generator) -> Sessions:
    """Draw the visits: a long-tailed rate a shopper, weekends a little busier, at most one visit a day."""
    count = len(shoppers)
    spread = 0.8
    rate = np.exp(random.normal(np.log(max(config.sessions_per_shopper - 1, 0.01)) - spread**2 / 2, spread, count))
    left = (config.days - shoppers.first_day) / config.days
    visits = 1 + random.poisson(rate * left)
    user = np.repeat(np.arange(count), visits)
    weekday = (config.start.weekday() + np.arange(config.days)) % 7
    busy = np.concatenate(([0.0], np.cumsum(np.where(weekday >= 5, 1.25, 1.0))))
    begin = busy[shoppers.first_day[user]]
    day = np.searchsorted(busy, begin + random.random(len(user)) * (busy[-1] - begin), side="right") - 1
    starts = np.concatenate(([0], np.cumsum(visits)[:-1]))
    day[starts] = shoppers.first_day
    key = np.unique(user * config.days + np.clip(day, 0, config.days - 1))
    user, day = key // config.days, key % config.days
    ordinal = np.arange(len(key)) - np.searchsorted(user, user, side="left")
    hour = np.where(
        random.random(len(key)) < 0.55, random.normal(20.3, 1.6, len(key)), random.normal(13.0, 2.6, len(key))
    )
    second = (np.clip(hour, 6.0, 21.75) * 3600).astype(np.int32) + random.integers(0, 900, len(key)).astype(np.int32)
    order = np.lexsort((user, second, day))
    return Sessions(*(values[order].astype(np.int32) for values in (user, day, second, ordinal)))


def draw_intents(
    shelf: Shelf,
    shoppers: Shoppers,
    sessions: Sessions,
    keys: list[str],
    config: SimulateConfig,
    random: np.random.Generator,
) -> Intents:
    """Give every visit a product in mind, related to the visit before, and the attributes of it that matter."""
    world = _Wishes(shelf, shoppers, keys, config, random)
    target = np.full(len(sessions.user) + 1, -1, np.int32)
    matters = np.zeros((len(target), len(keys)), bool)
    latest = np.full(len(shoppers), -1, np.int64)
    for ordinal in range(int(sessions.ordinal.max()) + 1):
        rows = np.flatnonzero(sessions.ordinal == ordinal)
        users, days = sessions.user[rows], sessions.day[rows]
        before = latest[users]
        fate = random.random(len(rows)) if ordinal else np.ones(len(rows))
        kinds = world.fresh_types(users, days)
        if ordinal:
            last = shelf.attributes.type[target[before]]
            similar, complement = fate < _CONTINUED + _SIMILAR, fate < _CONTINUED + _SIMILAR + _COMPLEMENT
            partner = world.complements[last, random.integers(world.complements.shape[1], size=len(rows))]
            kinds = np.where(similar, last, np.where(complement, partner, kinds))
        target[rows] = world.products(users, days, kinds)
        matters[rows] = world.matters(target[rows])
        if ordinal:
            kept = (fate < _CONTINUED) & (shelf.sold_out_day[target[before]] > days)
            target[rows[kept]], matters[rows[kept]] = target[before[kept]], matters[before[kept]]
        latest[users] = rows
    return Intents(target, matters)


class _Wishes:
    """Draws types and products that shoppers have in mind."""

    def __init__(
        self, shelf: Shelf, shoppers: Shoppers, keys: list[str], config: SimulateConfig, random: np.random.Generator
    ) -> None:
        attributes = shelf.attributes
        self._shelf, self._shoppers, self._random = shelf, shoppers, random
        self._factors = product_factors(shelf)
        self._base = _log_share(attributes) + _type_audience(attributes)
        types = len(attributes.types)
        self._drift = random.normal(0, 0.35, types) / max(config.days, 1)
        self._counts = np.bincount(attributes.type, minlength=types)
        self._members = np.argsort(attributes.type, kind="stable")
        self._starts = np.concatenate(([0], np.cumsum(self._counts)[:-1]))
        self._asked = np.array([ASKED.get(key, 0.1) for key in keys])
        self._codes = (
            np.stack([attributes.codes[key] for key in keys], 1) if keys else np.zeros((len(attributes.type), 0))
        )
        share = _log_share(attributes)[None] + random.gumbel(size=(types, types))
        np.fill_diagonal(share, -np.inf)
        share[:, self._counts == 0] = -np.inf
        self.complements = np.argsort(-share, axis=1, kind="stable")[:, : max(1, min(3, types - 1))]

    def fresh_types(self, users: Rows, days: Rows) -> npt.NDArray[np.int64]:
        """A type by lasting taste, size, audience and the slow drift of fashion."""
        wish = self._shoppers.type_taste[users] + self._base[self._shoppers.profile[users]]
        wish = wish + self._drift * days[:, None] + self._random.gumbel(size=wish.shape)
        return wish.argmax(1)

    def products(self, users: Rows, days: Rows, kinds: npt.NDArray[np.int64]) -> Rows:
        """The most wanted of a random handful of the type's products, those on sale that day first."""
        chosen = np.empty(len(users), np.int32)
        for part in np.array_split(np.arange(len(users)), max(1, len(users) // 4096)):
            kind = kinds[part]
            pick = (self._random.random((len(part), _POOL)) * self._counts[kind][:, None]).astype(np.int64)
            pool = self._members[self._starts[kind][:, None] + pick]
            wish = np.einsum("rf,rpf->rp", self._shoppers.factors[users[part]], self._factors[pool])
            wish = wish + self._random.gumbel(size=wish.shape)
            today = days[part][:, None]
            away = (self._shelf.launch_day[pool] > today) | (self._shelf.sold_out_day[pool] <= today)
            chosen[part] = pool[np.arange(len(part)), (wish - 50 * away).argmax(1)]
        return chosen

    def matters(self, targets: Rows) -> npt.NDArray[np.bool_]:
        """[rows, keys] which attributes of the wanted product matter to the shopper."""
        drawn = self._random.random((len(targets), len(self._asked))) < self._asked
        return drawn & (self._codes[targets] >= 0)
