"""Exact and ScaNN search behind one interface, usable in a graph and exported with it."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from scann.scann_ops.py import scann_ops

from catalog.errors import DataError
from towers.index_config import IndexParameters

ABSENT = -1
_CHUNK = 65_536  # items scored at once: [B, chunk] scores of 256 queries are 64 MB
_TRAINING_SAMPLE = 100_000  # ScaNN's own default
_CODEBOOK = 16  # ScaNN learns 16 codes a block, and cannot from fewer vectors
_BLOCK = 1  # dimensions a quantised block: twice ScaNN's usual size, and so exact that few are scored again
_ANISOTROPIC_THRESHOLD = 0.2  # Guo et al. 2020, the value of ScaNN's examples for unit vectors


class Index(Protocol):
    """Nearest products by inner product."""

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Find the `k` products of the largest inner product with each query.

        Args:
            queries: [B, D] float32.
            k: how many, a Python number.

        Returns:
            rows: [B, k] int32, best first; -1 where there are fewer than k products.
            scores: [B, k] float32; -inf there.
        """
        ...


class ExactIndex(tf.Module):
    """Every product scored, in plain ops that any TF Serving runs. Equal scores come in the order of the items.

    Args:
        embeddings: [N, D] float32.
        rows: [N] int32, the product row of each.

    Raises:
        DataError: if there is no product, a vector is not finite, or the shapes disagree.
    """

    def __init__(self, embeddings: npt.NDArray[np.float32], rows: npt.NDArray[np.int32]) -> None:
        super().__init__(name="exact_index")
        embeddings, rows = _checked(embeddings, rows)
        self.size, self.dim = embeddings.shape
        self._chunk = min(_CHUNK, self.size)
        chunks = -(-self.size // self._chunk)
        padded = np.zeros((chunks * self._chunk, self.dim), np.float32)
        padded[: self.size] = embeddings
        self._items = tf.Variable(padded.reshape(chunks, self._chunk, self.dim), trainable=False, name="items")
        self._rows = tf.Variable(rows, trainable=False, name="rows")

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Index.search`."""
        queries = _checked_queries(queries, self.dim)
        width = min(k, self.size)
        chunks = self._items.shape[0]
        scores, positions = self._best_of_chunk(queries, tf.constant(0), width)
        if chunks > 1:
            _, scores, positions = tf.while_loop(
                lambda chunk, *_: chunk < chunks,
                lambda chunk, *best: (chunk + 1, *_merge(best, self._best_of_chunk(queries, chunk, width), width)),
                (tf.constant(1), scores, positions),
            )
        return _padded(tf.gather(self._rows, tf.minimum(positions, self.size - 1)), scores, k)

    def _best_of_chunk(self, queries: tf.Tensor, chunk: tf.Tensor, width: int) -> tuple[tf.Tensor, tf.Tensor]:
        scores = tf.matmul(queries, self._items[chunk], transpose_b=True)
        offset = chunk * self._chunk
        if self._items.shape[0] * self._chunk != self.size:
            beyond = offset + tf.range(self._chunk) >= self.size
            scores = tf.where(beyond, -np.inf, scores)
        best, positions = tf.math.top_k(scores, k=min(width, self._chunk))
        missing = width - min(width, self._chunk)
        best = tf.pad(best, [[0, 0], [0, missing]], constant_values=-np.inf)
        return best, tf.pad(positions + offset, [[0, 0], [0, missing]])


class ScannIndex(tf.Module):
    """ScaNN (Guo et al. 2020): a tree of partitions, quantised scores, exact reordering; or its brute force.

    A tree of one leaf is none: all quantised scores are compared.

    A SavedModel that holds it is saved with `namespace_whitelist=["Scann"]` and runs where scann's ops are loaded.

    Args:
        embeddings: [N, D] float32.
        rows: [N] int32, the product row of each.
        parameters: what `towers.index_tuning.tune` chose; brute force if not given, and if there are fewer products
            than leaves or than ScaNN's codes.
        k: products that are usually asked for.

    Raises:
        DataError: if there is no product, a vector is not finite, or the shapes disagree.
    """

    def __init__(
        self,
        embeddings: npt.NDArray[np.float32],
        rows: npt.NDArray[np.int32],
        parameters: IndexParameters | None = None,
        k: int = 200,
    ) -> None:
        super().__init__(name="scann_index")
        embeddings, rows = _checked(embeddings, rows)
        self.size, self.dim = embeddings.shape
        fits = parameters is not None and self.size >= max(_CODEBOOK, parameters.leaves)
        self._parameters = parameters if parameters is not None and fits else IndexParameters()
        self._state = _build(embeddings, self._parameters, min(k, self.size)).serialize_to_module()
        self._rows = tf.Variable(rows, trainable=False, name="rows")

    def search(self, queries: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
        """See `Index.search`. Fewer than k products come back, too, where the leaves visited hold fewer."""
        return self.search_with(queries, k, self._parameters.leaves_to_search, self._parameters.reorder)

    def search_with(
        self, queries: tf.Tensor, k: int, leaves_to_search: int | tf.Tensor, reorder: int | tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """`search`, with other depths than those the index was built with: tuning tries many on one tree."""
        queries = _checked_queries(queries, self.dim)
        width = min(k, self.size)
        searcher = scann_ops.searcher_from_module(self._state)
        depths: dict[str, Any] = {}
        if self._parameters.kind == "scann":
            depths["pre_reorder_num_neighbors"] = tf.maximum(reorder, width)
            if self._parameters.leaves > 1:
                depths["leaves_to_search"] = leaves_to_search
        positions, scores = searcher.search_batched_parallel(queries, final_num_neighbors=width, **depths)
        # The width varies with what the visited leaves hold; a query that finds less than others ends in NaN scores.
        missing = width - tf.shape(scores)[1]
        scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=np.nan)
        positions = tf.pad(positions, [[0, 0], [0, missing]])
        found = tf.logical_not(tf.math.is_nan(scores))
        scores = tf.ensure_shape(tf.where(found, scores, -np.inf), [queries.shape[0], width])
        positions = tf.cast(tf.where(found, positions, 0), tf.int32)
        return _padded(tf.ensure_shape(tf.gather(self._rows, positions), [queries.shape[0], width]), scores, k)


def _build(embeddings: npt.NDArray[np.float32], parameters: IndexParameters, k: int) -> Any:
    builder = scann_ops.builder(embeddings, k, "dot_product")
    if parameters.kind == "exact":
        return builder.score_brute_force().build()
    sample = min(len(embeddings), _TRAINING_SAMPLE)
    if parameters.leaves > 1:
        builder = builder.tree(
            num_leaves=parameters.leaves,
            num_leaves_to_search=parameters.leaves_to_search,
            training_sample_size=sample,
            min_partition_size=1,
        )
    quantised = builder.score_ah(
        _BLOCK, anisotropic_quantization_threshold=_ANISOTROPIC_THRESHOLD, training_sample_size=sample
    )
    return quantised.reorder(max(parameters.reorder, k)).build()


def _merge(best: tuple[tf.Tensor, ...], more: tuple[tf.Tensor, tf.Tensor], width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The best `width` of two lists of (scores, positions); of equal scores, the first list's."""
    scores, positions = tf.concat([best[0], more[0]], axis=1), tf.concat([best[1], more[1]], axis=1)
    scores, order = tf.math.top_k(scores, k=width)
    return scores, tf.gather(positions, order, batch_dims=1)


def _padded(rows: tf.Tensor, scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    rows = tf.where(tf.math.is_inf(scores), ABSENT, rows)
    missing = k - int(scores.shape[1])
    if missing > 0:
        rows = tf.pad(rows, [[0, 0], [0, missing]], constant_values=ABSENT)
        scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=-np.inf)
    return rows, scores


def _checked(
    embeddings: npt.NDArray[np.float32], rows: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    embeddings, rows = np.asarray(embeddings, np.float32), np.asarray(rows, np.int32)
    if embeddings.ndim != 2 or rows.shape != embeddings.shape[:1]:
        raise DataError(
            f"an index takes embeddings [N, D] and rows [N]; received shapes {embeddings.shape} and {rows.shape}"
        )
    if not embeddings.size:
        raise DataError(
            f"an index needs at least one product; received embeddings of shape {embeddings.shape}. "
            "Look whether every product is out of stock, or launched after the snapshot"
        )
    bad = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} of {len(embeddings)} product vectors hold NaN or infinity, the first in row {rows[bad[0]]}; "
            "expected finite numbers. Training diverged: lower the learning rate and train again"
        )
    return embeddings, rows


def _checked_queries(queries: tf.Tensor, dim: int) -> tf.Tensor:
    queries = tf.convert_to_tensor(queries, tf.float32)
    if queries.shape.rank != 2 or queries.shape[1] not in (None, dim):
        raise ValueError(f"queries: received shape {queries.shape}, expected [batch, {dim}]")
    return queries
