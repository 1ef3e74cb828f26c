"""What is read of a query before any candidate is looked at: words, tokens, and the values it names."""

from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
import tensorflow_text

from rerank.config import LexicalConfig
from rerank.lexical import clean_text, hash_grams, lookup_sorted, spelling_bits, split_words, unspaced_share
from rerank.product_tables import ProductTables
from rerank.tensors import count, table


class QueryReading(NamedTuple):
    """A batch of queries read against one catalogue. Q words, G named values, A keys, M misspelt words, T tokens.

    Q, G, M and T are as many as the fullest query of the batch has, down to none.

    hash: [B, Q] of the words, 0 for none. word: [B, Q] vocabulary ids, 0 for none. weight: [B, Q] idf, 0 for a word
    that the catalogue does not hold.
    gram: [B, G, A] ids of values that one to three neighbouring words name, under each key; 0 for none.
    gram_words: [B, G, Q] float32 0/1, the words of each.
    misspelt_bits: [B, M] spellings of unknown words, 0 for none. token: [B, T] ids + 1. token_weight: [B, T] idf.
    words, unknown, unspaced: [B] counts of words, of unknown ones, and the share of unspaced characters.
    """

    hash: tf.Tensor
    word: tf.Tensor
    weight: tf.Tensor
    gram: tf.Tensor
    gram_words: tf.Tensor
    misspelt_bits: tf.Tensor
    token: tf.Tensor
    token_weight: tf.Tensor
    words: tf.Tensor
    unknown: tf.Tensor
    unspaced: tf.Tensor


class QueryReader(tf.Module):
    """Read queries inside the graph.

    Args:
        tables: the catalogue's vocabulary and values.
        tokenizer: SentencePiece model file.

    Call:
        query: [B] string, any bytes. Returns a QueryReading.
    """

    def __init__(self, tables: ProductTables, tokenizer: Path, config: LexicalConfig) -> None:
        super().__init__(name="query_reader")
        self._config = config
        self._tokenizer = tensorflow_text.SentencepieceTokenizer(model=tokenizer.read_bytes())
        self._keys = len(tables.keys)
        self._unspaced_words = tables.unspaced_words
        self._word_hash = table(tables.word_hash)
        self._word_idf = table(tables.word_idf)
        self._value_hash = table(tables.value_hash)
        self._value_stands_for = table(tables.value_stands_for)
        self._value_keys = table(tables.value_keys)
        self._token_idf = table(tables.token_idf)

    def __call__(self, query: tf.Tensor) -> QueryReading:
        cleaned = clean_text(query)
        words = split_words(cleaned, self._config.query_words, self._unspaced_words)
        grams = hash_grams(words)
        hashes = grams[:, 0]
        word = lookup_sorted(self._word_hash, hashes)
        present = words != ""
        unknown = present & (word == 0)
        token = self._tokenizer.tokenize(cleaned).to_tensor(-1)[:, : self._config.query_tokens] + 1
        gram, gram_words = self._values_named(grams)
        # Most queries are far shorter than the limits: what no query of the batch fills is not compared at all.
        length = _longest(present)
        named = _longest(tf.reduce_any(gram > 0, -1))
        return QueryReading(
            hash=hashes[:, :length],
            word=word[:, :length],
            weight=tf.gather(self._word_idf, word[:, :length]),
            gram=gram[:, :named],
            gram_words=gram_words[:, :named, :length],
            misspelt_bits=self._spellings(words, unknown),
            token=token,
            token_weight=tf.gather(self._token_idf, token),
            words=count(present),
            unknown=count(unknown),
            unspaced=unspaced_share(cleaned),
        )

    def _values_named(self, grams: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Values under each key, the longest gram wins: "navy blue" names Navy Blue and not Blue.

        grams: [B, 3, Q], see `hash_grams`.
        """
        ids = tf.gather(self._value_stands_for, lookup_sorted(self._value_hash, grams))
        bits = tf.bitwise.right_shift(tf.gather(self._value_keys, ids)[..., None], tf.range(self._keys))
        named = tf.bitwise.bitwise_and(bits, 1) > 0
        one, two, three = tf.unstack(named, axis=1)
        by_three = _begins_at_or_before(three, 2)
        two &= ~_begins_at_or_before(three, 1)
        kept = tf.concat([one & ~(_begins_at_or_before(two, 1) | by_three), two, three], 1)
        size = grams.shape[2]
        flat = tf.reshape(ids, [-1, 3 * size])
        number = min(self._config.named_values, 3 * size)
        _, place = tf.math.top_k(tf.cast(tf.reduce_any(kept, 2), tf.float32), k=number)
        kept, flat = tf.gather(kept, place, batch_dims=1), tf.gather(flat, place, batch_dims=1)
        first, last = place % size, place % size + place // size
        words = tf.range(size)
        inside = (words >= first[..., None]) & (words <= last[..., None])
        return tf.where(kept, flat[..., None], 0), tf.cast(inside, tf.float32)

    def _spellings(self, words: tf.Tensor, unknown: tf.Tensor) -> tf.Tensor:
        _, place = tf.math.top_k(tf.cast(unknown, tf.float32), k=min(self._config.misspelt_words, words.shape[1]))
        chosen = tf.where(tf.gather(unknown, place, batch_dims=1), tf.gather(words, place, batch_dims=1), "")
        return spelling_bits(chosen)[:, : _longest(chosen != "")]


def _longest(filled: tf.Tensor) -> tf.Tensor:
    """[B, L] bool, filled from the left -> the most places filled in a row, a scalar."""
    return tf.reduce_max(tf.reduce_sum(tf.cast(filled, tf.int32), 1), 0)


def _begins_at_or_before(mask: tf.Tensor, words: int) -> tf.Tensor:
    """[B, Q, A]: whether the mask is true at a word or at one of so many words before it."""
    padded = tf.pad(mask, [[0, 0], [words, 0], [0, 0]])
    return tf.reduce_any(tf.stack([padded[:, step : step + mask.shape[1]] for step in range(words + 1)]), 0)
