"""The reranker as one graph: tables of the snapshot, features, cross network; needs no model code once exported."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.feature_store import FeatureStore
from catalog.outcomes import HEADS
from catalog.schema import ShopData
from rerank.artifacts import check_names, load
from rerank.calibration import Calibrator
from rerank.features import FeatureExtractor, Features, retrieval_ranks
from rerank.history_features import known_events
from rerank.pictures import picture_table
from rerank.product_tables import build_tables, known_products, met_products, served_behaviour_table
from rerank.ranking_model import HeadLogs, order_score
from rerank.shapley import GROUPS, coalitions, shapley_weights
from rerank.tensors import Tensors, count

OUTPUTS = ("score", *(f"{head}_probability" for head in HEADS))
ABSENT_SCORE = -1e9
"""Score of an absent candidate: below every real one, and finite, so that JSON can carry it."""

_TITLE_WORDS = 4
"""Words from which on a query of all words of a title, and no others that are known, means the one product."""

_WHOLE = 1.0 - 1e-6


class Reranker(tf.Module):
    """Score candidates as if each stood at position 1.

    Args:
        trained_dir: what `rerank.train.train` wrote.
        shop, features, tokenizer, pictures: as in training; counters are read from the snapshot of `day`.
        product_embeddings: [N, D] unit vectors, or a variable [N + 1, D] to share, whose last row is zero.
        day: day number of the snapshot; the last one by default.
        constant_bytes: weights up to this size are not saved as variables; whoever traces this makes them constants.

    Call:
        query [B] string ("" for a recommendation); query_embedding [B, D]; history_row, history_kind [B, H] int32,
        padded on the left with N and 0; history_timestamp [B, H] int64; timestamp [B] int64, seconds, never 0;
        user_columns {name: [B] string}; candidate_row [B, C] int32, N for absent; candidate_score [B, C].
        found_with_picture: whether candidates were retrieved by a picture, too. Returns score, click_probability,
        cart_probability, purchase_probability, [B, C] float32 each. The score is `order_score`, to which candidates
        that hold all known words of the query, a name among them or all of their title, add `name_weight`, and those
        found with a picture `picture_query_weight` times candidate_score; absent candidates get ABSENT_SCORE and
        probabilities of 0.

    Raises:
        ArtifactError: when the catalogue gives other features than the weights were trained on.
    """

    def __init__(
        self,
        trained_dir: Path,
        shop: ShopData,
        features: FeatureStore,
        tokenizer: Path,
        pictures: npt.NDArray[np.floating],
        product_embeddings: npt.NDArray[np.float32] | tf.Variable,
        day: int | None = None,
        constant_bytes: int = -1,
    ) -> None:
        super().__init__(name="reranker")
        trained = load(trained_dir)
        self.config = trained.config
        tables = build_tables(shop, features, tokenizer, trained.spec.keys, self.config.lexical)
        snapshot = len(features.snapshots) - 1 if day is None else day
        self.extractor = FeatureExtractor(
            tables,
            served_behaviour_table(tables, features, snapshot, self.config),
            tuple(features.snapshot_features),
            product_embeddings,
            picture_table(shop.products, pictures, trained.fitted.picture_basis, known_products(features)),
            trained.fitted.associations,
            tokenizer,
            self.config,
            trained.spec.kind_weights,
            trained.fitted.relevance,
        )
        check_names(trained.spec, self.extractor)
        # A module does not look into these, since saving would trace a Keras model by itself; its variables are
        # tracked one by one, since a tf.Module misses those of layers that sit in lists.
        # What signatures share is traced once for all of them.
        self._layers = SimpleNamespace(
            model=trained.model,
            all=tf.function(self._all, autograph=False),
            best=tf.function(self._best, autograph=False),
        )
        weights: list[tf.Variable] = [variable.value for variable in trained.model.variables]
        self._tracked = [
            weight for weight in weights if weight.dtype.size * weight.shape.num_elements() > constant_bytes
        ]
        self._value_vectors = tf.Variable(trained.model.value_vectors(self.extractor.value_buckets()), trainable=False)
        self._calibrate = Calibrator(trained.calibration)
        self._met = tf.constant(met_products(features, snapshot))
        self._usual = tf.constant(trained.model.mean.value)
        groups = [name.partition(":")[0] for name in self.extractor.names]
        columns = ("all_words", "rarest_idf", "title_precision", "query_words")
        self._named_by = tuple(self.extractor.names.index(f"text:{column}") for column in columns)
        self._name_idf = tables.name_idf
        self._members = tf.constant([[group == name for name in groups] for group in GROUPS], tf.float32)

    def __call__(self, found_with_picture: bool = False, **inputs: Any) -> Tensors:
        found: Tensors = self._layers.all(self._retrieval_weight(found_with_picture), **inputs)
        return found

    def best(self, count: int, found_with_picture: bool = False, **inputs: Any) -> tuple[Tensors, tf.Tensor]:
        """The candidates of the highest scores, best first; probabilities are computed of no other.

        Args:
            count: K, at most C.
            found_with_picture, inputs: as of a call.

        Returns:
            What a call returns, [B, K] each, and their places among the candidates, [B, K] int32.
        """
        found: tuple[Tensors, tf.Tensor] = self._layers.best(
            count, self._retrieval_weight(found_with_picture), **inputs
        )
        return found

    def _retrieval_weight(self, found_with_picture: bool) -> tf.Tensor:
        return tf.constant(self.config.picture_query_weight if found_with_picture else 0.0, tf.float32)

    def _all(self, retrieval_weight: tf.Tensor, **inputs: Any) -> Tensors:
        score, logs, present = self._judge(inputs, retrieval_weight)
        met = self._are_met(inputs["candidate_row"], present)
        return {"score": score, **self._probabilities(logs, present, met, inputs)}

    def _best(self, count: int, retrieval_weight: tf.Tensor, **inputs: Any) -> tuple[Tensors, tf.Tensor]:
        score, logs, present = self._judge(inputs, retrieval_weight)
        score, order = tf.math.top_k(score, k=count)
        chosen = tf.gather(tf.stack(logs, -1), order, batch_dims=1)
        present = tf.gather(present, order, batch_dims=1)
        met = self._are_met(tf.gather(inputs["candidate_row"], order, batch_dims=1), present)
        logs = HeadLogs(*tf.unstack(chosen, axis=-1))
        return {"score": score, **self._probabilities(logs, present, met, inputs)}, order

    def _judge(self, inputs: dict[str, Any], retrieval_weight: tf.Tensor) -> tuple[tf.Tensor, HeadLogs, tf.Tensor]:
        """Scores, logs before calibration, and which candidates are present; [B, C] each."""
        features = self.features(**inputs)
        logs = self._rank(features.numeric, self._values(features, inputs["candidate_row"]), features.profile)
        score = order_score(logs, features.grade, self.config) + self._for_names(features)
        score += retrieval_weight * _finite(inputs["candidate_score"])
        return tf.where(features.present, score, ABSENT_SCORE), logs, features.present

    def _for_names(self, features: Features) -> tf.Tensor:
        """[B, C] what is added where a query is a product's whole title, or names it by a word that few have."""
        all_words, rarest, title, words = (features.numeric[..., place] for place in self._named_by)
        named = (rarest >= self._name_idf) | ((title > _WHOLE) & (words >= _TITLE_WORDS))
        return self.config.name_weight * tf.cast(named & (all_words > 0.0), tf.float32)

    def _rank(self, numeric: tf.Tensor, values: tf.Tensor, profile: tf.Tensor) -> HeadLogs:
        logs: HeadLogs = self._layers.model.rank(numeric, values, profile)
        return logs

    def _values(self, features: Features, row: tf.Tensor) -> tf.Tensor:
        """[B, C, value_dim] of candidates."""
        return tf.gather(self._value_vectors, tf.where(features.present, row, self.extractor.size))

    def _are_met(self, row: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
        """[B, C] whether anybody has met each candidate; absent ones count as met."""
        return tf.gather(self._met, tf.where(present, row, self.extractor.size))

    def _probabilities(self, logs: HeadLogs, present: tf.Tensor, met: tf.Tensor, inputs: dict[str, Any]) -> Tensors:
        events = count(known_events(inputs["history_row"], inputs["history_kind"], self.extractor.size))
        calibrated = self._calibrate(logs, inputs["query"] != "", met, events)
        return {
            f"{head}_probability": tf.where(present, tf.exp(log), 0.0)
            for head, log in zip(HEADS, calibrated, strict=True)
        }

    @property
    def weights(self) -> list[keras.Variable]:
        """Of the ranking model."""
        variables: list[keras.Variable] = self._layers.model.variables
        return variables

    def score(self, features: Features) -> tf.Tensor:
        """`order_score` of features, [B, C], without what names add.

        Values are read from `Features.value`, not from the catalogue.
        """
        values = self._layers.model.value_vectors(features.value)
        return order_score(self._rank(features.numeric, values, features.profile), features.grade, self.config)

    def explain(self, **inputs: Any) -> Tensors:
        """Shapley values of the groups of features, [B, C] float32 each, in the units of the score.

        `base` and the values of retrieval, text, picture, behaviour and person add up to `score`. A group that is
        masked has its features' training means, no values of category, brand and attributes, no grade and no names
        (text), no profile (person). Absent candidates have zeros.

        Args:
            inputs: as of a call.
        """
        features = self.features(**inputs)
        vectors = self._values(features, inputs["candidate_row"])
        # One after the other: side by side 32 sets of features of each candidate would be in memory at a time.
        worth = tf.map_fn(
            lambda members: self._worth(features, vectors, members),
            tf.constant(coalitions(len(GROUPS)), tf.float32),
            parallel_iterations=1,
        )
        values = tf.tensordot(tf.constant(shapley_weights(len(GROUPS))), worth, 1)
        parts = {"score": worth[-1], "base": worth[0], **dict(zip(GROUPS, tf.unstack(values), strict=True))}
        return {name: tf.where(features.present, part, 0.0) for name, part in parts.items()}

    def _worth(self, features: Features, vectors: tf.Tensor, members: tf.Tensor) -> tf.Tensor:
        """[B, C] the score where only some groups are told; members: [groups] 0 or 1."""
        kept = tf.linalg.matvec(self._members, members, transpose_a=True)
        text, person = members[GROUPS.index("text")], members[GROUPS.index("person")]
        numeric = features.numeric * kept + self._usual * (1.0 - kept)
        profile = tf.where(person > 0, features.profile, self.extractor.unknown_profile(features.profile))
        score = order_score(self._rank(numeric, vectors * text, profile), features.grade * text, self.config)
        return score + self._for_names(features) * text

    def features(
        self,
        query: tf.Tensor,
        query_embedding: tf.Tensor,
        history_row: tf.Tensor,
        history_kind: tf.Tensor,
        history_timestamp: tf.Tensor,
        timestamp: tf.Tensor,
        user_columns: Tensors,
        candidate_row: tf.Tensor,
        candidate_score: tf.Tensor,
    ) -> Features:
        """What the ranking model reads of a call's inputs."""
        absent = (candidate_row < 0) | (candidate_row >= self.extractor.size)
        # A client's padding may carry any number, -inf and NaN too; real scores are cosines.
        score = tf.where(absent, 0.0, _finite(candidate_score))
        rank, best = retrieval_ranks(score, ~absent)
        inputs = {
            "query": query,
            "query_embedding": query_embedding,
            "history_row": history_row,
            "history_kind": history_kind,
            "history_timestamp": history_timestamp,
            "timestamp": timestamp,
            "candidate_row": candidate_row,
            "candidate_score": score,
            "candidate_rank": rank,
            "best_score": best,
            "day_slot": tf.zeros_like(timestamp, tf.int32),
            **{f"user_{name}": values for name, values in user_columns.items()},
        }
        return self.extractor(inputs)


def _finite(scores: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_finite(scores), scores, 0.0)
