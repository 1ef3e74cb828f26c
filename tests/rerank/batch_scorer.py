"""Many logged requests scored by the reranker as Python has it, before it is exported."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.feature_store import FeatureStore
from rerank.export import OUTPUTS, Reranker
from rerank.lists import request_inputs


class BatchScorer:
    """Score many requests with one trace of the graph.

    Args:
        batch: requests at a time.

    Call:
        inputs: what `request_inputs` returns: query, query_embedding, history_*, timestamp, user_<column>; [R, ...].
        rows: [R, C] candidate rows, below 0 or N for absent. scores: [R, C].
        Returns OUTPUTS, [R, C] each, in the candidates' order.
    """

    def __init__(self, reranker: Reranker, batch: int = 32) -> None:
        self._call = tf.function(reranker.__call__, autograph=False, reduce_retracing=True)
        self._batch = batch

    def __call__(
        self, inputs: Mapping[str, npt.NDArray[Any]], rows: npt.NDArray[np.int32], scores: npt.NDArray[np.float32]
    ) -> dict[str, npt.NDArray[np.float32]]:
        columns = [name for name in inputs if name.startswith("user_")]
        parts = []
        for at in range(0, len(rows), self._batch):
            part = {name: tf.constant(values[at : at + self._batch]) for name, values in inputs.items()}
            profile = {name.removeprefix("user_"): part.pop(name) for name in columns}
            answer = self._call(
                **part,
                user_columns=profile,
                candidate_row=tf.constant(rows[at : at + self._batch], tf.int32),
                candidate_score=tf.constant(scores[at : at + self._batch], tf.float32),
            )
            parts.append({name: answer[name].numpy() for name in OUTPUTS})
        if not parts:
            return {name: np.zeros(rows.shape, np.float32) for name in OUTPUTS}
        return {name: np.concatenate([part[name] for part in parts]) for name in OUTPUTS}


def score_candidates(
    reranker: Reranker,
    features: FeatureStore,
    requests: npt.NDArray[np.int32],
    query_embedding: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
) -> dict[str, npt.NDArray[np.float32]]:
    """Score the candidates of logged requests, with their histories as they were; see `BatchScorer`."""
    config = reranker.config
    inputs = request_inputs(features, requests, query_embedding, config.history_length, config.profile_columns)
    return BatchScorer(reranker)(inputs, rows, scores)
