"""Recall of the towers on the validation slice: what stops the training and chooses its weights."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore

_DEPTHS = (10, 100)  # recall@100 alone hardly moves once a small catalogue is learned; what is on top still does
_LARGEST_SHARE = 20  # k is at most a twentieth of the catalogue: all of a tiny shop is in its first hundred
_CHUNK = 512

Encode = Callable[["Questions"], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class Questions:
    """Queries as arrays, one row a query; `Towers.query_embeddings` and the validation read them.

    Attributes:
        texts: [R] str, "" for a recommendation.
        rows, kinds: [R, H] int32. timestamps: [R, H] int64: the histories, as `FeatureStore.history` gives them.
        timestamp: [R] int64, when the question is asked.
        users: [R] int32, -1 for a stranger: whose profile is read.
    """

    texts: npt.NDArray[np.object_]
    rows: npt.NDArray[np.int32]
    kinds: npt.NDArray[np.int32]
    timestamps: npt.NDArray[np.int64]
    timestamp: npt.NDArray[np.int64]
    users: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, chosen: slice) -> "Questions":
        return Questions(
            self.texts[chosen],
            self.rows[chosen],
            self.kinds[chosen],
            self.timestamps[chosen],
            self.timestamp[chosen],
            self.users[chosen],
        )


def example_questions(features: FeatureStore, examples: npt.NDArray[np.int64], length: int) -> Questions:
    """The questions of some of the store's examples, with histories of `length` events."""
    users, queries = features.example_user[examples], features.example_query[examples]
    rows, kinds, timestamps = features.history(users, features.example_history_end[examples], length)
    texts = np.full(len(examples), "", object)
    typed = queries >= 0
    texts[typed] = features.queries[queries[typed]]
    return Questions(texts, rows, kinds, timestamps, features.example_timestamp[examples], users)


class Validation:
    """Searches and recommendations of the validation slice, at most a given number of each.

    Recommendations count where the product is new to the shopper, as in training.

    Args:
        features: the log.
        length: events of a history.
        most: examples of each kind.
        seed: of the sample.

    Attributes:
        depths: answers that count: 10 and 100, and no more than a twentieth of the catalogue.
    """

    def __init__(self, features: FeatureStore, length: int, most: int, seed: int) -> None:
        self._features = features
        inside = features.example_slice == 2
        searched = features.example_query >= 0
        rng = np.random.default_rng(seed)
        self.search = _sample(np.flatnonzero(inside & searched), most, rng)
        self.recommendation = _sample(np.flatnonzero(inside & ~searched & features.example_new), most, rng)
        self._questions = {
            "search": example_questions(features, self.search, length),
            "recommendation": example_questions(features, self.recommendation, length),
        }

        largest = max(1, features.n_products // _LARGEST_SHARE)
        self.depths = tuple(sorted({min(depth, largest) for depth in _DEPTHS}))

    @property
    def day(self) -> int:
        """The day whose counters the products are embedded with: the slice's first."""
        return self._features.slices.validation[0]

    def recall(self, encode: Encode, products: npt.NDArray[np.float32]) -> dict[str, float]:
        """Recall by exact search over the products launched by the day of the question.

        Args:
            encode: questions to [R, dim].
            products: [N, dim].

        Returns:
            "recall@k/search" and "recall@k/recommendation" for each depth k, where there are any of them, and
            "recall/mean", the mean of those; 0 without any.
        """
        results: dict[str, float] = {}
        for name, examples in (("search", self.search), ("recommendation", self.recommendation)):
            if not len(examples):
                continue
            ranks = target_ranks(
                encode(self._questions[name]),
                products,
                self._features.example_product[examples],
                self._features.launched,
                self._features.example_day[examples],
            )
            results |= {f"recall@{depth}/{name}": float((ranks < depth).mean()) for depth in self.depths}
        return results | {"recall/mean": float(np.mean(list(results.values()))) if results else 0.0}


def target_ranks(
    queries: npt.NDArray[np.float32],
    products: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int32],
    launched: npt.NDArray[np.int32],
    days: npt.NDArray[np.int32],
) -> npt.NDArray[np.int64]:
    """[R] how many products launched by that day score above each query's target, and half of those that score alike,
    rounded down; N where it is not launched.
    """
    ranks = np.zeros(len(queries), np.int64)
    for start in range(0, len(queries), _CHUNK):
        part = slice(start, start + _CHUNK)
        scores = queries[part] @ products.T
        scores[launched[None, :] > days[part, None]] = -np.inf
        target = np.take_along_axis(scores, targets[part, None].astype(np.int64), axis=1)
        above = (scores > target).sum(axis=1) + ((scores == target).sum(axis=1) - 1) // 2
        ranks[part] = np.where(np.isfinite(target[:, 0]), above, len(products))
    return ranks


def _sample(values: npt.NDArray[np.int64], most: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    return np.sort(rng.choice(values, most, replace=False)) if len(values) > most else values
