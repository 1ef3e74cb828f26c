"""The graphs of a release: towers, index and reranker joined into the signatures that TF Serving answers.

Only this package may know both towers and reranker. Every graph shares one `Catalogue`, so product ids are held once a
model. Shapes: B queries, H history length, C candidates, K results, D embedding size, S picture side in pixels.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.errors import DataError
from catalog.schema import KINDS
from towers.history import push_right

Tensors = dict[str, tf.Tensor]

ABSENT_SCORE = -1e9
"""Score of a place that no product fills: below every real one."""

MAX_QUERY_BYTES = 4096
"""What is read of a query: the thousand characters that clients send fit in it, in any script. Reading text costs time
in proportion to its length, and the requests of a batch wait for each other."""


class Catalogue(tf.Module):
    """Product ids to rows and back.

    Args:
        product_ids: N ids, in row order.
        vocabulary: a file to write them to, one a line; it becomes an asset of the SavedModel.
        snapshot_time: seconds since the epoch that a timestamp of 0 stands for.
    """

    def __init__(self, product_ids: Sequence[str], vocabulary: Path, snapshot_time: int) -> None:
        super().__init__(name="catalogue")
        broken = [product for product in product_ids if any(letter in product for letter in "\n\r")]
        if broken:
            raise DataError(
                f"{len(broken)} product ids hold a line end, the first is {broken[0]!r}; ingest refuses them"
            )
        vocabulary.write_text("".join(f"{product}\n" for product in product_ids), encoding="utf-8")
        self.size = len(product_ids)
        self.snapshot_time = snapshot_time
        self._rows = tf.lookup.StaticHashTable(
            tf.lookup.TextFileInitializer(
                str(vocabulary),
                tf.string,
                tf.lookup.TextFileIndex.WHOLE_LINE,
                tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER,
            ),
            default_value=self.size,
        )
        self._ids = tf.Variable(np.array([*product_ids, ""], dtype=object), trainable=False, dtype=tf.string)
        # As histories have them in training: what was only shown is in none.
        numbers = {kind: number for number, kind in enumerate(KINDS, start=1) if kind != "impression"}
        kinds = tf.lookup.KeyValueTensorInitializer(list(numbers), list(numbers.values()), value_dtype=tf.int32)
        self._kinds = tf.lookup.StaticHashTable(kinds, default_value=0)

    def rows(self, product_ids: tf.Tensor) -> tf.Tensor:
        """Rows of ids, int32 of the same shape; N for an id that the catalogue does not hold."""
        return tf.cast(self._rows.lookup(product_ids), tf.int32)

    def ids(self, rows: tf.Tensor) -> tf.Tensor:
        """Ids of rows, string of the same shape; "" for rows outside the catalogue."""
        return tf.gather(self._ids, self.known_or_absent(rows))

    def known_or_absent(self, rows: tf.Tensor) -> tf.Tensor:
        """Rows with every padding value turned into N."""
        return tf.where((rows < 0) | (rows > self.size), self.size, rows)

    def request(self, inputs: Tensors) -> Tensors:
        """Turn a signature's strings into rows and kinds, and a timestamp of 0 into the snapshot's.

        A history item whose product or kind is unknown counts as absent in all its parts; absent items come first, the
        others in their order after them.
        """
        row = self.rows(inputs["history_product_id"])
        kind = self._kinds.lookup(inputs["history_kind"])
        present, row, kind, timestamp = push_right(
            (row < self.size) & (kind > 0), row, kind, inputs["history_timestamp"]
        )
        return {
            "history_row": tf.where(present, row, self.size),
            "history_kind": tf.where(present, kind, 0),
            "history_timestamp": tf.where(present, timestamp, tf.zeros_like(timestamp)),
            "timestamp": tf.where(
                inputs["timestamp"] == 0, tf.constant(self.snapshot_time, tf.int64), inputs["timestamp"]
            ),
        }


class Composition(tf.Module):
    """The functions behind the signatures.

    Args:
        catalogue: ids and rows.
        encode_query: the query tower, (query, request, user columns, pixels or None) -> [B, D].
        retrieve: the index, (query embedding [B, D], C) -> rows [B, C] int32 and scores [B, C] float32.
        rerank: the reranker, see `rerank.export.Reranker`: a call and `explain` answer for all candidates [B, C],
            `best` for the best of them.
        user_columns: profile columns that the configuration declares.
        candidates: C.
        results: K.
        title_groups: [N] int32, products that share a number are the same to a shopper; `search` then answers with the
            best placed of each. None answers with all.
        words: gives some of retrieval's places to what the query's words find, see `rerank.word_index.WordCandidates`;
            None leaves all to the index.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        encode_query: Callable[..., tf.Tensor] | None = None,
        retrieve: Any = None,
        rerank: Any = None,
        user_columns: tuple[str, ...] = (),
        candidates: int = 200,
        results: int = 50,
        title_groups: npt.NDArray[np.int32] | None = None,
        words: Any = None,
    ) -> None:
        super().__init__(name="composition")
        self.catalogue = catalogue
        self._encode_query = encode_query
        self._index = retrieve
        self._words = words
        self._rerank = rerank
        self._user_columns = user_columns
        self._candidates = candidates
        self._results = min(results, candidates)
        self._groups: tf.Variable | None = None
        if title_groups is not None:
            with_absent = np.append(title_groups, title_groups.max(initial=-1) + 1).astype(np.int64)
            self._groups = tf.Variable(with_absent, trainable=False)

    def query_tower(self, inputs: Tensors) -> Tensors:
        """{query_embedding [B, D]}."""
        return {"query_embedding": self._embed(inputs, self.catalogue.request(inputs))}

    def retrieval(self, inputs: Tensors) -> Tensors:
        """{product_id, score [B, C], query_embedding [B, D]}, best first."""
        embedding = self._embed(inputs, self.catalogue.request(inputs))
        rows, scores = self._candidate_rows(inputs, embedding)
        if self._words is not None:
            scores, place = tf.math.top_k(scores, k=self._candidates)
            rows = tf.gather(rows, place, batch_dims=1)
        return {"product_id": self.catalogue.ids(rows), "score": scores, "query_embedding": embedding}

    def rerank(self, inputs: Tensors) -> Tensors:
        """Score and probabilities [B, C] in the candidates' order."""
        assert self._rerank is not None
        return dict(self._rerank(**self._given(inputs)))

    def rerank_found_with_image(self, inputs: Tensors) -> Tensors:
        """As `rerank`, of candidates that `retrieval` found with a picture."""
        assert self._rerank is not None
        return dict(self._rerank(found_with_picture=True, **self._given(inputs)))

    def explain(self, inputs: Tensors) -> Tensors:
        """Score, base and what each group of features adds [B, C], in the candidates' order."""
        assert self._rerank is not None
        return dict(self._rerank.explain(**self._given(inputs)))

    def search(self, inputs: Tensors) -> Tensors:
        """{product_id, score, retrieval_score, and the probabilities} [B, K], best first."""
        request = self.catalogue.request(inputs)
        embedding = self._embed(inputs, request)
        rows, retrieval_scores = self._candidate_rows(inputs, embedding)
        kept = self._results if self._groups is None else self._candidates
        assert self._rerank is not None
        best, order = self._rerank.best(
            kept,
            found_with_picture="query_image" in inputs,
            **self._rerank_inputs(inputs, request, embedding, rows, retrieval_scores),
        )
        best["retrieval_score"] = tf.gather(retrieval_scores, order, batch_dims=1)
        score, rows = best.pop("score"), tf.gather(rows, order, batch_dims=1)
        if self._groups is not None:
            rows, score, best = self._without_repeats(self._groups, rows, score, best)
        return {"product_id": self.catalogue.ids(rows), "score": score, **best}

    def _without_repeats(
        self, groups: tf.Variable, rows: tf.Tensor, score: tf.Tensor, outputs: Tensors
    ) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """The best placed product of each group, [B, K]; where there are fewer the last places hold none."""
        places, repeated = first_places(tf.gather(groups, rows))
        places, repeated = places[:, : self._results], repeated[:, : self._results]
        kept = {name: tf.gather(values, places, batch_dims=1) for name, values in outputs.items()}
        return (
            tf.where(repeated, self.catalogue.size, tf.gather(rows, places, batch_dims=1)),
            tf.where(repeated, ABSENT_SCORE, tf.gather(score, places, batch_dims=1)),
            {name: tf.where(repeated, tf.zeros_like(values), values) for name, values in kept.items()},
        )

    def _candidate_rows(self, inputs: Tensors, embedding: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows and scores [B, C]; what words found is in no order."""
        rows, scores = self._index.search(embedding, self._candidates)
        if self._words is not None:
            rows, scores = self._words(_start(inputs["query"]), embedding, rows, scores)
        # Finite, so that JSON can carry the score of a place that nothing fills.
        return self.catalogue.known_or_absent(rows), tf.where(tf.math.is_finite(scores), scores, ABSENT_SCORE)

    def _embed(self, inputs: Tensors, request: Tensors) -> tf.Tensor:
        assert self._encode_query is not None
        return self._encode_query(
            query=_start(inputs["query"]),
            **request,
            user_columns=self._columns(inputs),
            query_image=inputs.get("query_image"),
        )

    def _given(self, inputs: Tensors) -> dict[str, Any]:
        """The reranker's inputs where a client names the candidates."""
        rows = self.catalogue.rows(inputs["candidate_product_id"])
        embedding = _finite(inputs["query_embedding"])
        return self._rerank_inputs(inputs, self.catalogue.request(inputs), embedding, rows, inputs["candidate_score"])

    def _rerank_inputs(
        self, inputs: Tensors, request: Tensors, embedding: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor
    ) -> dict[str, Any]:
        return {
            "query": _start(inputs["query"]),
            "query_embedding": embedding,
            **request,
            "user_columns": self._columns(inputs),
            "candidate_row": rows,
            "candidate_score": scores,
        }

    def _columns(self, inputs: Tensors) -> Tensors:
        return {name: inputs[f"user_{name}"] for name in self._user_columns}


def _start(query: tf.Tensor) -> tf.Tensor:
    # By bytes, which does not read the rest. Who reads it next replaces a character that is cut in two. A query of
    # spaces is none, to all alike.
    return tf.strings.strip(tf.strings.substr(query, 0, MAX_QUERY_BYTES))


def _finite(vectors: tf.Tensor) -> tf.Tensor:
    """Vectors from outside; zeros for numbers that are none."""
    return tf.where(tf.math.is_finite(vectors), vectors, 0.0)


def first_places(groups: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The places in an order in which the first of each group come first.

    Args:
        groups: [B, C] int64, not negative.

    Returns:
        places [B, C] int64, those that open a group and then the others, each part rising; and [B, C] bool, whether
        the place only repeats a group.
    """
    count = tf.shape(groups, tf.int64)[1]
    # One number that sorts like (group, place): what follows its own group is a repeat.
    keys = tf.sort(groups * count + tf.range(count), axis=1)
    group, place = keys // count, keys % count
    repeats = tf.concat([tf.zeros_like(group[:, :1], tf.bool), group[:, 1:] == group[:, :-1]], axis=1)
    marked = tf.sort(tf.where(repeats, place + count, place), axis=1)
    return marked % count, marked >= count


def request_specs(
    history: int, user_columns: tuple[str, ...], image_size: int | None = None
) -> dict[str, tf.TensorSpec]:
    """Inputs of `query_tower`, `retrieval*` and `search*`; with `image_size` those of their signature `with_image`."""
    specs = {
        "query": tf.TensorSpec([None], tf.string, "query"),
        "history_product_id": tf.TensorSpec([None, history], tf.string, "history_product_id"),
        "history_kind": tf.TensorSpec([None, history], tf.string, "history_kind"),
        "history_timestamp": tf.TensorSpec([None, history], tf.int64, "history_timestamp"),
        "timestamp": tf.TensorSpec([None], tf.int64, "timestamp"),
    }
    specs |= {f"user_{name}": tf.TensorSpec([None], tf.string, f"user_{name}") for name in user_columns}
    if image_size is not None:
        shape = [None, image_size, image_size, 3]
        specs["query_image"] = tf.TensorSpec(shape, tf.uint8, "query_image")
    return specs


def rerank_specs(history: int, user_columns: tuple[str, ...], dim: int, candidates: int) -> dict[str, tf.TensorSpec]:
    """Inputs of `rerank`: a request, its embedding, and C candidates."""
    return request_specs(history, user_columns) | {
        "query_embedding": tf.TensorSpec([None, dim], tf.float32, "query_embedding"),
        "candidate_product_id": tf.TensorSpec([None, candidates], tf.string, "candidate_product_id"),
        "candidate_score": tf.TensorSpec([None, candidates], tf.float32, "candidate_score"),
    }
