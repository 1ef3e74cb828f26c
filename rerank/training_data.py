"""Ranking lists as tensors: a batch is gathered by list number inside the training step."""

from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.feature_store import FeatureStore
from rerank.candidates import Candidates
from rerank.config import RerankConfig
from rerank.history_features import known_events
from rerank.lists import RankingLists, request_inputs
from rerank.losses import ListLabels
from rerank.product_tables import met_products
from rerank.tensors import Tensors


class ListBatch(NamedTuple):
    """inputs: what `FeatureExtractor` takes. position [B, L] int32. labels, and retrieved [B, L] bool."""

    inputs: Tensors
    position: tf.Tensor
    labels: ListLabels
    retrieved: tf.Tensor


class TrainingData:
    """The lists of one slice on the device.

    Attributes:
        asked: [R] bool, whether there was a query.
        met: [R, L] bool, see `met_products`, by the counters that are read.
        events: [R], how many events the history has of known products.

    Args:
        lists: of the requests of `candidates`, in the same order.
        day_slots: day number -> slot of the behaviour table.
        day: whose morning's counters those slots have; by default each request's own.
    """

    def __init__(
        self,
        features: FeatureStore,
        candidates: Candidates,
        lists: RankingLists,
        day_slots: dict[int, int],
        config: RerankConfig,
        day: int | None = None,
    ) -> None:
        self.size = len(lists)
        self.lists = lists
        self.asked: npt.NDArray[np.bool_] = features.request_query[candidates.request] >= 0
        own = features.request_day[candidates.request]
        self.met = _met(features, own if day is None else np.full_like(own, day), lists.row)
        request = request_inputs(
            features, candidates.request, candidates.query_embedding, config.history_length, config.profile_columns
        )
        self._absent = len(candidates.product_embeddings)
        self.events: npt.NDArray[np.int64] = known_events(
            request["history_row"], request["history_kind"], self._absent
        ).sum(1)
        slots = [day_slots[day] for day in features.request_day[candidates.request].tolist()]
        arrays: dict[str, npt.NDArray[Any]] = {
            **request,
            "day_slot": np.asarray(slots, dtype=np.int32),
            "candidate_row": lists.row,
            "candidate_score": lists.score,
            "candidate_rank": lists.rank,
            "best_score": lists.best_score,
        }
        # On the host: lists of strings and integers, of which a step reads a few dozen.
        with tf.device("CPU:0"):
            self._inputs = {name: tf.constant(values) for name, values in arrays.items()}
            self._position = tf.constant(lists.position)
            self._flags = tf.constant(
                np.stack([lists.click, lists.cart, lists.purchase, lists.shown, lists.retrieved], axis=-1)
            )

    def fingerprint(self) -> str:
        """SHA-256 in hex of everything that batches hold."""
        digest = sha256()
        for name, part in sorted({**self._inputs, "position": self._position, "flags": self._flags}.items()):
            values = part.numpy()
            content = b"\0".join(values.ravel().tolist()) if values.dtype == object else values.tobytes()
            digest.update(f"{name} {values.shape}\0".encode() + content)
        return digest.hexdigest()

    def batch(self, places: tf.Tensor) -> ListBatch:
        """Lists at `places`, [B] int32."""
        inputs = {name: tf.gather(values, places) for name, values in self._inputs.items()}
        click, cart, purchase, shown, retrieved = tf.unstack(tf.gather(self._flags, places), axis=-1)
        labels = ListLabels(
            click=tf.cast(click, tf.float32),
            cart=tf.cast(cart, tf.float32),
            purchase=tf.cast(purchase, tf.float32),
            shown=shown,
            present=inputs["candidate_row"] < self._absent,
        )
        return ListBatch(inputs, tf.gather(self._position, places), labels, retrieved)


def _met(
    features: FeatureStore, days: npt.NDArray[np.integer[Any]], rows: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """[R, L] whether anybody had met each product before its list's day."""
    known, place = np.unique(days, return_inverse=True)
    return np.stack([met_products(features, day) for day in known.tolist()])[place[:, None], rows]
