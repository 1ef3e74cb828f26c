"""The grade that people would give a product for a query: regression trees on judgments."""

import lightgbm
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from evaluation.arrays import Gains
from evaluation.learned_ranker import Lists

_TREES = 100
_SETTINGS = {
    "objective": "regression", "num_leaves": 15, "learning_rate": 0.1, "min_data_in_leaf": 20, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip


class LearnedGrades:
    """Gradient boosting by the library LightGBM, deterministic on one thread.

    Args:
        features: [P, F] float32 of judged pairs, NaN for what is not known. grades: [P]. seed: of the training.
    """

    def __init__(self, features: Gains, grades: npt.NDArray[np.floating], seed: int = 0) -> None:
        self._width = features.shape[1]
        with threadpool_limits(1):
            self._model = lightgbm.train(_SETTINGS | {"seed": seed}, lightgbm.Dataset(features, grades), _TREES)

    def grades(self, lists: Lists) -> Gains:
        """Expected grades, [R, C] float32, 0 where there is no candidate.

        Args:
            lists: whose last F features are those that grades are learned from.
        """
        grades = np.zeros(lists.rows.shape, np.float32)
        present = lists.rows >= 0
        if present.any():
            grades[present] = self._model.predict(lists.features[present][:, -self._width :], num_threads=1)
        return grades
