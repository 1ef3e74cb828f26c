"""Text features of (query, candidate): words, values and tokens that they share, and what is chosen after the words."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.associations import AssociationReader, Associations
from rerank.config import LexicalConfig
from rerank.lexical import SAME_WORD, likeness
from rerank.product_tables import ProductTables
from rerank.query_features import QueryReader, QueryReading
from rerank.tensors import count, spread, table

_EPSILON = 1e-6


class TextExtractor(tf.Module):
    """Compute text features, but the relevance that is learned from them.

    Args:
        tables: words, values and tokens of the catalogue.
        associations: what is chosen after which word.
        tokenizer: SentencePiece model file.

    Call:
        query: [B] string. product: of the candidates, [B, C, width] each: the parts of `product_parts`, and unspaced,
            the share of unspaced characters. Returns [B, C, len(names)] float32.
    """

    def __init__(
        self, tables: ProductTables, associations: Associations, tokenizer: Path, config: LexicalConfig
    ) -> None:
        super().__init__(name="text")
        self._keys = tables.keys
        self._segments = tuple(segment.name for segment in tables.segments)
        self._read_query = QueryReader(tables, tokenizer, config)
        self._chosen_after = AssociationReader(associations)
        self._word_bits = table(tables.word_bits)

    @staticmethod
    def product_parts(tables: ProductTables, associations: Associations) -> dict[str, npt.NDArray[np.int32]]:
        """What is read of products, [N + 1, width] each."""
        words = {f"words_{segment.name}": segment.words for segment in tables.segments}
        columns = associations.columns(tables)
        return {**words, "values": tables.values, "tokens": tables.tokens, "chosen_columns": columns}

    @property
    def names(self) -> tuple[str, ...]:
        """Of each number, in order."""
        lexical = [f"{part}_{kind}" for kind in ("share", "idf_share") for part in (*self._parts, "value")]
        lexical += [
            "all_words",
            "matched_idf",
            "rarest_idf",
            "title_precision",
            "misspelt_match",
            "token_share",
            "token_idf_share",
        ]
        lexical += ["query_words", "unknown_words", "has_query", "script_distance", "named_matches", "named_conflicts"]
        lexical += [f"match_{key}" for key in self._keys] + [f"conflict_{key}" for key in self._keys]
        lexical += [f"{kind}_{key}" for kind in ("chosen", "avoided") for key in self._keys] + ["chosen"]
        return tuple(lexical)

    @property
    def _parts(self) -> tuple[str, ...]:
        return (*self._segments, "any")

    @property
    def learned(self) -> tuple[tf.Variable, ...]:
        """The tables that tell one log from another."""
        return tuple(self._chosen_after.variables)

    def __call__(self, query: tf.Tensor, product: Mapping[str, tf.Tensor]) -> tf.Tensor:
        reading, value = self._read_query(query), product["values"]
        words = [product[f"words_{segment}"] for segment in self._segments]
        # No word of a product has the id -1: what a query does not hold equals nothing.
        asked = tf.where(reading.word > 0, reading.word, -1)[:, None, :, None]
        same = [asked == segment[:, :, None, :] for segment in words]
        by_segment = [tf.reduce_any(part, -1) for part in same]
        named = (reading.gram[:, None] == value[:, :, None, :]) & (reading.gram > 0)[:, None]
        by_value = tf.matmul(tf.cast(tf.reduce_any(named, -1), tf.float32), reading.gram_words) > 0
        anywhere = by_segment[0] | by_segment[1] | by_segment[2] | by_value
        matched = tf.cast(tf.stack([*by_segment, anywhere, by_value], 2), tf.float32)
        known = tf.maximum(reading.words - reading.unknown, 1.0)[:, None, None]
        total = tf.reduce_sum(reading.weight, 1)[:, None, None]
        share = tf.reduce_sum(matched, -1) / known
        matched_idf = tf.reduce_sum(matched * reading.weight[:, None, None], -1)
        any_place = len(self._segments)
        return tf.concat(
            [
                share,
                matched_idf / tf.maximum(total, _EPSILON),
                tf.stack(
                    [
                        _all_words(reading, anywhere),
                        matched_idf[..., any_place],
                        _rarest(reading, by_segment[0] | by_segment[1] | by_value),
                        _title_precision(same[0], words[0]),
                        self._misspelt_match(reading, tf.concat(words[:2], -1)),
                        *self._token_shares(reading, product["tokens"]),
                        *self._query_columns(reading, product["unspaced"][..., 0]),
                    ],
                    -1,
                ),
                _named_columns(reading, named, value),
                self._chosen_after(reading.hash, reading.misspelt_bits, product["chosen_columns"]),
            ],
            -1,
        )

    def _misspelt_match(self, reading: QueryReading, words: tf.Tensor) -> tf.Tensor:
        """Mean over the query's unknown words of the nearest spelling among title and attribute words, Dice >= 0.5.

        words: [B, C, W]. Only of the queries that have such words are spellings looked up: few have.
        """
        unknown = count(reading.misspelt_bits != 0)
        misspelt = tf.where(unknown > 0.0)
        places = misspelt[:, 0]
        bits = tf.gather(self._word_bits, tf.gather(words, places))[:, :, None, :]
        wanted = tf.gather(reading.misspelt_bits, places)[:, None, :, None]
        dice = tf.reduce_max(likeness(bits, wanted), -1)
        nearest = tf.reduce_sum(tf.where(dice >= SAME_WORD, dice, 0.0), -1)
        mean = nearest / tf.gather(unknown, places)[:, None]
        return tf.scatter_nd(misspelt, mean, tf.shape(words, tf.int64)[:2])

    def _token_shares(self, reading: QueryReading, tokens: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        known = reading.token > 0
        asked = tf.where(known, reading.token, -1)[:, None, :, None]
        found = tf.cast(tf.reduce_any(asked == tokens[:, :, None, :], -1), tf.float32)
        share = tf.reduce_sum(found, -1) / tf.maximum(count(known), 1.0)[:, None]
        total = tf.maximum(tf.reduce_sum(reading.token_weight, 1), _EPSILON)[:, None]
        return share, tf.linalg.matvec(found, reading.token_weight) / total

    def _query_columns(self, reading: QueryReading, unspaced: tf.Tensor) -> tuple[tf.Tensor, ...]:
        has_query = tf.cast(reading.words > 0, tf.float32)
        distance = tf.abs(reading.unspaced[:, None] - unspaced) * has_query[:, None]
        return (*(spread(column, unspaced) for column in (reading.words, reading.unknown, has_query)), distance)


def _all_words(reading: QueryReading, matched: tf.Tensor) -> tf.Tensor:
    """0 or 1: whether a candidate holds words of the query, and every one that is known; matched: [B, C, Q]."""
    missing = (reading.word > 0)[:, None] & ~matched
    return tf.cast(tf.reduce_any(matched, -1) & ~tf.reduce_any(missing, -1), tf.float32)


def _rarest(reading: QueryReading, matched: tf.Tensor) -> tf.Tensor:
    """The idf of the rarest word of the query in a candidate's title, attributes and values; matched: [B, C, Q]."""
    weight = tf.where(matched, reading.weight[:, None], 0.0)
    return tf.maximum(tf.reduce_max(weight, -1), 0.0)  # 0 of a query without words


def _title_precision(same: tf.Tensor, title: tf.Tensor) -> tf.Tensor:
    """Share of the title's words that the query names. same: [B, C, Q, W]; title: [B, C, W]."""
    return count(tf.reduce_any(same, 2)) / tf.maximum(count(title > 0), 1.0)


def _named_columns(reading: QueryReading, named: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """Per key: the candidate has a value the query names; the query names another value than the candidate's."""
    match = tf.reduce_any(named, 2)
    conflict = tf.reduce_any(reading.gram > 0, 1)[:, None] & (value > 0) & ~match
    return tf.concat(
        [
            count(match)[..., None],
            count(conflict)[..., None],
            tf.cast(match, tf.float32),
            tf.cast(conflict, tf.float32),
        ],
        -1,
    )
