"""What is chosen after a word: how much more often each value of a product is chosen with it than without."""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from catalog.feature_store import FeatureStore
from evaluation.arrays import Gains, Strings, ragged_indices
from evaluation.catalogue import Catalogue
from evaluation.words import Analyzer

_MOST_WORDS, _MOST_VALUES = 5000, 1000  # As many as the reranker's own table has by default: 20 MB.
_FEWEST_CHOICES = 3  # that a word needs to be known
_PRIOR_CHOICES = 10.0  # in the usual shares, that every word starts from


class WordLifts:
    """log P(value | word) / P(value) over the products chosen after searches; of a query and product, the sum.

    A choice is an episode that began with a query. P(value | word) is drawn towards P(value) by ten choices.

    Args:
        features: of the shop.
        catalogue: its products.
        before: seconds since the epoch; later searches are not counted, nor those whose choice was made in a later time
            slice than the search.
        analyzer: texts into words.
    """

    def __init__(self, features: FeatureStore, catalogue: Catalogue, before: int, analyzer: Analyzer) -> None:
        self._analyzer = analyzer
        chosen = np.flatnonzero(
            (features.example_query >= 0) & (features.example_slice >= 0) & (features.example_timestamp < before)
        )
        queries, query = np.unique(features.example_query[chosen], return_inverse=True)
        asked = [set(words) for words in analyzer(features.queries[queries].tolist())]
        names = list(dict.fromkeys(word for words in asked for word in sorted(words)))
        # As many entries as different choices, however often each was made.
        choices = sparse.coo_matrix(
            (np.ones(len(chosen), np.float32), (query, features.example_product[chosen])),
            (len(queries), len(catalogue.texts)),
        ).tocsr()
        words = _incidence(asked, {word: place for place, word in enumerate(names)})
        of_word = words.T @ _sums(choices, 1)
        of_value = catalogue.values.T @ _sums(choices, 0)
        kept_words = _most(np.where(of_word >= _FEWEST_CHOICES, of_word, 0), _MOST_WORDS)
        kept_values = _most(of_value, _MOST_VALUES)
        self._words = {names[place]: number for number, place in enumerate(kept_words.tolist())}
        self._values = catalogue.values[:, kept_values].tocsr()
        self._is_category = catalogue.is_category[kept_values]
        both = (words[:, kept_words].T @ (choices @ self._values)).toarray()
        share = of_value[kept_values] / max(len(chosen), 1)
        given = (both + _PRIOR_CHOICES * share) / (of_word[kept_words, None] + _PRIOR_CHOICES)
        self._lift = np.log(given / share).astype(np.float32)

    def score(self, queries: Strings, request: npt.NDArray[np.integer], product: npt.NDArray[np.integer]) -> Gains:
        """Lifts of pairs, [P, 2] float32: of the product's category, and of its other values together.

        Args:
            queries: [R], of a few requests; their lifts are dense over the values.
            request, product: [P], places in `queries` and product rows.
        """
        texts, place = np.unique(queries.astype(str), return_inverse=True)
        asked = [set(words) for words in self._analyzer(texts.tolist())]
        by_value = _incidence(asked, self._words) @ self._lift
        pair, entry = ragged_indices(self._values.indptr[product], self._values.indptr[product + 1])
        value = self._values.indices[entry]
        lift = by_value[place[request[pair]], value]
        cell = 2 * pair + ~self._is_category[value]
        return np.bincount(cell, lift, 2 * len(product)).reshape(-1, 2).astype(np.float32)


def _incidence(texts: list[set[str]], columns: dict[str, int]) -> Any:
    """CSR [texts, columns] of ones where a text has the word; words without a column are left out."""
    known = [sorted(columns[word] for word in words if word in columns) for words in texts]
    start = np.concatenate([[0], np.cumsum([len(found) for found in known], dtype=np.int64)])
    place = np.array([column for found in known for column in found], np.int32)
    return sparse.csr_matrix((np.ones(len(place), np.float32), place, start), (len(texts), len(columns)))


def _sums(matrix: Any, axis: int) -> npt.NDArray[np.float64]:
    return np.asarray(matrix.sum(axis=axis), np.float64).ravel()


def _most(counts: npt.NDArray[np.float64], limit: int) -> npt.NDArray[np.int64]:
    """Places of the greatest counts above 0, rising."""
    best = np.argsort(-counts, kind="stable")[:limit]
    return np.sort(best[counts[best] > 0])
