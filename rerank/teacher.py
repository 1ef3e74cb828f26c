"""Trees that teach: what LambdaMART learns of the training pages, for the cross network to follow besides the clicks.

Trees and crosses err in different places; a network that also learns how the trees order what was never shown takes
on what is right in both, and nothing is added to what is served (Hinton et al. 2015).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from rerank.config import RerankConfig
from rerank.features import FeatureExtractor
from rerank.lists import RankingLists
from rerank.losses import head_worths
from rerank.slices import Slice

Floats = npt.NDArray[np.float32]

_MOST_LISTS = 20_000  # lists that trees are grown on, the latest ones
_FEWEST_GAINS = 100
_TREES = 200
TREE_SETTINGS = {
    "objective": "lambdarank", "learning_rate": 0.05, "num_leaves": 7, "min_data_in_leaf": 50, "bagging_fraction": 0.8,
    "bagging_freq": 1, "feature_fraction": 0.5, "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip
_BATCH = 64


def teach(part: Slice, extractor: FeatureExtractor, config: RerankConfig) -> Floats | None:
    """[R, L] scores by LambdaMART (Burges 2010) of every product of every list; None where too few have a gain.

    The trees are grown on shown products, with the gains of the listwise loss and LightGBM's correction of position
    bias. The extractor holds the slice's embeddings.
    """
    import lightgbm

    lists = part.data.lists
    chosen = np.arange(max(len(lists) - _MOST_LISTS, 0), len(lists))
    order, shown, gain = shuffled(lists, config)
    if np.count_nonzero(gain[chosen]) < _FEWEST_GAINS:
        return None
    worth, position = (np.take_along_axis(each, order, 1)[chosen][shown[chosen]] for each in (gain, lists.position))
    numbers = np.concatenate(
        [
            np.take_along_axis(numeric, order[places][..., None], 1)[shown[places]]
            for places, numeric in _numbers(part, extractor, chosen)
        ]
    )
    levels, label = np.unique(worth, return_inverse=True)
    sizes = shown[chosen].sum(1)
    data = lightgbm.Dataset(numbers, label, group=sizes[sizes > 0], position=position)
    settings = TREE_SETTINGS | {"label_gain": levels.tolist(), "seed": config.seed}
    model = lightgbm.train(settings, data, _TREES)
    scores = np.zeros(lists.row.shape, np.float32)
    for places, numeric in _numbers(part, extractor, np.arange(len(lists))):
        scores[places] = model.predict(numeric.reshape(-1, numeric.shape[-1])).reshape(numeric.shape[:-1])
    return scores


def shuffled(
    lists: RankingLists, config: RerankConfig
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.floating]]:
    """Pages as trees learn from them, [R, L] each.

    Returns:
        Places in the lists, those of shown products first and in random order: equal scores keep the order they came
        in, and that of a page tells what was seen; whether the product there was shown; and, in the order of the
        lists, the gains of the listwise loss.
    """
    keys = np.random.default_rng(config.seed).random(lists.shown.shape)
    order = np.argsort(np.where(lists.shown, keys, np.inf), axis=1)
    gain = sum(worth * getattr(lists, head) for head, worth in head_worths(config).items())
    return order, np.take_along_axis(lists.shown, order, 1), gain


def _numbers(
    part: Slice, extractor: FeatureExtractor, places: npt.NDArray[Any]
) -> Iterator[tuple[npt.NDArray[Any], Floats]]:
    """List numbers and their dense features, [b, L, F], some at a time."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)], autograph=False)
    def compute(some: tf.Tensor) -> tf.Tensor:
        return part.features(extractor, some, part.data.batch(some)).numeric

    for at in range(0, len(places), _BATCH):
        some = places[at : at + _BATCH].astype(np.int32)
        yield some, compute(some).numpy()
