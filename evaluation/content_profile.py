"""Content-based filtering: products whose words are like those of the history."""

from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer

from evaluation.arrays import Gains, Mask
from evaluation.baselines import recent_items
from evaluation.requests import Requests
from evaluation.words import Analyzer


class ContentProfile:
    """Cosine of each product's TF-IDF vector and the user's: the mean of the last products', newer ones weighing more.

    The words are those of BM25. A search query is ignored.

    Args:
        texts: [N], all a product's text: `catalog.schema.product_texts`.
        eligible: [N], products in the index; document frequencies are theirs.
        analyzer: texts into words; English stems if None.
        last, recency: items of the history that count, and how much less each older one does.
    """

    name = "content profile"

    def __init__(
        self,
        texts: Sequence[str],
        eligible: Mask,
        analyzer: Analyzer | None = None,
        last: int = 20,
        recency: float = 0.9,
    ) -> None:
        self.last, self.recency = last, recency
        words = (analyzer or Analyzer())(texts)
        # The words are ready: what the vectoriser would do to texts is passed by.
        vectorizer = TfidfVectorizer(analyzer=_as_they_are, sublinear_tf=True, dtype=np.float32)
        indexed = [words[row] for row in np.flatnonzero(eligible).tolist()]
        if any(indexed):
            vectorizer.fit(indexed)
            self._vectors = vectorizer.transform(words)
        else:
            self._vectors = sparse.csr_matrix((len(texts), 1), dtype=np.float32)
        self._by_word = self._vectors.T.tocsr()

    def score(self, requests: Requests) -> Gains:
        """See `evaluation.baselines.Scorer`."""
        request, item, weight = recent_items(requests, self.last, self.recency)
        shape = (len(requests), self._vectors.shape[0])
        profiles = sparse.csr_matrix((weight.astype(np.float32), (request, item)), shape) @ self._vectors
        length = np.sqrt(np.asarray(profiles.multiply(profiles).sum(axis=1)))
        scores = (profiles @ self._by_word).toarray() / np.where(length > 0, length, 1)
        return np.where(scores > 0, scores, -np.inf).astype(np.float32)


def _as_they_are(words: list[str]) -> list[str]:
    return words
