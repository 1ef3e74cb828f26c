"""Products that hold the rarer words of a query: names, numbers of models, what vectors of meaning do not tell apart.

An inverted index inside a TensorFlow graph. What it costs depends neither on the size of the catalogue nor on how long
its texts are: words that many products hold are left out, since they say little and vectors know them, and of the
others so many products are read as `_READ` says, those of the rarest word first.
"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.schema import ShopData
from rerank.config import LexicalConfig
from rerank.lexical import clean_text, hash_words, inverse_document_frequency, lookup_sorted, split_words
from rerank.product_tables import NO_HASH, read_short_words
from rerank.tensors import lower_bounds, table

_MOST_PRODUCTS = 200
"""Words that more products hold are no way to find one."""

_READ = 2 * _MOST_PRODUCTS
"""Products that are read for a query, over its words: all that hold one of its two rarest, and of those that hold
others perhaps only the first."""

ABSENT = -1

Hashes = npt.NDArray[np.int64]


class WordIndex(tf.Module):
    """Find products by the words of title, brand, category and attributes.

    Args:
        words: [N, W] word hashes of every product, 0 for none.
        rows: [n] the products that may be found.
        unspaced: what texts in scripts without spaces are cut into, as `words` were.
        config: how queries are read.
        limit: L, how many are found at most.

    Call:
        query: [B] string, any bytes. Returns [B, L] int32 distinct rows, -1 where there are fewer: of those that are
        read, those first whose words in common with the query have the greatest sum of inverse document frequencies,
        then in the order of rows.
    """

    def __init__(
        self,
        words: Hashes,
        rows: npt.NDArray[np.int32],
        unspaced: tuple[str, ...],
        config: LexicalConfig,
        limit: int,
    ) -> None:
        super().__init__(name="word_index")
        self._config, self._unspaced, self._limit = config, unspaced, limit
        held, row = _pairs(words[rows], rows)
        vocabulary, counts = np.unique(held, return_counts=True)
        kept = counts <= _MOST_PRODUCTS
        row = row[np.repeat(kept, counts)]
        vocabulary, counts = vocabulary[kept], counts[kept]
        self._keys = table(vocabulary if len(vocabulary) else np.array([NO_HASH]))
        self._counts = table(np.concatenate([[0], counts]).astype(np.int32))
        self._starts = table(np.concatenate([[0], np.cumsum(counts) - counts]).astype(np.int32))
        idf = inverse_document_frequency(counts, len(rows))
        self._idf = table(np.concatenate([[0.0], idf]).astype(np.float32))
        self._rows = table(row.astype(np.int32) if len(row) else np.array([ABSENT], np.int32))

    @classmethod
    def build(cls, shop: ShopData, rows: npt.NDArray[np.int32], config: LexicalConfig, limit: int) -> "WordIndex":
        """Read the words of the shop's products; `rows` are those that may be found."""
        words, unspaced = read_short_words(shop, config)
        return cls(words, rows, unspaced, config, limit)

    def __call__(self, query: tf.Tensor) -> tf.Tensor:
        row, weight = self._holders(self._weighed_words(query))
        falling, order = tf.math.top_k(-row, k=_READ)
        row, weight = -falling, tf.gather(weight, order, batch_dims=1)
        first = tf.concat([tf.ones_like(row[:, :1], tf.bool), row[:, 1:] != row[:, :-1]], axis=1)
        batch = tf.shape(row)[0]
        product = tf.cumsum(tf.cast(first, tf.int32), axis=1) - 1 + tf.range(batch)[:, None] * _READ
        total = tf.math.unsorted_segment_sum(tf.reshape(weight, [-1]), tf.reshape(product, [-1]), batch * _READ)
        total = tf.where(first & (row >= 0), tf.gather(total, product), 0.0)
        best, place = tf.math.top_k(total, k=min(self._limit, _READ))
        found = tf.where(best > 0.0, tf.gather(row, place, batch_dims=1), ABSENT)
        return tf.pad(found, [[0, 0], [0, self._limit - min(self._limit, _READ)]], constant_values=ABSENT)

    def _weighed_words(self, query: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """[B, Q] words in this index, 0 for none, and their weights; the rarest first."""
        words = split_words(clean_text(query), self._config.query_words, self._unspaced)
        ids = lookup_sorted(self._keys, hash_words(words))
        earlier = np.tril(np.ones([self._config.query_words] * 2, np.bool_), -1)
        ids = tf.where(tf.reduce_any((ids[:, :, None] == ids[:, None, :]) & earlier, -1), 0, ids)  # a word counts once
        weight, place = tf.math.top_k(tf.gather(self._idf, ids), k=self._config.query_words)
        return tf.gather(ids, place, batch_dims=1), weight

    def _holders(self, words: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """[B, _READ] rows that hold the words, a row for each word that it holds and -1 for none, and its weight."""
        ids, weight = words
        counts = tf.gather(self._counts, ids)
        ends = tf.cumsum(counts, axis=1)
        slots = tf.range(_READ) + tf.zeros_like(ends[:, :1])
        word = tf.minimum(tf.raw_ops.UpperBound(sorted_inputs=ends, values=slots), self._config.query_words - 1)
        inside = slots < ends[:, -1:]
        begins = tf.gather(self._starts, ids) - ends + counts
        at = tf.where(inside, slots + tf.gather(begins, word, batch_dims=1), 0)
        row = tf.where(inside, tf.gather(self._rows, at), ABSENT)
        return row, tf.where(inside, tf.gather(weight, word, batch_dims=1), 0.0)


class WordCandidates(tf.Module):
    """Give some of retrieval's places to products that the query's words find.

    Args:
        index: finds them, L a query.
        embeddings: [N + 1, D] unit vectors of the products.

    Call:
        query: [B] string. embedding: [B, D] of the queries. rows: [B, C] int32, what retrieval found, -1 for none;
        scores: [B, C] float32, falling, -inf for none. L is at most C.
        Returns what `merge` does, the scores of what words find being cosines.
    """

    def __init__(self, index: WordIndex, embeddings: tf.Variable) -> None:
        super().__init__(name="word_candidates")
        self._index, self._embeddings = index, embeddings

    def __call__(
        self, query: tf.Tensor, embedding: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        found = self._index(query)
        known = found >= 0
        vectors = tf.gather(self._embeddings, tf.where(known, found, self._embeddings.shape[0] - 1))
        return merge(rows, scores, found, tf.linalg.matvec(vectors, embedding))


def merge(rows: tf.Tensor, scores: tf.Tensor, found: tf.Tensor, found_scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """All that were `found`, [B, L], and the best of `rows`, [B, C], as many as there is room for.

    Args:
        rows, found: int32, distinct in each line, -1 for none. scores: falling. L is at most C.

    Returns:
        [B, C] rows, -1 for none, and scores, -inf for none: `rows` in their order, and what is new in the places of
        those that had to go.
    """
    found, found_scores = _in_order_of_rows(found, found_scores)
    known, width = found >= 0, found.shape[1]
    place = tf.minimum(lower_bounds(found, rows), width - 1)
    twice = (tf.gather(found, place, batch_dims=1) == rows) & (rows >= 0)
    lines = tf.range(tf.shape(rows)[0])[:, None] * width
    met = tf.where(twice, place + lines, ABSENT)  # segments below 0 are dropped
    times = tf.math.unsorted_segment_sum(tf.ones_like(met), met, tf.size(found))
    new = known & (tf.reshape(times, tf.shape(found)) == 0)
    room = tf.shape(rows)[1] - tf.reduce_sum(tf.cast(known, tf.int32), 1, keepdims=True)
    kept = twice | (tf.cumsum(tf.cast(~twice, tf.int32), axis=1) <= room)
    incoming, place = tf.math.top_k(tf.where(new, found, ABSENT), k=width)
    free = tf.cumsum(tf.cast(~kept, tf.int32), axis=1) - 1
    filled = ~kept & (free < tf.reduce_sum(tf.cast(new, tf.int32), 1, keepdims=True))
    taken = tf.where(filled, free, 0)
    chosen = tf.gather(incoming, taken, batch_dims=1)
    values = tf.gather(tf.gather(found_scores, place, batch_dims=1), taken, batch_dims=1)
    return (
        tf.where(kept, rows, tf.where(filled, chosen, ABSENT)),
        tf.where(kept, scores, tf.where(filled, values, -np.inf)),
    )


def _in_order_of_rows(rows: tf.Tensor, scores: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    falling, place = tf.math.top_k(-rows, k=rows.shape[1])
    return -falling, tf.gather(scores, place, batch_dims=1)


def _pairs(words: Hashes, rows: npt.NDArray[np.int32]) -> tuple[Hashes, npt.NDArray[np.int32]]:
    """Every word of every product once, by word and then by row."""
    product, column = np.nonzero(words)
    held, row = words[product, column], rows[product]
    order = np.lexsort((row, held))
    held, row = held[order], row[order]
    kept = np.ones(len(held), np.bool_)
    kept[1:] = (held[1:] != held[:-1]) | (row[1:] != row[:-1])
    return held[kept], row[kept]
