"""Hard negatives: products that the present towers rank high for a training search and that nobody chose after it."""

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from catalog.feature_store import FeatureStore
from towers.batches import Batches
from towers.trained import Towers
from towers.validation import example_questions

_RANKS = (10, 110)  # the very first ones are often right answers that nobody happened to click
_KEPT = 4
_CHUNK = 512


def mine_hard_negatives(
    towers: Towers, batches: Batches, products: npt.NDArray[np.float32], seed: int
) -> npt.NDArray[np.int32]:
    """[searches, 4] int32 products drawn from ranks 10 to 110 of each training search.

    What somebody chose after the query has no rank; where fewer are left, from those, or else the last of them. Where
    everything was chosen, one of the chosen.

    Args:
        towers: the present towers, their content vectors refreshed.
        batches: knows the training searches and the products launched in time.
        products: [N, dim], the present product vectors.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    features, launched = towers.features, batches.launched
    index = products[launched]
    low, high = min(_RANKS[0], len(launched) - 1), min(_RANKS[1], len(launched))
    chosen = _chosen(features, batches.searches)[:, launched]
    mined = np.zeros((len(batches.searches), _KEPT), np.int32)
    for start in range(0, len(batches.searches), _CHUNK):
        examples = batches.searches[start : start + _CHUNK]
        questions = example_questions(features, examples, batches.search_length)
        scores = towers.query_embeddings(questions) @ index.T
        scores[chosen[features.example_query[examples]].toarray()] = -np.inf
        top = np.argpartition(-scores, high - 1, axis=1)[:, :high] if high < len(launched) else np.argsort(-scores, 1)
        ranked = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1), axis=1)
        ranks = np.isfinite(scores).sum(axis=1, keepdims=True).clip(1, high)
        drawn = rng.integers(np.minimum(low, ranks - 1), ranks, (len(examples), _KEPT))
        mined[start : start + _CHUNK] = launched[np.take_along_axis(ranked, drawn, axis=1)]
    return mined


def _chosen(features: FeatureStore, searches: npt.NDArray[np.int64]) -> csr_array:
    """[queries, products] bool: what anybody chose after a query, in these searches."""
    pairs = features.example_query[searches], features.example_product[searches]
    return csr_array((np.ones(len(searches), bool), pairs), (len(features.queries), features.n_products))
