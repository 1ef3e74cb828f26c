"""Rivals of the cross network: logistic regression and LightGBM's LambdaMART, on the same pages and features.

Both are given every choice on validation pages by the measure that the cross network's epochs are chosen by: NDCG@10 of
clicks corrected for position.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rerank.config import RerankConfig
from rerank.slices import Slice
from rerank.teacher import TREE_SETTINGS, shuffled
from rerank.validation import click_gains, mean_ndcg

Floats = npt.NDArray[np.float32]
Predictor = Callable[[Floats], npt.NDArray[np.floating]]

PENALTIES = (3e-4, 1e-3, 1e-2)
LEAVES = (7, 15, 31)
_TREES, _TREES_A_LOOK = 240, 20
_CLIP = 5.0


@dataclass(frozen=True)
class Rival:
    """A fitted rival.

    predict: [n, F] -> [n] scores, higher is better. chosen: its settings. validation: NDCG@10 that they were chosen by.
    """

    predict: Predictor
    chosen: dict[str, float]
    validation: float

    def scores(self, part: Slice, with_grade: bool) -> Floats:
        """[R, L] scores of every product of every list."""
        numbers = numbers_of(part, with_grade)
        flat = self.predict(numbers.reshape(-1, numbers.shape[-1]))
        return flat.reshape(numbers.shape[:-1]).astype(np.float32)


def numbers_of(part: Slice, with_grade: bool) -> Floats:
    """[R, L, F] the dense features before normalisation; the grade expected from judgments is the last if asked."""
    assert part.stored is not None
    numeric = part.stored.numeric.numpy()
    return np.concatenate([numeric, part.stored.grade.numpy()[..., None]], -1) if with_grade else numeric


def fit_logistic(training: Slice, pages: Slice, curve: Floats, with_grade: bool) -> Rival:
    """P(click | features, position) by logistic regression, the log of the position as an input that scoring sets to 0.

    Standardised features, clipped as the cross network's; the penalty is chosen among PENALTIES.
    """
    from sklearn.linear_model import LogisticRegression

    lists = training.data.lists
    shown = numbers_of(training, with_grade)[lists.shown]
    mean, deviation = shown.mean(0), shown.std(0)
    deviation = np.where(deviation > 1e-5, deviation, 1.0)
    position = np.log(np.maximum(lists.position[lists.shown], 1))[:, None]

    def normal(values: Floats) -> Floats:
        return np.clip((values - mean) / deviation, -_CLIP, _CLIP)

    inputs = np.concatenate([normal(shown), position], 1)
    found = []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=1000).fit(inputs, lists.click[lists.shown])
        weights = model.coef_[0][:-1].astype(np.float32)
        rival = Rival(lambda values, weights=weights: normal(values) @ weights, {"C": penalty}, 0.0)  # type: ignore[misc]
        found.append(_measured(rival, pages, curve, with_grade))
    return max(found, key=lambda rival: rival.validation)


def fit_lambdamart(training: Slice, pages: Slice, curve: Floats, with_grade: bool, config: RerankConfig) -> Rival:
    """LambdaMART (Burges 2010) with the gains of the cross network's listwise loss and LightGBM's position debiasing.

    Leaves are chosen among LEAVES, trees among every 20 up to 240.
    """
    import lightgbm

    lists = training.data.lists
    order, shown, gain = shuffled(lists, config)

    def column(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.take_along_axis(values, order, 1)[shown]

    levels, label = np.unique(column(gain), return_inverse=True)
    numbers = np.take_along_axis(numbers_of(training, with_grade), order[..., None], 1)[shown]
    sizes = shown.sum(1)
    data = lightgbm.Dataset(numbers, label, group=sizes[sizes > 0], position=column(lists.position))
    found = []
    for leaves in LEAVES:
        settings = TREE_SETTINGS | {
            "num_leaves": leaves, "label_gain": levels.tolist(), "seed": config.seed, "num_threads": 1,
            "feature_pre_filter": False,
        }  # fmt: skip
        model = lightgbm.train(settings, data, _TREES)
        for trees in range(_TREES_A_LOOK, _TREES + 1, _TREES_A_LOOK):
            rival = Rival(
                lambda values, model=model, trees=trees: model.predict(values, num_iteration=trees),  # type: ignore[misc]
                {"num_leaves": leaves, "trees": trees},
                0.0,
            )
            found.append(_measured(rival, pages, curve, with_grade))
    return max(found, key=lambda rival: rival.validation)


def _measured(rival: Rival, pages: Slice, curve: Floats, with_grade: bool) -> Rival:
    lists = pages.data.lists
    value = mean_ndcg(rival.scores(pages, with_grade), click_gains(lists, curve), lists.shown)
    return Rival(rival.predict, rival.chosen, value)
