"""Words of any language inside a TensorFlow graph: one function reads queries when serving and products when building.

A word is a run of letters and digits, lower-cased after NFKC, English plurals and possessives stripped. Scripts written
without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into the words that a shop's own values are made
of, the longest first, and into single characters where none of them fits. Words are compared as 63-bit hashes.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import tensorflow as tf
import tensorflow_text

from rerank.tensors import lower_bounds

_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_MAX_CHARACTERS = 512  # of a query; a longer one costs no more
_REWRITES = (
    (r"['’`´]s\b", ""),  # women's
    (r"['’`´]", ""),
    (r"[^\p{L}\p{M}\p{N}]+", " "),
    (r"([a-z]{2})ies\b", r"\1y"),  # ladies
    (r"(ch|sh|ss|x|zz)es\b", r"\1"),  # watches, dresses
    (r"([a-z]{2}[^\Wsui])s\b", r"\1"),  # shirts, womens; not dress, bonus, this
)
LONGEST_UNSPACED = 6  # characters; what is longer is no word but a sentence
SAME_WORD = 0.5
"""The `likeness` from which two spellings are likely one word: one letter swapped in five."""

_HASH_BUCKETS = 2**63 - 2


def clean_text(text: tf.Tensor, max_characters: int = _MAX_CHARACTERS) -> tf.Tensor:
    """Valid, NFKC-normalised, lower-cased UTF-8, whatever bytes came in. Any shape, string."""
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace", replace_control_characters=True)
    text = tf.strings.substr(text, 0, max_characters, unit="UTF8_CHAR")
    return tf.strings.lower(tensorflow_text.normalize_utf8(text, "NFKC"), encoding="utf-8")


def split_words(cleaned: tf.Tensor, limit: int, unspaced: Sequence[str] = ()) -> tf.Tensor:
    """[B] cleaned text -> [B, limit] words, "" where there are fewer.

    Args:
        unspaced: words in scripts without spaces, of letters alone, each before those that it begins with.
    """
    cut = ("|".join((*unspaced, f"[{_UNSPACED}]")), r" \0 ")
    for pattern, replacement in (*_REWRITES[:3], cut, *_REWRITES[3:]):
        cleaned = tf.strings.regex_replace(cleaned, pattern, replacement)
    return tf.strings.split(cleaned).to_tensor("", shape=[None, limit])


def unspaced_runs(cleaned: tf.Tensor) -> tf.Tensor:
    """[B] cleaned text -> [B] its runs of characters in scripts without spaces, a space between them."""
    return tf.strings.regex_replace(cleaned, f"[^{_UNSPACED}]+", " ")


def hash_words(words: tf.Tensor) -> tf.Tensor:
    """63-bit hashes of words, int64 of the same shape; 0 stands for ""."""
    return _hashes(words, words != "")


def _hashes(words: tf.Tensor, present: tf.Tensor) -> tf.Tensor:
    return tf.where(present, tf.strings.to_hash_bucket_fast(words, _HASH_BUCKETS) + 1, tf.constant(0, tf.int64))


def hash_grams(words: tf.Tensor) -> tf.Tensor:
    """Hashes of one, two and three neighbouring words joined without a space: "t shirt" equals "tshirt".

    Args:
        words: [B, Q] string, "" after the last.

    Returns:
        [B, 3, Q] int64, the grams of each length that start at each word; 0 where the text ends before the gram does.
    """
    size = words.shape[1]
    padded = tf.concat([words, tf.fill([tf.shape(words)[0], 2], "")], 1)
    second, third = padded[:, 1 : size + 1], padded[:, 2:]
    pairs = tf.strings.join([words, second])
    grams = tf.stack([words, pairs, tf.strings.join([pairs, third])], 1)
    return _hashes(grams, tf.stack([words, second, third], 1) != "")


def hash_phrases(cleaned: tf.Tensor, unspaced: Sequence[str] = (), limit: int = 4) -> tf.Tensor:
    """[B] cleaned text -> [B] int64: the hash of all its words joined, as `hash_grams` joins them; 0 for no words."""
    return hash_words(tf.strings.reduce_join(split_words(cleaned, limit, unspaced), axis=1))


def spelling_bits(words: tf.Tensor) -> tf.Tensor:
    """64-bit sets of the character pairs of each word, its ends included, int64 of the same shape; 0 for "".

    Two spellings are compared by Dice's coefficient over such sets: 2 |a and b| / (|a| + |b|).
    """
    flat = tf.reshape(words, [-1])
    characters = tf.strings.unicode_decode(tf.strings.join(["\x02", flat, "\x03"]), "UTF-8", errors="replace")
    dense = tf.cast(characters.to_tensor(0), tf.int64)
    left, right = dense[:, :-1], dense[:, 1:]
    bit = tf.math.floormod(left * 31 + right * 17 + left * right, 64)
    present = (right > 0) & (flat != "")[:, None]
    sets = tf.reduce_any((bit[:, :, None] == tf.range(64, dtype=tf.int64)) & present[:, :, None], axis=1)
    packed = tf.reduce_sum(tf.bitwise.left_shift(tf.cast(sets, tf.int64), tf.range(64, dtype=tf.int64)), axis=1)
    return tf.reshape(packed, tf.shape(words))


def likeness(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
    """Dice's coefficient of two spellings, see `spelling_bits`; float32 of their broadcast shape, 0 for ""."""
    common = population_count(tf.bitwise.bitwise_and(first, second))
    return 2.0 * common / tf.maximum(population_count(first) + population_count(second), 1.0)


def population_count(bits: tf.Tensor) -> tf.Tensor:
    """How many bits are set, float32 of the same shape."""
    return tf.cast(tf.raw_ops.PopulationCount(x=bits), tf.float32)


def unspaced_share(cleaned: tf.Tensor) -> tf.Tensor:
    """[B] cleaned text -> [B] float32: the share of characters in scripts written without spaces; 0 for no text."""
    letters = tf.strings.regex_replace(cleaned, r"[^\p{L}\p{N}]", "")
    unspaced = tf.strings.regex_replace(letters, f"[^{_UNSPACED}]", "")
    return tf.math.divide_no_nan(_characters(unspaced), _characters(letters))


def _characters(text: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.strings.length(text, unit="UTF8_CHAR"), tf.float32)


def lookup_sorted(keys: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
    """Places of `queries` in the sorted `keys` counted from 1, int32 of the same shape; 0 for one that is not there.

    Args:
        keys: [V] int64, rising, V >= 1. queries: any shape, int64.
    """
    wanted = tf.reshape(queries, [1, -1])
    place = tf.minimum(lower_bounds(tf.reshape(keys, [1, -1]), wanted), tf.shape(keys)[0] - 1)
    found = (tf.gather(keys, place) == wanted) & (wanted != 0)
    return tf.reshape(tf.where(found, place + 1, 0), tf.shape(queries))


def inverse_document_frequency(counts: npt.NDArray[np.int64], documents: int) -> npt.NDArray[np.float32]:
    """BM25's log(1 + (N - n + 0.5) / (n + 0.5)) of document counts n (Robertson and Zaragoza 2009, eq. 3.4)."""
    return np.log1p((documents - counts + 0.5) / (counts + 0.5)).astype(np.float32)
