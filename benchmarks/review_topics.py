"""Reviews as words that towers can read: a sentiment, learned from the shop's own ratings, and topics."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.decomposition import NMF
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from evaluation.words import split_words

_FEWEST_REVIEWS = 5  # a word that fewer products' reviews use is left out
_TOPIC_SHARE = 0.25  # of a product's topic weights, from which the topic is named
_LEVELS = 5


def review_words(
    reviews: Sequence[str], ratings: npt.NDArray[np.floating], topics: int = 12, seed: int = 0
) -> list[str]:
    """Words for the sentiment and the topics of each product's reviews, such as "sentiment5 topic03"; "" without any.

    Words are weighed by TF-IDF. The sentiment is a ridge regression of the rating on them, in fifths of the products;
    topics are a non-negative factorisation (Lee and Seung 1999).

    Args:
        reviews: [N] texts of any language, "" where there are none.
        ratings: [N] mean rating, NaN where unknown. topics: at most. seed: of the factorisation.
    """
    reviewed = np.flatnonzero([bool(text.strip()) for text in reviews])
    words = [""] * len(reviews)
    if len(reviewed) <= _FEWEST_REVIEWS:
        return words
    weigher = TfidfVectorizer(analyzer=split_words, min_df=_FEWEST_REVIEWS, sublinear_tf=True)
    weights = weigher.fit_transform([reviews[place] for place in reviewed.tolist()])
    levels = _levels(weights, ratings[reviewed])
    factors = NMF(min(topics, *weights.shape), init="nndsvda", random_state=seed, tol=1e-3, max_iter=400)
    found = factors.fit_transform(weights)
    shares = found / np.maximum(found.sum(axis=1, keepdims=True), 1e-12)
    for place, level, share in zip(reviewed.tolist(), levels, shares, strict=True):
        named = [f"topic{topic:02d}" for topic in np.flatnonzero(share >= _TOPIC_SHARE)]
        words[place] = " ".join([*([f"sentiment{level}"] if level else []), *named])
    return words


def _levels(weights: npt.NDArray[np.float64], ratings: npt.NDArray[np.floating]) -> list[int]:
    """1 to 5, a fifth of the reviewed products each, by the rating that their words foretell; 0 without any rating."""
    rated = np.isfinite(ratings)
    if not rated.any():
        return [0] * len(ratings)
    foretold = Ridge(1.0).fit(weights[rated], ratings[rated]).predict(weights)
    bounds = np.quantile(foretold, np.arange(1, _LEVELS) / _LEVELS)
    return (np.searchsorted(bounds, foretold, side="right") + 1).tolist()
