"""What shoppers choose after a word: how much more often each value of a product is chosen with it than without."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.feature_store import FeatureStore
from rerank.config import LexicalConfig
from rerank.lexical import SAME_WORD, clean_text, hash_words, likeness, lookup_sorted, spelling_bits, split_words
from rerank.product_tables import ProductTables
from rerank.stored import read_named, write_named

Hashes = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

OTHER = -1
"""Stands for all values of a key that have no column of their own; no word hashes to it."""

_FEWEST_QUERIES = 3  # chosen products that a word needs to be known
_PRIOR_CHOICES = 10.0  # choices in the usual shares that every word starts from


@dataclass(frozen=True)
class Associations:
    """Log lifts of values by word, learned from the searches of the towers' slice.

    word_hash: [W] rising, hashes of query words. word_bits: [W] their spellings, see `spelling_bits`.
    key: [V] place of the key that a column belongs to; value_hash: [V] its value, OTHER for the rest of the key's.
    lift: [W + 1, V + 1] float32, row 0 for no word and column 0 for no value, both zero:

        log P(value | word) / P(value)

    over the products chosen after a search, with P(value | word) drawn towards P(value) by 10 choices.
    """

    word_hash: Hashes
    word_bits: Hashes
    key: Ints
    value_hash: Hashes
    lift: Floats

    def save(self, path: Path) -> None:
        """Write one .npz, atomically."""
        write_named(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> "Associations":
        """Read what `save` wrote; ArtifactError when it is missing or broken."""
        return cls(**read_named(path, list(cls.__dataclass_fields__)))

    def columns(self, tables: ProductTables) -> Ints:
        """[N + 1, A] the column of each product's values, 0 for none."""
        hashes = np.concatenate([[0], tables.value_hash])[tables.values]
        columns = np.zeros_like(tables.values)
        for key in range(len(tables.keys)):
            own = np.flatnonzero(self.key == key)
            known, other = own[self.value_hash[own] != OTHER], own[self.value_hash[own] == OTHER]
            columns[:, key] = 0 if not len(other) else 1 + other[0]
            if len(known):
                order = known[np.argsort(self.value_hash[known])]
                place = np.minimum(np.searchsorted(self.value_hash[order], hashes[:, key]), len(order) - 1)
                found = self.value_hash[order[place]] == hashes[:, key]
                columns[found, key] = 1 + order[place[found]]
        return np.where(tables.values > 0, columns, 0).astype(np.int32)


def fit_associations(features: FeatureStore, tables: ProductTables, config: LexicalConfig) -> Associations:
    """Count what was chosen after the searches of the towers' slice, which ends before the reranker's begins."""
    chosen = np.flatnonzero((features.example_slice == 0) & (features.example_query >= 0))
    queries, query = np.unique(features.example_query[chosen], return_inverse=True)
    texts = [str(features.queries[index]) for index in queries]
    words, bits = _read(texts, config.query_words, tables.unspaced_words)
    words = words[query]
    vocabulary = _most_frequent(words, config.association_words)
    values = np.concatenate([[0], tables.value_hash])[tables.values[features.example_product[chosen]]]
    key, value_hash = _value_columns(values, config.association_values)
    partial = Associations(vocabulary, np.array([bits[word] for word in vocabulary.tolist()], np.int64), key,
                           value_hash, np.zeros((0, 0), np.float32))  # fmt: skip
    columns = partial.columns(tables)[features.example_product[chosen]]
    return Associations(vocabulary, partial.word_bits, key, value_hash, _lifts(words, vocabulary, columns, key))


def _read(texts: list[str], limit: int, unspaced: tuple[str, ...]) -> tuple[Hashes, dict[int, int]]:
    """Word hashes of each text, [Q, limit], each word once and 0 for none; and the spelling of each word."""
    if not texts:
        return np.zeros((0, limit), np.int64), {}
    words = split_words(clean_text(tf.constant(texts, tf.string)), limit, unspaced)
    hashes = hash_words(words).numpy()
    ordered = np.sort(hashes, axis=1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = 0
    unique, place = np.unique(hashes, return_index=True)
    bits = spelling_bits(tf.gather(tf.reshape(words, [-1]), place)).numpy()
    return ordered, dict(zip(unique.tolist(), bits.tolist(), strict=True))


def _most_frequent(words: Hashes, limit: int) -> Hashes:
    """Words with choices enough, the most frequent ones, rising."""
    found, counts = np.unique(words[words != 0], return_counts=True)
    usual = counts >= _FEWEST_QUERIES
    found, counts = found[usual], counts[usual]
    return np.sort(found[np.argsort(-counts, kind="stable")[:limit]])


def _value_columns(values: Hashes, limit: int) -> tuple[Ints, Hashes]:
    """A column for each of the values chosen most, and one for the rest of each key: keys [V] and values [V]."""
    keys = np.broadcast_to(np.arange(values.shape[1]), values.shape)[values != 0]
    pairs, counts = np.unique(np.stack([keys, values[values != 0]], 1), axis=0, return_counts=True)
    kept = pairs[np.sort(np.argsort(-counts, kind="stable")[:limit])]
    rest = np.array([[key, OTHER] for key in range(values.shape[1])], np.int64).reshape(-1, 2)
    both = np.concatenate([kept, rest])
    return both[:, 0].astype(np.int32), both[:, 1].astype(np.int64)


def _lifts(words: Hashes, vocabulary: Hashes, columns: Ints, key: Ints) -> Floats:
    size, width = len(vocabulary), len(key)
    counts = np.zeros((size, width + 1))
    place = np.searchsorted(vocabulary, words) if size else np.zeros(words.shape, np.int64)
    known = (words != 0) & (vocabulary[np.minimum(place, size - 1)] == words) if size else np.zeros(words.shape, bool)
    for word in range(words.shape[1]):
        rows = known[:, word]
        flat = place[rows, word][:, None] * (width + 1) + columns[rows]
        counts += np.bincount(flat.ravel(), minlength=counts.size).reshape(counts.shape)
    total = np.bincount(columns.ravel(), minlength=width + 1)[1:].astype(np.float64)
    lift = np.zeros((size + 1, width + 1), np.float32)
    for number in np.unique(key):
        own = np.flatnonzero(key == number)
        share = (total[own] + 0.5) / (total[own] + 0.5).sum()
        of_word = counts[:, 1 + own]
        given = (of_word + _PRIOR_CHOICES * share) / (of_word.sum(1, keepdims=True) + _PRIOR_CHOICES)
        lift[1:, 1 + own] = np.log(given / share)
    return lift


class AssociationReader(tf.Module):
    """Look up, inside the graph, what is chosen after the words of a query.

    Args:
        associations: as fitted.

    Call:
        hashes: [B, Q] int64 of query words, 0 for none. unknown_bits: [B, M] int64 spellings of words that the
            catalogue does not hold, 0 for none; such a word counts as the known one that is spelt most alike, in
            proportion to Dice's coefficient from 0.5 on, unless it is known itself. columns: [B, C, A]
            int32, of candidates, see `Associations.columns`.
        Returns [B, C, 2 A + 1] float32: the highest lift of each key's value over the words, at least 0; the lowest,
        at most 0; and the sum over words and keys.
    """

    def __init__(self, associations: Associations) -> None:
        super().__init__(name="associations")
        empty = not len(associations.word_hash)
        word_hash = np.array([np.iinfo(np.int64).max]) if empty else associations.word_hash
        self._word_hash = tf.Variable(word_hash, trainable=False)
        self._word_bits = tf.Variable(np.zeros(1, np.int64) if empty else associations.word_bits, trainable=False)
        self._lift = tf.Variable(np.pad(associations.lift, ((0, int(empty)), (0, 0))), trainable=False)

    def __call__(self, hashes: tf.Tensor, unknown_bits: tf.Tensor, columns: tf.Tensor) -> tf.Tensor:
        place = lookup_sorted(self._word_hash, hashes)
        near, likeness = self._nearest(unknown_bits)
        weight = tf.concat([tf.ones_like(place, tf.float32), likeness], 1)
        lift = tf.gather(self._lift, tf.concat([place, near], 1)) * weight[..., None]
        by_value = tf.stack([tf.reduce_max(lift, 1), tf.reduce_min(lift, 1), tf.reduce_sum(lift, 1)], -1)
        highest, lowest, total = tf.unstack(tf.gather(by_value, columns, batch_dims=1), axis=-1)
        summed = tf.reduce_sum(total, -1, keepdims=True)
        return tf.concat([tf.maximum(highest, 0.0), tf.minimum(lowest, 0.0), summed], -1)

    def _nearest(self, bits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Of each spelling: the place of the word spelt most alike, [B, M] int32, 0 for none; and how alike."""
        dice = likeness(bits[..., None], self._word_bits)
        best = tf.reduce_max(dice, -1)
        alike = (best >= SAME_WORD) & (best < 1.0)
        return tf.where(alike, 1 + tf.argmax(dice, -1, tf.int32), 0), tf.where(alike, best, 0.0)
