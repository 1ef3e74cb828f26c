"""Features of (query, user, candidate): one graph function for training and for export, over tables by product row."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.associations import Associations
from rerank.behaviour import behaviour_names
from rerank.config import RerankConfig
from rerank.history_features import (
    History,
    cosines,
    cosines_of_kind,
    hours_since_last,
    known_events,
    log_hours,
    prices,
    seen_before,
    shares,
)
from rerank.product_tables import ProductTables
from rerank.relevance import Relevance, RelevanceWeights, no_relevance
from rerank.side_by_side import SideBySide
from rerank.tensors import Tensors, count, lower_bounds, spread, table
from rerank.text_features import TextExtractor


class Features(NamedTuple):
    """Inputs of the ranking model. B requests, C candidates, F numbers, A keys, P profile columns.

    numeric: [B, C, F] float32, not yet normalised. value: [B, C, A] int32 hash buckets of the values, 0 for none.
    profile: [B, P] int32 hash buckets. present: [B, C] bool, false for absent candidates. grade: [B, C] float32, what
    people would judge the product's relevance to be; 0 without a query or judgments.
    """

    numeric: tf.Tensor
    value: tf.Tensor
    profile: tf.Tensor
    present: tf.Tensor
    grade: tf.Tensor


class FeatureExtractor(tf.Module):
    """Compute features from requests and candidate rows.

    Args:
        tables: words, values and tokens of the catalogue.
        behaviour: [days * (N + 1), Fb] by day slot and row, see `behaviour_table`.
        counters: names of the snapshot's columns.
        embeddings: [N, D] unit product embeddings, or a variable [N + 1, D] whose last row is zero, to share it.
        pictures: [N + 1, P], see `picture_table`.
        associations: what is chosen after which word.
        tokenizer: SentencePiece model file.
        kind_weights: of every one of KINDS, by which the events of a history count.
        relevance: how grades are read from text features, where a shop has judgments.

    Call:
        inputs: query [B] string; query_embedding [B, D]; history_row, history_kind [B, H] int32; history_timestamp
            [B, H] int64; timestamp [B] int64; user_<column> [B] string; candidate_row [B, C] int32, N for absent;
            candidate_score [B, C]; candidate_rank [B, C] float32 from 0; best_score [B]; day_slot [B] int32.
        Returns Features.
    """

    def __init__(
        self,
        tables: ProductTables,
        behaviour: npt.NDArray[np.float32],
        counters: tuple[str, ...],
        embeddings: npt.NDArray[np.float32] | tf.Variable,
        pictures: npt.NDArray[np.float32],
        associations: Associations,
        tokenizer: Path,
        config: RerankConfig,
        kind_weights: Sequence[float],
        relevance: RelevanceWeights | None = None,
    ) -> None:
        super().__init__(name="features")
        self._config = config
        self._strengths = np.array([0.0, *kind_weights], np.float32)  # as histories hold kinds, from 1; 0 is none
        self._keys = tables.keys
        self._behaviour_names = behaviour_names(counters)
        self.size = len(tables.values) - 1
        self._text = TextExtractor(tables, associations, tokenizer, config.lexical)
        self.embeddings = embeddings if isinstance(embeddings, tf.Variable) else table(_with_absent(embeddings))
        places, self._value_places = _value_places(tables.values)
        self._whole = SideBySide({**self._text.product_parts(tables, associations), "value_places": places})
        columns = {"unspaced": tables.unspaced, "log_price": tables.log_price}
        self._real = SideBySide({"picture": pictures, **{name: part[:, None] for name, part in columns.items()}})
        buckets = 1 + tables.value_hash % (config.value_buckets - 1)
        self._value_bucket = table(np.concatenate([[0], buckets]).astype(np.int32))
        self._behaviour = table(behaviour)
        self.relevance = Relevance(relevance or no_relevance(len(self._text.names)))
        self._traced: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """ "group:name" of each number, in order; groups are retrieval, text, picture, behaviour and person."""
        person = ["cosine_max", "cosine_mean", "cosine_last", "price_gap", "price_distance", "price_comparable"]
        person += ["seen", "bought", "carted", "hours_since_seen", "history_events", "hours_since_last"]
        person += [f"same_{key}" for key in self._keys]
        groups = {
            "retrieval": ["score", "score_gap", "log_rank", "cosine"]
            + [f"product_{place}" for place in range(self.embeddings.shape[1])],
            "text": list(self._text.names),
            "picture": [
                "cosine_max",
                "cosine_mean",
                "cosine_last",
                "cosine_lasting",
                "kind_max",
                "kind_mean",
                "kind_share",
            ]
            + [f"taste_{place}" for place in range(self._real.width("picture"))],
            "behaviour": list(self._behaviour_names),
            "person": person,
        }
        return tuple(f"{group}:{name}" for group, names in groups.items() for name in names)

    def value_buckets(self) -> tf.Tensor:
        """`Features.value` of every product, [N + 1, A]."""
        return tf.gather(self._value_bucket, self._whole.part("values"))

    def fingerprint(self) -> str:
        """SHA-256 in hex of the tables that features are looked up in, the product embeddings aside."""
        digest = sha256()
        learned = (*self._text.learned, *self.relevance.weights)
        for part in (self._whole.table, self._real.table, self._behaviour, *learned):
            digest.update(np.ascontiguousarray(part.numpy()).tobytes())
        return digest.hexdigest()

    def set_embeddings(self, embeddings: npt.NDArray[np.float32]) -> None:
        """Replace the product embeddings, [N, D], by those of another day."""
        self.embeddings.assign(_with_absent(embeddings))

    def __call__(self, inputs: Tensors) -> Features:
        row = inputs["candidate_row"]
        present = (row >= 0) & (row < self.size)
        row = tf.where(present, row, self.size)
        embedding = tf.gather(self.embeddings, row)
        product = self._product(row)
        history = self._history(inputs)
        text = self._text(inputs["query"], product)
        asked = text[..., self._text.names.index("has_query")] > 0.0
        grade = tf.where(present & asked, self.relevance(text), 0.0)
        slot = inputs["day_slot"][:, None] * (self.size + 1) + row
        blocks = [
            self._retrieval(inputs, embedding, present),
            text,
            self._picture(product, history),
            tf.gather(self._behaviour, slot),
            self._person(inputs, row, embedding, product, history),
        ]
        numeric = tf.where(present[..., None], tf.concat(blocks, -1), 0.0)
        value = tf.gather(self._value_bucket, product["values"])
        return Features(numeric, value, self._profile(inputs), present, grade)

    def traced(self, inputs: Tensors) -> Features:
        """The same by one function that all graphs call: traced at the first call, with `relevance` as it is then."""
        if self._traced is None:
            candidates = {name: [None, None] for name in inputs if name.startswith("candidate_")}
            specs = {
                name: tf.TensorSpec(candidates.get(name, [None, *value.shape[1:]]), value.dtype)
                for name, value in inputs.items()
            }
            self._traced = tf.function(self.__call__, input_signature=[specs], autograph=False)
        return Features(*self._traced(inputs))

    def _product(self, row: tf.Tensor) -> Tensors:
        """Everything that is known of products, but counters and vectors; [..., width] each."""
        return self._whole(row) | self._real(row)

    def _retrieval(self, inputs: Tensors, embedding: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        product = inputs["query_embedding"][:, None, :] * embedding
        score = tf.where(present, inputs["candidate_score"], 0.0)
        gap = score - inputs["best_score"][:, None]
        columns = [score, gap, tf.math.log1p(inputs["candidate_rank"]), tf.reduce_sum(product, -1)]
        return tf.concat([tf.stack(columns, -1), product], -1)

    def text(self, query: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """Text features of candidates, see `TextExtractor`; row: [B, C] int32, N for absent."""
        return self._text(query, self._product(row))

    def _picture(self, product: Tensors, history: History) -> tf.Tensor:
        """How alike a candidate and the history look, each among its own category; zero without picture or history.

        `kind_*` are over the history's items of the candidate's leaf category alone.
        """
        picture, past = product["picture"], history.product["picture"]
        seen = history.valid & tf.reduce_any(past != 0.0, -1)
        leaf = self._keys.index("category_leaf")
        kind, past_kind = product["values"][..., leaf], history.product["values"][..., leaf]
        # No kind is -1 on one side and -2 on the other, so that what is to be left out equals nothing.
        kind = tf.where(tf.reduce_any(picture != 0.0, -1) & (kind > 0), kind, -1)
        same_kind = kind[..., None] == tf.where(seen, past_kind, -2)[:, None]
        cosine = tf.matmul(picture, past, transpose_b=True)
        taste = tf.linalg.matvec(past, history.lasting, transpose_a=True)
        columns = [
            *cosines(cosine, seen, history.recent),
            tf.linalg.matvec(picture, taste),
            *cosines_of_kind(cosine, same_kind, history.recent),
        ]
        return tf.concat([tf.stack(columns, -1), picture * taste[:, None]], -1)

    def _history(self, inputs: Tensors) -> History:
        row, kind = inputs["history_row"], inputs["history_kind"]
        valid = known_events(row, kind, self.size)
        row = tf.where(valid, row, self.size)
        strength = tf.where(valid, tf.gather(tf.constant(self._strengths), tf.maximum(kind, 0)), 0.0)
        age = np.arange(row.shape[1] - 1, -1, -1, dtype=np.float32)
        fading = strength * tf.constant(0.5 ** (age / self._config.history_half_life))
        return History(row, valid, shares(fading), shares(strength), self._product(row))

    def _person(
        self, inputs: Tensors, row: tf.Tensor, embedding: tf.Tensor, product: Tensors, history: History
    ) -> tf.Tensor:
        past, kind, valid, weight = history.row, inputs["history_kind"], history.valid, history.recent
        elapsed = log_hours(inputs["timestamp"][:, None] - inputs["history_timestamp"])
        cosine = tf.matmul(embedding, tf.gather(self.embeddings, past), transpose_b=True)
        same_row = row[:, :, None] == tf.where(valid, past, -1)[:, None, :]
        columns = [
            *cosines(cosine, valid, weight),
            *prices(product["log_price"][..., 0], history.product["log_price"][..., 0], weight),
            *seen_before(same_row, kind, elapsed),
            spread(tf.math.log1p(count(valid)), row),
            spread(hours_since_last(elapsed, valid), row),
        ]
        return tf.concat([tf.stack(columns, -1), self._same_values(product, history)], -1)

    def _same_values(self, product: Tensors, history: History) -> tf.Tensor:
        """Per key, the weight of the history's items that have the candidate's value, [B, C, A]; 0 for no value.

        The history's weight is summed by value once and then looked up, instead of comparing every candidate with
        every item.
        """
        past = history.product["value_places"]
        weight = tf.where(past > 0, history.recent[..., None], 0.0)
        request = tf.range(tf.shape(past)[0])[:, None, None] * self._value_places
        size = tf.shape(past)[0] * self._value_places
        mass = tf.math.unsorted_segment_sum(tf.reshape(weight, [-1]), tf.reshape(request + past, [-1]), size)
        by_place = tf.reshape(mass, [-1, self._value_places])
        return tf.gather(by_place, product["value_places"], batch_dims=1)

    def unknown_profile(self, profile: tf.Tensor) -> tf.Tensor:
        """The buckets of a shopper of whom nothing is known, in the shape of `profile`, [B, P]."""
        names = [f"{name}=" for name in self._config.profile_columns]
        buckets = tf.strings.to_hash_bucket_fast(tf.constant(names, tf.string), self._config.profile_buckets)
        return tf.zeros_like(profile) + tf.cast(buckets, tf.int32)

    def _profile(self, inputs: Tensors) -> tf.Tensor:
        columns = self._config.profile_columns
        if not columns:
            return tf.zeros([tf.shape(inputs["query"])[0], 0], tf.int32)
        texts = [tf.strings.join([f"{name}=", inputs[f"user_{name}"]]) for name in columns]
        return tf.cast(tf.strings.to_hash_bucket_fast(tf.stack(texts, 1), self._config.profile_buckets), tf.int32)


def retrieval_ranks(score: tf.Tensor, present: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """How many present candidates score strictly better, [B, C] float32, and the best score, [B] (0 for none)."""
    lowest = score.dtype.min
    score = tf.where(present, score, lowest)
    rank = tf.cast(lower_bounds(tf.sort(-score, axis=1), -score), tf.float32)
    best = tf.reduce_max(score, 1)
    return rank, tf.where(best > lowest, best, 0.0)


def _value_places(values: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], int]:
    """[N + 1, A] a number for each value of each key, counted from 1, 0 for none; and one more than the last number."""
    places, size = np.zeros_like(values), 1
    for key in range(values.shape[1]):
        known, place = np.unique(values[:, key], return_inverse=True)
        own = np.cumsum(known > 0)
        places[:, key] = np.where(values[:, key] > 0, size - 1 + own[place], 0)
        size += int(own[-1])
    return places, size


def _with_absent(table: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.concatenate([table, np.zeros((1, table.shape[1]), dtype=np.float32)]).astype(np.float32)
