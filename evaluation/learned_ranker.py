"""What a shop would otherwise build: LambdaMART over the candidates and the scores of the simple methods."""

from dataclasses import dataclass

import lightgbm
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from catalog.errors import DataError
from evaluation.arrays import ABSENT, Gains, Rows

_OTHERS = 40  # Unwanted candidates that a request teaches with; with all 200 the ranking was as good, the time 4 times.


@dataclass(frozen=True)
class Lists:
    """Candidates of R requests.

    Args:
        rows: int32 [R, C] product rows, -1 for none. features: [R, C, F] float32, NaN for what is not known.
    """

    rows: Rows
    features: Gains


class LearnedRanker:
    """LambdaMART (Burges 2010) by the library LightGBM, deterministic on one thread.

    Args:
        lists: requests that it learns from.
        gains: [R, C], how much of each candidate was wanted (0, or the weight of what was done with it).
        seed: of the training. trees, leaves, rate, smallest_leaf: of the model.

    Raises:
        DataError: when no request has both a wanted and an unwanted candidate.
    """

    name = "LightGBM"

    def __init__(
        self,
        lists: Lists,
        gains: Gains,
        seed: int = 0,
        trees: int = 60,
        leaves: int = 15,
        rate: float = 0.1,
        smallest_leaf: int = 50,
    ) -> None:
        labels = np.ceil(gains).astype(np.int64)
        wanted = (labels > 0) & (lists.rows >= 0)
        others = (labels == 0) & (lists.rows >= 0)
        # Of the unwanted ones a few drawn at random: as they come, not the ones that were shown.
        drawn = np.argsort(np.where(others, np.random.default_rng(seed).random(others.shape), 2.0), axis=1)[:, :_OTHERS]
        chosen = np.zeros_like(others)
        np.put_along_axis(chosen, drawn, True, axis=1)
        telling = wanted.any(axis=1) & others.any(axis=1)
        if not telling.any():
            raise DataError("no request has both a wanted and an unwanted candidate; there is nothing to learn from")
        kept = (wanted | (others & chosen)) & telling[:, None]
        data = lightgbm.Dataset(lists.features[kept], labels[kept], group=kept[telling].sum(axis=1))
        parameters = {
            "objective": "lambdarank",
            "label_gain": np.arange(labels.max() + 1).tolist(),
            "lambdarank_truncation_level": 30,
            "num_leaves": leaves,
            "learning_rate": rate,
            "min_data_in_leaf": smallest_leaf,
            "deterministic": True,
            "force_row_wise": True,
            "num_threads": 1,
            "seed": seed,
            "verbosity": -1,
        }
        with threadpool_limits(1):
            self._model = lightgbm.train(parameters, data, trees)

    def score(self, lists: Lists) -> npt.NDArray[np.float64]:
        """[R, C], -inf where there is no candidate."""
        scores = np.full(lists.rows.shape, -np.inf)
        present = lists.rows >= 0
        if present.any():
            scores[present] = self._model.predict(lists.features[present], num_threads=1)
        return scores

    def order(self, lists: Lists, k: int, added: Gains | None = None) -> Rows:
        """The candidates in its order, [R, k], padded with -1; `added`, [R, C], is added to its scores."""
        scores = self.score(lists)
        best = np.argsort(-(scores if added is None else scores + added), axis=1, kind="stable")
        rows = np.take_along_axis(lists.rows, best, axis=1)[:, :k]
        missing = max(k - rows.shape[1], 0)
        return np.pad(rows, ((0, 0), (0, missing)), constant_values=ABSENT)
