"""The towers of a shop that knows nothing but ids and attributes: items, and users who are their histories."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from catalog.schema import KINDS
from towers.attributes import AttributeEncoder, attribute_members
from towers.config import TowersConfig
from towers.history import HistoryEncoder
from towers.identity import HashedIdentity

_PURCHASE = 1 + KINDS.index("purchase")


class SequenceTowers(keras.Model):
    """A product is its id and the scaled sum of its attributes; a query is a user's history, encoded causally.

    Products and queries meet in a dot product, and a product enters a history as the same vector. The sequences hold
    no kinds and no times: every event counts as a purchase, at no distance from the one before.

    Args:
        config: `dim`, `history` and `sequences` of it.
        products: number of products.
        attributes: the attribute rows of each product; empty: ids alone.
        attribute_count: number of attributes.
    """

    def __init__(
        self,
        config: TowersConfig,
        products: int,
        attributes: Sequence[Sequence[int]] = (),
        attribute_count: int = 0,
    ) -> None:
        super().__init__(name="sequence_towers")
        self.dim, self.n_products = config.dim, products
        stddev, power = config.sequences.stddev, config.sequences.attribute_power
        self.identity = HashedIdentity(products, config.dim, stddev, name="identity")
        self.attributes, self._members = None, None
        if len(attributes):
            self.attributes = AttributeEncoder(attribute_count, config.dim, stddev, power, name="attributes")
            self.attributes.build()
            self._members = tf.constant(attribute_members(attributes))
        settings = config.history
        self.history = HistoryEncoder(
            settings.length,
            config.dim,
            settings.blocks,
            settings.heads,
            settings.dropout,
            settings.norm,
            settings.gaps,
            settings.kinds,
            name="history",
        )
        self.identity.build((None, 1))
        self.history.build((None, settings.length, config.dim))
        self.built = True

    def products(self) -> tf.Tensor:
        """[products, dim]: every product's vector."""
        # The whole table is read, not looked up row by row: its gradient is dense, which takes a tenth off a step.
        vectors = tf.convert_to_tensor(self.identity.table.embeddings.value)
        if self.attributes is None:
            return vectors
        return vectors + self.attributes(self._members, products=self.n_products)

    def queries(self, products: tf.Tensor, rows: tf.Tensor, training: bool = False) -> tf.Tensor:
        """What each position of the histories asks for.

        Args:
            products: [products, dim], of `products`.
            rows: [batch, H] int32 product rows; -1, on the left, where there is none.
            training: whether dropout is on.

        Returns:
            [batch, H, dim].
        """
        present = rows >= 0
        return self.history(
            tf.gather(products, tf.maximum(rows, 0)),
            kinds=tf.where(present, _PURCHASE, 0),
            timestamps=tf.zeros_like(rows, tf.int64),
            present=present,
            training=training,
        )

    def call(self, inputs: Any) -> Any:
        raise NotImplementedError("call `products` or `queries`; the towers never run as one")
