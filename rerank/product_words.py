"""The words of many texts at once: hashes, vocabulary ids, distinct ones."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.lexical import LONGEST_UNSPACED, clean_text, hash_words, spelling_bits, split_words, unspaced_runs

Ints = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.int64]

_CHUNK = 2048
_TEXT_CHARACTERS = 4096  # of one field; enough for every word that is kept


def map_text(column: Sequence[str], function: Any) -> npt.NDArray[Any]:
    """Run a graph function of [B] strings over a column in chunks."""
    traced = tf.function(function, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    parts = [traced(tf.constant(column[at : at + _CHUNK], tf.string)).numpy() for at in range(0, len(column), _CHUNK)]
    return np.concatenate(parts)


def find_unspaced_words(column: Sequence[str], limit: int) -> tuple[str, ...]:
    """The words in scripts without spaces that stand alone in a column of names and values, the most frequent ones.

    Sorted so that a word comes before those that it begins with, as `split_words` takes them.
    """
    runs = map_text(column, lambda text: unspaced_runs(clean_text(text, _TEXT_CHARACTERS)))
    found = Counter(run.decode() for runs_of_text in runs for run in runs_of_text.split())
    words = sorted(word for word in found if 1 < len(word) <= LONGEST_UNSPACED)
    return tuple(sorted(sorted(words, key=lambda word: -found[word])[:limit], reverse=True))


def read_words(column: Sequence[str], limit: int, unspaced: tuple[str, ...], spelling: dict[int, int]) -> Hashes:
    """Word hashes of a column, [N, limit]; words met for the first time are added to `spelling`."""
    split = tf.function(
        lambda text: split_words(clean_text(text, _TEXT_CHARACTERS), limit, unspaced),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    )
    parts = []
    for at in range(0, len(column), _CHUNK):
        words = split(tf.constant(column[at : at + _CHUNK], tf.string))
        hashes = hash_words(words).numpy()
        unique, place = np.unique(hashes, return_index=True)
        new = np.array([word > 0 and word not in spelling for word in unique.tolist()], dtype=bool)
        bits = spelling_bits(tf.gather(tf.reshape(words, [-1]), place[new])).numpy()
        spelling.update(zip(unique[new].tolist(), bits.tolist(), strict=True))
        parts.append(hashes)
    return np.concatenate(parts)


def word_ids(
    parts: list[Hashes], vocabulary: Hashes, known: npt.NDArray[np.bool_]
) -> tuple[list[Ints], npt.NDArray[np.int64]]:
    """Vocabulary ids of each part, and how many known products hold each word of the vocabulary in any part."""
    sizes = np.cumsum([0, *(part.shape[1] for part in parts)])
    hashes = np.concatenate(parts, axis=1)
    ids = np.where(hashes > 0, np.searchsorted(vocabulary, hashes) + 1, 0).astype(np.int32)
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    repeated = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(repeated, order[:, 1:], (ranked[:, 1:] == ranked[:, :-1]), axis=1)
    counts = np.bincount(ids[~repeated & known[:, None]], minlength=len(vocabulary) + 1)[1:]
    return [ids[:, start:end] for start, end in pairwise(sizes)], counts


def distinct(ids: Ints, limit: int) -> Ints:
    """The first `limit` distinct ids of each row, and the absent row: [N + 1, limit]."""
    order = np.argsort(ids, axis=1, kind="stable")
    ranked = np.take_along_axis(ids, order, axis=1)
    drop = np.zeros(ids.shape, dtype=bool)
    np.put_along_axis(drop, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
    kept = np.where(drop, 0, ids)
    front = np.argsort(kept == 0, axis=1, kind="stable")[:, :limit]
    return absent_row(np.take_along_axis(kept, front, axis=1))


def absent_row(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The table with a row of zeros after its last."""
    return np.concatenate([table, np.zeros((1, *table.shape[1:]), dtype=table.dtype)])
