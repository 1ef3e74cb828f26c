"""The lists of one slice with their features, computed when they are asked for or once for all."""

from dataclasses import dataclass, replace

import numpy as np
import tensorflow as tf

from rerank.candidates import Candidates
from rerank.features import FeatureExtractor, Features
from rerank.training_data import ListBatch, TrainingData

_BATCH = 64


@dataclass(frozen=True)
class Slice:
    """Lists of one slice with the product embeddings that its candidates were retrieved by.

    stored: features of all lists; None where they are computed from the batch.
    """

    data: TrainingData
    candidates: Candidates
    stored: Features | None = None

    def features(self, extractor: FeatureExtractor, places: tf.Tensor, batch: ListBatch) -> Features:
        """Features of the lists at `places`, which `batch` holds."""
        if self.stored is None:
            return extractor.traced(batch.inputs)
        return Features(*(tf.gather(part, places) for part in self.stored))


def with_features(part: Slice, extractor: FeatureExtractor, memory_gb: float) -> Slice:
    """The slice with its features stored, unless they take more than `memory_gb` of memory."""
    numbers = part.data.size * part.data.lists.row.shape[1] * len(extractor.names)
    if part.stored is not None or 4 * numbers > memory_gb * 1e9:
        return part
    extractor.set_embeddings(part.candidates.product_embeddings)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def compute(places: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return tuple(extractor.traced(part.data.batch(places).inputs))

    chunks = (
        np.arange(at, min(at + _BATCH, part.data.size), dtype=np.int32) for at in range(0, part.data.size, _BATCH)
    )
    columns = zip(*(compute(chunk) for chunk in chunks), strict=True)
    with tf.device("CPU:0"):
        return replace(part, stored=Features(*(tf.concat(column, 0) for column in columns)))
