"""Who wants what: the grades of relevance and the probabilities of clicks and purchases.

Every formula is written once, for a few products a request (while the log is drawn) and for all of them (the truth).
docs/simulator.md has the formulas in full.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from catalog.simulation.attributes import Attributes
from catalog.simulation.shelf import Floats, Shelf

Rows = npt.NDArray[np.int32]

LOOKS, STYLE, PRICE, QUALITY, LANGUAGE = 0.9, 0.6, 0.5, 0.7, 0.3
"""Weights of taste in looks, taste in style, price, quality, and of a text in another language, in logits."""

INTENT_TYPE, INTENT_PARENT, INTENT_LOOKS = 2.2, 0.4, 0.7
INTENT_VALUE = np.array([0.7, 0.2, -0.3], np.float32)
"""What an attribute the shopper has in mind adds when the product has it, has one near it, or has another."""

RECOMMENDATION_BASE = -4.4
SEARCH_BASE, SEARCH_TASTE, SEARCH_INTENT = -0.6, 0.75, 0.6
GRADE_BONUS = np.array([-4.5, -2.6, -1.1, 0.0], np.float32)
PURCHASE_BASE, PURCHASE_TASTE, PURCHASE_QUALITY = -3.4, 0.4, 0.3

HIGHEST_APPEAL = np.float32(0.75)
"""P(click | examined) of the most wanted product: shoppers look at much and click on less."""

GRADES = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [3, 2, 1, 1]], np.uint8)
"""Grade by kind of product (0 another department, 1 the same department, 2 the right type) and by grades lost."""


@dataclass(frozen=True)
class Shoppers:
    """The people. Row `len(self)` stands for the average stranger.

    Attributes:
        factors: [shoppers + 1, factors] what multiplies `product_factors`: lasting taste without the types.
        type_taste: [shoppers + 1, types] logits.
        profile: [shoppers] int8, row of the audience table. language: [shoppers] int8, 0 English, 1 Chinese.
        first_day: [shoppers] int32, day of the first visit.
    """

    factors: Floats
    type_taste: Floats
    profile: npt.NDArray[np.int8]
    language: npt.NDArray[np.int8]
    first_day: Rows

    def __len__(self) -> int:
        return len(self.profile)


@dataclass(frozen=True)
class Intents:
    """What each session is after: a product in mind and which of its attributes matter. The last row is no intent.

    Attributes:
        target: [sessions + 1] int32 product row, -1 for none.
        matters: [sessions + 1, keys] bool.
    """

    target: Rows
    matters: npt.NDArray[np.bool_]


def product_factors(shelf: Shelf) -> Floats:
    """[products, factors]: looks, style, price, quality, one-hot audience (unknown last), one-hot language."""
    audience = audience_codes(shelf.attributes)
    size = int(audience.max(initial=0)) + 1
    return np.concatenate(
        (
            shelf.looks,
            shelf.style,
            -shelf.price_z[:, None],
            shelf.quality[:, None],
            np.eye(max(size, audience_size(shelf.attributes)), dtype=np.float32)[audience],
            np.eye(3, dtype=np.float32)[shelf.language],
        ),
        axis=1,
    )


def audience_size(attributes: Attributes) -> int:
    """Number of audience values, the unknown one included."""
    key = audience_key(attributes)
    return 1 + (len(attributes.values[key]) if key else 0)


def audience_key(attributes: Attributes) -> str | None:
    """The attribute that says for whom a product is, if the catalogue has one."""
    return next((key for key in ("gender", "audience") if key in attributes.codes), None)


def audience_codes(attributes: Attributes) -> npt.NDArray[np.int64]:
    """[products] audience value, the last code for unknown."""
    key = audience_key(attributes)
    if key is None:
        return np.zeros(len(attributes.type), np.int64)
    return np.where(attributes.codes[key] < 0, len(attributes.values[key]), attributes.codes[key]).astype(np.int64)


class Appeal:
    """Grades, click and purchase probabilities of (shopper, session, query) requests.

    Args:
        shelf: the products.
        shoppers: the people.
        intents: the sessions.
        keys: attribute keys in the column order of `Intents.matters` and of constraint rows.
    """

    def __init__(self, shelf: Shelf, shoppers: Shoppers, intents: Intents, keys: list[str]) -> None:
        self.shelf, self.shoppers, self.intents, self.keys = shelf, shoppers, intents, keys
        attributes = shelf.attributes
        self._factors = product_factors(shelf)
        self._distance = {key: attributes.distance(key) for key in keys}
        self._codes = {
            key: np.where(attributes.codes[key] < 0, len(attributes.values[key]), attributes.codes[key]) for key in keys
        }
        types = len(attributes.types)
        same = attributes.type_parent[:, None] == attributes.type_parent[None]
        by_type = np.where(np.eye(types, dtype=bool), 2, np.where(same, 1, 0))
        by_parent = np.where(np.arange(len(attributes.parents))[:, None] == attributes.type_parent[None], 2, 0)
        self._kinds = np.concatenate((by_type, by_parent)).astype(np.uint8)

    def grades(self, scope: Rows, wanted: npt.NDArray[np.int16], products: Rows | None = None) -> npt.NDArray[np.uint8]:
        """Relevance of what queries say.

        Args:
            scope: [requests] a type, or the number of types plus a parent category.
            wanted: [requests, keys] value asked for, -1 for none.
            products: [requests, shown] rows, or None for all.

        Returns:
            [requests, shown or products] uint8, 0 to 3.
        """
        lost: npt.NDArray[np.uint8] = np.zeros((1, 1), np.uint8)
        for column, key in enumerate(self.keys):
            if (wanted[:, column] >= 0).any():
                table = np.concatenate((self._distance[key], np.zeros((1, self._distance[key].shape[1]), np.uint8)))
                lost = lost + _look_up(table[wanted[:, column]], self._codes[key], products)
        kind = _look_up(self._kinds[scope], self.shelf.attributes.type, products)
        return GRADES.ravel()[kind * np.uint8(4) + np.minimum(lost, np.uint8(3))]

    def search(
        self, users: Rows, sessions: Rows, scope: Rows, wanted: npt.NDArray[np.int16], products: Rows | None = None
    ) -> Floats:
        """P(click | examined) on a search page, [requests, shown or products]."""
        grades = self.grades(scope, wanted, products)
        logits = self._dot(self.shoppers.factors[users] * np.float32(SEARCH_TASTE), products)
        logits += (GRADE_BONUS + np.float32(SEARCH_BASE))[grades]
        return HIGHEST_APPEAL * sigmoid(self._add_intent(logits, sessions, products, SEARCH_INTENT, 0.0, 0.0))

    def recommendation(self, users: Rows, sessions: Rows, products: Rows | None = None) -> Floats:
        """P(click | examined) where no query was typed, [requests, shown or products]."""
        logits = self._dot(self.shoppers.factors[users], products)
        logits += np.float32(RECOMMENDATION_BASE)
        logits += _look_up(self.shoppers.type_taste[users], self.shelf.attributes.type, products)
        return HIGHEST_APPEAL * sigmoid(self._add_intent(logits, sessions, products, 1.0, INTENT_TYPE, INTENT_PARENT))

    def purchase(self, users: Rows, products: Rows | None = None) -> Floats:
        """P(purchase | click), [requests, shown or products]."""
        logits = self._dot(self.shoppers.factors[users] * np.float32(PURCHASE_TASTE), products)
        quality = self.shelf.quality[None] if products is None else self.shelf.quality[products]
        return sigmoid(logits + quality * np.float32(PURCHASE_QUALITY) + np.float32(PURCHASE_BASE))

    def _dot(self, factors: Floats, products: Rows | None) -> Floats:
        if products is None:
            return factors @ self._factors.T
        return np.einsum("rf,rpf->rp", factors, self._factors[products], optimize=False)

    def _add_intent(
        self, logits: Floats, sessions: Rows, products: Rows | None, scale: float, kind: float, parent: float
    ) -> Floats:
        """Add the session's wish: the wanted type with its attributes and looks, and a little for its relatives."""
        target, matters = self.intents.target[sessions], self.intents.matters[sessions]
        types = self.shelf.attributes.type
        looks = self.shelf.looks[target]
        direction = looks / np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), np.float32(1))
        if products is None:
            wish = (direction * np.float32(INTENT_LOOKS)) @ self.shelf.looks.T
        else:
            wish = np.einsum("rf,rpf->rp", direction * np.float32(INTENT_LOOKS), self.shelf.looks[products])
        for column, key in enumerate(self.keys):
            value = self.shelf.attributes.codes[key][target]
            if (said := matters[:, column] & (value >= 0)).any():
                rows = INTENT_VALUE[self._distance[key][value]] * said[:, None]
                wish += _look_up(rows.astype(np.float32), self._codes[key], products)
        relation = self._kinds[types[target]] * (target >= 0)[:, None]
        gate = _look_up((relation == 2).astype(np.float32), types, products)
        bonus = kind * (relation == 2) + parent * (relation == 1)
        wish *= gate * np.float32(scale)
        wish += logits
        if kind or parent:
            wish += _look_up(bonus.astype(np.float32), types, products)
        return wish


Value = TypeVar("Value", bound=np.generic)


def _look_up(
    rows: npt.NDArray[Value], codes: npt.NDArray[np.signedinteger], products: Rows | None
) -> npt.NDArray[Value]:
    """[requests, values] at each product's code: all products, or the [requests, shown] given."""
    if products is None:
        return np.take(rows, codes, axis=1)
    return np.take_along_axis(rows, codes[products].astype(np.intp), axis=1)


def sigmoid(logits: Floats) -> Floats:
    """1 / (1 + exp(-x)), in place on float32."""
    np.negative(logits, out=logits)
    np.exp(logits, out=logits)
    logits += np.float32(1)
    return np.reciprocal(logits, out=logits)
