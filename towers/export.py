"""The towers as modules that export: plain strings and numbers in, unit vectors out, no Python object left behind."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import keras
import tensorflow as tf

from catalog.splits import SECONDS_PER_DAY
from towers.identity import id_buckets
from towers.product_tower import PRODUCT_MODALITIES
from towers.query_tower import QUERY_MODALITIES, profile_buckets
from towers.tables import GraphTables
from towers.text import graph_product_text
from towers.trained import Towers
from towers.two_towers import encode_queries

PRODUCT_TEXTS = ("product_id", "title", "description", "category", "brand", "attributes", "review_text")
"""String inputs of `ProductEncoder`; "" where unknown, but for product_id."""


def tracked_variables(*models: keras.Model | keras.layers.Layer | None, larger_than: int = -1) -> list[tf.Variable]:
    """Every variable of the models that has more than `larger_than` bytes, once, to be assigned to an attribute of the
    module that is exported.

    A `tf.Module` does not find all variables of the Keras layers it holds; an export without them fails only when it
    is loaded elsewhere.
    """
    variables = [variable for model in models if model is not None for variable in model.variables]
    once = {id(variable.value): variable.value for variable in variables}
    return [variable for variable in once.values() if variable.dtype.size * variable.shape.num_elements() > larger_than]


def picture_function(backbone: keras.Model | None) -> Any:
    """The picture network as one traced function, [batch, S, S, 3] uint8 to [batch, E]: each signature would otherwise
    trace its hundreds of layers anew. None without a network.
    """
    if backbone is None:
        return None
    return tf.function(
        lambda pixels: backbone(tf.cast(pixels, tf.float32), training=False),
        input_signature=[tf.TensorSpec(backbone.input_shape, tf.uint8)],
        autograph=False,
    )


class QueryEncoder(tf.Module):
    """Queries to unit vectors, for a signature.

    Args:
        towers: trained, their content vectors refreshed.
        backbone: the picture network, for a signature that takes pictures; None leaves it out.
        constant_bytes: weights up to this size are not saved as variables; whoever traces this makes them constants.

    Call:
        query: [batch] string, "" for none. history_row: [batch, H] int32, product rows, N where absent.
        history_kind: [batch, H] int32, index in KINDS + 1, 0 where absent. history_timestamp: [batch, H] int64 seconds.
        timestamp: [batch] int64 seconds, when it is asked. user_columns: name -> [batch] string, "" where unknown, one
        for each configured profile column. query_image: [batch, S, S, 3] uint8, or None.
        Returns [batch, dim] float32 of unit length.
    """

    def __init__(self, towers: Towers, backbone: keras.Model | None = None, constant_bytes: int = -1) -> None:
        super().__init__(name="query_encoder")
        # A module walks through what it holds, but not into these: the layers' variables are tracked one by one.
        self._config = SimpleNamespace(value=towers.config)
        self._layers = SimpleNamespace(
            model=towers.model,
            embed_pictures=picture_function(backbone),
            # Traced once for all signatures that read a query.
            encode=tf.function(self._encode, autograph=False),
        )
        self._variables = tracked_variables(towers.model, backbone, larger_than=constant_bytes)
        self._tokenizer = towers.tokenizer.graph()
        self._tables = _HistoryTables(towers.tables)

    def __call__(self, *inputs: Any, **named: Any) -> tf.Tensor:
        return self.encode(*inputs, **named)["embedding"]

    def encode(
        self,
        query: tf.Tensor,
        history_row: tf.Tensor,
        history_kind: tf.Tensor,
        history_timestamp: tf.Tensor,
        timestamp: tf.Tensor,
        user_columns: Mapping[str, tf.Tensor],
        query_image: tf.Tensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """As a call, with what each modality gave.

        Returns:
            embedding: [batch, dim]; modality_weights: [batch, 4] float32 in the order of QUERY_MODALITIES.

        Raises:
            ValueError: if a profile column is missing, or a picture comes and there is no picture network.
        """
        config = self._config.value
        if sorted(user_columns) != sorted(config.profile_columns):
            raise ValueError(f"expected user columns {config.profile_columns}, received {tuple(user_columns)}")
        if query_image is not None and self._layers.embed_pictures is None:
            raise ValueError("received query_image, but this QueryEncoder was made without a picture network")
        history = {"rows": history_row, "kinds": history_kind, "timestamps": history_timestamp, "timestamp": timestamp}
        encoded: dict[str, tf.Tensor] = self._layers.encode(query, history, dict(user_columns), query_image)
        return encoded

    def _encode(
        self, query: tf.Tensor, history: dict[str, tf.Tensor], columns: dict[str, tf.Tensor], pixels: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        config = self._config.value
        profile = [profile_buckets(name, columns[name], config.profile_buckets) for name in config.profile_columns]
        inputs = {
            "tokens": self._tokenizer(query, config.text.query_tokens),
            **history,
            "profile": tf.stack(profile, axis=1) if profile else tf.zeros((tf.shape(query)[0], 0), tf.int32),
        }
        if pixels is not None:
            inputs["image"] = self._layers.embed_pictures(pixels)
            inputs["image_present"] = tf.fill(tf.shape(query), True)
        embedding, weights = encode_queries(self._layers.model, self._tables, inputs)
        return {"embedding": embedding, "modality_weights": tf.ensure_shape(weights, (None, len(QUERY_MODALITIES)))}


class _HistoryTables(tf.Module):
    """The part of `GraphTables` that histories read, as variables: constants would swell the graph itself."""

    def __init__(self, tables: GraphTables) -> None:
        super().__init__(name="history_tables")
        self.n_products = tables.n_products
        self._buckets = tf.Variable(tables.buckets, trainable=False, name="buckets")
        self._category = tf.Variable(tables.category, trainable=False, name="category")
        self._content = tf.Variable(tables.content, trainable=False, name="content")

    def history(self, rows: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "buckets": tf.gather(self._buckets, rows),
            "categories": tf.gather(self._category, rows),
            "contents": tf.gather(self._content, rows),
        }


class ProductEncoder(tf.Module):
    """A product's raw fields to a unit vector, for a signature.

    Args:
        towers: trained.
        backbone: the picture network, to take pixels; without it only `image_embedding` is taken.
        snapshot_timestamp: seconds; what a timestamp of 0 stands for.
        constant_bytes: as of `QueryEncoder`.

    Call:
        fields: PRODUCT_TEXTS [batch] string; price, rating_average [batch] float32, NaN unknown; rating_count,
        created_at, timestamp [batch] int64, times in seconds; counters [batch, F] float32 in the order of
        snapshot_features, all zero for a product nobody met; image_present [batch] bool; and either image
        [batch, S, S, 3] uint8 or image_embedding [batch, E] float32.
        Returns [batch, dim] float32 of unit length.
    """

    def __init__(
        self, towers: Towers, backbone: keras.Model | None, snapshot_timestamp: int, constant_bytes: int = -1
    ) -> None:
        super().__init__(name="product_encoder")
        # A module walks through what it holds, but not into these: the layers' variables are tracked one by one.
        self._vocabulary = SimpleNamespace(value=towers.vocabulary)
        self._layers = SimpleNamespace(model=towers.model, embed_pictures=picture_function(backbone))
        self._variables = tracked_variables(towers.model, backbone, larger_than=constant_bytes)
        self._tokenizer = towers.tokenizer.graph()
        self._snapshot_timestamp = tf.constant(snapshot_timestamp, tf.int64)
        # A table needs an entry, and a catalogue without any price has none.
        prices = towers.vocabulary.category_prices or {"": towers.vocabulary.catalogue_price}
        self._category_prices = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(list(prices), tf.string), tf.constant(list(prices.values()), tf.float32)
            ),
            default_value=towers.vocabulary.catalogue_price,
        )

    def __call__(self, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return self.encode(fields)["embedding"]

    def encode(self, fields: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """As a call, with what each modality gave.

        Returns:
            embedding: [batch, dim]; modality_weights: [batch, 4] float32 in the order of PRODUCT_MODALITIES.

        Raises:
            ValueError: if neither pixels nor an embedding come, or pixels without a picture network.
        """
        vocabulary, model = self._vocabulary.value, self._layers.model
        timestamp = tf.where(fields["timestamp"] == 0, self._snapshot_timestamp, fields["timestamp"])
        age = _day(timestamp, vocabulary.day0) - _day(fields["created_at"], vocabulary.day0)
        inputs = {
            "tokens": self._tokenizer(graph_product_text(fields), vocabulary.product_tokens),
            # Whatever stands where there is no picture: not a number times nothing is not nothing.
            "image": tf.where(fields["image_present"][:, None], self._picture(fields), 0.0),
            "image_present": fields["image_present"],
            "buckets": id_buckets(fields["product_id"], vocabulary.id_buckets),
            "counters": fields["counters"],
            "price": fields["price"],
            "category_price": self._category_prices.lookup(fields["category"]),
            "rating_average": fields["rating_average"],
            "rating_count": tf.cast(fields["rating_count"], tf.float32),
            "age_days": tf.cast(age, tf.float32),
        }
        embedding, weights = model.product(inputs)
        return {"embedding": embedding, "modality_weights": tf.ensure_shape(weights, (None, len(PRODUCT_MODALITIES)))}

    def _picture(self, fields: Mapping[str, tf.Tensor]) -> tf.Tensor:
        if "image_embedding" in fields:
            return fields["image_embedding"]
        if "image" not in fields or self._layers.embed_pictures is None:
            raise ValueError(
                "a ProductEncoder takes image pixels if it was made with a picture network, else image_embedding; "
                f"received {sorted(fields)}"
            )
        return self._layers.embed_pictures(fields["image"])


def _day(timestamps: tf.Tensor, day0: int) -> tf.Tensor:
    return tf.math.floordiv(timestamps - day0, tf.constant(SECONDS_PER_DAY, tf.int64))
