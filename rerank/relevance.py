"""The grade that people would give a product for a query, learned from judgments and read from text features alone."""

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple, Protocol

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf

from catalog.grades import scaled_grades
from catalog.misspelling import misspell
from catalog.progress import console, track
from catalog.splits import judgments_for_training
from rerank.config import RelevanceConfig
from rerank.stored import read_named, write_named

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

_CLIP = 5.0  # standard deviations
_BATCH = 256
_FEWEST_STEPS = 1000  # few pairs are gone through more often
_STEPS_AT_ONCE = 200
_QUERIES, _PRODUCTS = 32, 64  # judged lists whose features are computed at a time, and the products of one
_DRAWN = 20  # retrieved products of a search that are graded by trees
_FORESTS, _TREES = 5, 200
_TREE_SETTINGS = {
    "objective": "l2", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 30, "bagging_fraction": 0.8,
    "bagging_freq": 1, "feature_fraction": 0.5, "deterministic": True, "force_row_wise": True, "verbosity": -1,
}  # fmt: skip


class TextFeatures(Protocol):
    """What judgments are read through; `FeatureExtractor` has it."""

    size: int

    def text(self, query: tf.Tensor, row: tf.Tensor) -> tf.Tensor:
        """[B] string and [B, C] int32 -> [B, C, F] float32."""
        ...


class Unjudged(NamedTuple):
    """What retrieval returned for searches: queries [Q] str, and [Q, C] product rows; below 0 or N means none."""

    queries: npt.NDArray[np.object_]
    rows: Ints


@dataclass(frozen=True)
class RelevanceWeights:
    """A network of one hidden layer: grade = relu(clip((x - mean) scale) first + first_bias) second + second_bias.

    mean, scale: [F]. first: [F, U]. first_bias: [U]. second: [U]. second_bias: [1].
    """

    mean: Floats
    scale: Floats
    first: Floats
    first_bias: Floats
    second: Floats
    second_bias: Floats

    def save(self, path: Path) -> None:
        """Write one .npz, atomically."""
        write_named(path, vars(self))

    @classmethod
    def load(cls, path: Path) -> "RelevanceWeights":
        """Read what `save` wrote; ArtifactError when it is missing or broken."""
        return cls(**read_named(path, list(cls.__dataclass_fields__)))


class Relevance(tf.Module):
    """The network in the graph.

    Call:
        text: [..., F] float32. Returns [...] float32, the expected grade, at least 0.
    """

    def __init__(self, weights: RelevanceWeights) -> None:
        super().__init__(name="relevance")
        self._weights = {name: tf.constant(value) for name, value in sorted(vars(weights).items())}

    @property
    def weights(self) -> tuple[tf.Tensor, ...]:
        """Everything that was learned."""
        return tuple(self._weights.values())

    def __call__(self, text: tf.Tensor) -> tf.Tensor:
        w = self._weights
        x = tf.clip_by_value((text - w["mean"]) * w["scale"], -_CLIP, _CLIP)
        hidden = tf.nn.relu(tf.matmul(tf.reshape(x, [-1, x.shape[-1]]), w["first"]) + w["first_bias"])
        grade = tf.nn.relu(tf.matmul(hidden, w["second"][:, None]) + w["second_bias"])
        return tf.reshape(grade, tf.shape(text)[:-1])


def no_relevance(numbers: int) -> RelevanceWeights:
    """What a shop without judgments has: every grade is 0. numbers: F."""
    column = np.zeros(numbers, np.float32)
    none = np.zeros(1, np.float32)
    return RelevanceWeights(column, column, column[:, None], none, none, none)


def fit_relevance(
    judgments: pa.Table | None,
    product_ids: list[str],
    extractor: TextFeatures,
    config: RelevanceConfig,
    seed: int,
    unjudged: Unjudged,
) -> RelevanceWeights | None:
    """Learn grades from the judgments that evaluation does not use.

    Trees learn them, and the network follows the trees, on what was judged and on `config.unjudged` pairs that were
    not: of a few thousand judgments trees learn more, and a network costs less to ask (Hinton et al. 2015).

    Args:
        judgments: query, product_id, grade. product_ids: [N] in row order. unjudged: what pairs are drawn from.

    Returns:
        None where fewer than `config.min_judgments` are there to learn from.
    """
    if judgments is None:
        return None
    row_of = {name: row for row, name in enumerate(product_ids)}
    rows = np.array([row_of.get(name, -1) for name in judgments["product_id"].to_pylist()], np.int32)
    queries = np.asarray(judgments["query"].to_pylist(), dtype=object)
    mine = np.flatnonzero(judgments_for_training(queries.tolist()) & (rows >= 0))
    if len(mine) < config.min_judgments:
        if len(mine):
            console.print(
                f"rerank: {len(mine):,} judgments to learn from, and rerank.relevance.min_judgments is "
                f"{config.min_judgments:,}: relevance is not learned from them"
            )
        return None
    if len(mine) > config.max_judgments:
        mine = np.sort(np.random.default_rng(seed).choice(mine, config.max_judgments, replace=False))
    grades = scaled_grades(judgments["grade"].to_numpy())[mine]
    typed, judged = _as_typed(queries[mine], config.misspelt, seed)
    console.print(f"rerank: learning grades from {len(mine):,} judgments")
    features = _features(typed, rows[mine][judged], extractor)
    asked, drawn = _draw(unjudged, len(product_ids), config.unjudged, seed)
    every = np.concatenate([features, _features(asked, drawn, extractor)]) if len(asked) else features
    return _fit(every, _graded_by_trees(features, grades[judged], every, seed), config, seed)


def _draw(unjudged: Unjudged, products: int, pairs: int, seed: int) -> tuple[npt.NDArray[np.object_], Ints]:
    """At most so many pairs of a query and a product, [P] both: _DRAWN candidates of as many searches as that takes."""
    random = np.random.default_rng(seed)
    searches = random.permutation(len(unjudged.queries))[: pairs // _DRAWN]
    places = random.random((len(searches), unjudged.rows.shape[1])).argsort(1)[:, :_DRAWN]
    rows = np.take_along_axis(unjudged.rows[searches], places, 1)
    there = (rows >= 0) & (rows < products)
    return np.repeat(unjudged.queries[searches], there.sum(1)), rows[there].astype(np.int32)


def _graded_by_trees(features: Floats, grades: Floats, every: Floats, seed: int) -> Floats:
    """[n] what the mean of regression forests grown on judged pairs says of `every` pair, [n, F]."""
    import lightgbm

    total = np.zeros(len(every))
    for number in range(_FORESTS):
        data = lightgbm.Dataset(features, grades)
        model = lightgbm.train(_TREE_SETTINGS | {"seed": seed + number}, data, _TREES)
        total += np.asarray(model.predict(every))
    return np.maximum(total / _FORESTS, 0.0).astype(np.float32)


def _as_typed(
    queries: npt.NDArray[np.object_], variants: int, seed: int
) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.int64]]:
    """Judged pairs' queries as they are and misspelt, and which pair each stands for; [J'] both.

    People judge what is asked often, which is spelt right: without the variants nothing tells how far a spelling goes.
    """
    random = Random(seed)
    distinct, query = np.unique(queries.astype(str), return_inverse=True)
    texts = [distinct.tolist()] + [[misspell(text, random) for text in distinct.tolist()] for _ in range(variants)]
    judged = set(texts[0])
    kept = [np.array([number == 0 or text not in judged for text in row]) for number, row in enumerate(texts)]
    pairs = [np.flatnonzero(mask[query]) for mask in kept]
    typed = [np.array(row, dtype=object)[query[part]] for row, part in zip(texts, pairs, strict=True)]
    return np.concatenate(typed), np.concatenate(pairs)


def _features(queries: npt.NDArray[np.object_], rows: Ints, extractor: TextFeatures) -> Floats:
    """[J, F] of each judged pair: a query's products are computed together, in lists of _PRODUCTS at most."""
    distinct, query = np.unique(queries.astype(str), return_inverse=True)
    order = np.argsort(query, kind="stable")
    start = np.searchsorted(query[order], np.arange(len(distinct)))
    turn = np.arange(len(order)) - start[query[order]]
    first = (turn % _PRODUCTS == 0).astype(np.int64)
    row, place = np.cumsum(first) - 1, turn % _PRODUCTS
    lists = np.full((row[-1] + 1, int(place.max()) + 1), extractor.size, np.int32)
    lists[row, place] = rows[order]
    asked = distinct[query[order][first > 0]].astype(object)
    text = tf.function(extractor.text, autograph=False, reduce_retracing=True)
    parts = [
        text(tf.constant(asked[at : at + _QUERIES]), tf.constant(lists[at : at + _QUERIES])).numpy()
        for at in range(0, len(asked), _QUERIES)
    ]
    found = np.empty((len(rows), parts[0].shape[-1]), np.float32)
    found[order] = np.concatenate(parts)[row, place]
    return found


def _fit(features: Floats, grades: Floats, config: RelevanceConfig, seed: int) -> RelevanceWeights:
    mean, deviation = features.mean(0), features.std(0)
    scale = np.where(deviation > 1e-3, 1.0 / np.maximum(deviation, 1e-3), 0.0).astype(np.float32)
    first = keras.layers.Dense(config.units, activation="relu")
    second = keras.layers.Dense(1)
    drop = [keras.layers.Dropout(config.dropout, seed=seed + place) for place in range(2)]
    network = keras.Sequential([keras.Input((features.shape[1],)), drop[0], first, drop[1], second])
    order = _batches(len(features), config.epochs, seed)
    schedule = keras.optimizers.schedules.CosineDecay(config.learning_rate, len(order))
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay)
    optimizer.build(network.trainable_variables)
    inputs, targets = tf.constant(np.clip((features - mean) * scale, -_CLIP, _CLIP)), tf.constant(grades)

    def step(places: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            told = network(tf.gather(inputs, places), training=True)[:, 0]
            loss = tf.reduce_mean(tf.square(told - tf.gather(targets, places)))
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, [variable.value for variable in variables]), variables)
        return loss

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)], autograph=False)
    def steps(batches: tf.Tensor) -> tf.Tensor:  # a step takes less time than Python takes to ask for it
        return tf.map_fn(step, batches, fn_output_signature=tf.float32, parallel_iterations=1)

    parts = np.array_split(order, -(-len(order) // _STEPS_AT_ONCE))
    losses = np.concatenate([steps(tf.constant(part)).numpy() for part in track(parts, "rerank: grades", len(parts))])
    last = -(-len(features) // order.shape[1])
    error = float(np.sqrt(losses[-last:].mean()))
    console.print(f"rerank: grades learned, root mean square error {error:.2f} in training")
    hidden, bias, weight, shift = (np.asarray(value, np.float32) for value in (*first.weights, *second.weights))
    return RelevanceWeights(mean, scale, hidden, bias, weight[:, 0], shift)


def _batches(pairs: int, epochs: int, seed: int) -> Ints:
    """[steps, batch] places of pairs: seeded passes over all of them, one after the other."""
    size = min(_BATCH, pairs)
    steps = max(epochs * -(-pairs // size), _FEWEST_STEPS)
    random = np.random.default_rng(seed)
    passes = [random.permutation(pairs) for _ in range(-(-steps * size // pairs))]
    return np.concatenate(passes)[: steps * size].reshape(steps, size).astype(np.int32)
