"""The report's table of what the reranker's order rests on: what shuffling a feature costs."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from evaluation.aligned_truth import AlignedTruth
from evaluation.boards import PlainTable
from pipelines.judging import Shop
from pipelines.report_reranker import Pages
from pipelines.snapshot import snapshot_day
from pipelines.workspace import Workspace
from rerank.export import Reranker
from rerank.features import Features
from rerank.importance import Importance, permutation_importance
from rerank.lists import request_inputs
from rerank.shapley import GROUPS
from rerank.validation import LEAST_EXAMINATION
from towers.tables import read_embeddings
from towers.trained import pictures_dir

Floats = npt.NDArray[np.float32]

_PAGES = 600  # whose lists are shuffled: enough for differences of 0.003, few enough for seconds
_FEATURES_SHOWN = 25


def released_reranker(workspace: Workspace, shop: Shop, vectors: Floats) -> Reranker:
    """The reranker with the features open, as it was released for the test days.

    Args:
        vectors: [N, D] product vectors of the release.
    """
    pictures = pictures_dir(workspace / "towers", workspace / "images", workspace.config.towers)
    return Reranker(
        workspace / "rerank",
        shop.data,
        shop.features,
        workspace / "towers" / "tokenizer.model",
        read_embeddings(pictures, shop.data),
        vectors,
        snapshot_day(shop.features, "test"),
    )


def importance_table(
    reranker: Reranker, shop: Shop, pages: Sequence[Pages], truth: AlignedTruth | None, examination: Floats, seed: int
) -> PlainTable:
    """What is lost in NDCG@10 on test pages when a group of features, or one feature, is shuffled across lists."""
    features, clicks, appeals = [], [], []
    width = max(1, *(int(part.shown.present.sum(1).max()) for part in pages))
    for part in pages:
        chosen = np.sort(np.random.default_rng(seed).permutation(len(part.requests))[: _PAGES // len(pages)])
        features.append(_features(reranker, shop, part, chosen, width))
        seen = part.shown.examined(examination.astype(np.float64))
        clicks.append((part.shown.labels["click"] / np.maximum(seen, LEAST_EXAMINATION))[chosen, :width])
        if truth is not None:
            appeals.append(part.appeal(truth, chosen)[:, :width])
    gains = {"clicks": np.concatenate(clicks).astype(np.float32)}
    if appeals:
        gains = {"appeal": np.concatenate(appeals).astype(np.float32), **gains}
    merged = Features(*(np.concatenate(column) for column in zip(*features, strict=True)))
    score = tf.function(reranker.score, autograph=False, reduce_retracing=True)

    groups, named = permutation_importance(score, merged, reranker.extractor.names, gains, GROUPS, seed)
    note = (
        f"{len(merged.present)} test pages; what is lost in NDCG@10 of the shown products when the values are dealt "
        f"anew across lists: first the groups, then the {_FEATURES_SHOWN} features that matter most. Clicks are "
        "corrected for position."
    )
    columns = ("features", "inputs", *(f"NDCG@10 lost, {name}" for name in gains))
    rows = tuple(_importance_cells(item) for item in (*groups, *named[:_FEATURES_SHOWN]))
    return PlainTable("importance", "What the order rests on", note, columns, rows)


def _features(
    reranker: Reranker, shop: Shop, pages: Pages, places: npt.NDArray[np.int64], width: int
) -> list[npt.NDArray[Any]]:
    """Features of what the pages at `places` showed, the first `width` of the candidates it is ranked among."""
    config = reranker.config
    numbers = pages.requests.request[places]
    inputs = request_inputs(
        shop.features, numbers, pages.embedding[places], config.history_length, config.profile_columns
    )
    profile = {name: tf.constant(inputs.pop(f"user_{name}")) for name in config.profile_columns}
    found = reranker.features(
        **{name: tf.constant(values) for name, values in inputs.items()},
        user_columns=profile,
        candidate_row=tf.constant(pages.rows[places]),
        candidate_score=tf.constant(pages.scores[places]),
    )
    # The order of what was shown is judged; what else was retrieved is there to be ranked among, and has been.
    numeric, value, grade = (part[:, :width].numpy() for part in (found.numeric, found.value, found.grade))
    return [numeric, value, found.profile.numpy(), pages.shown.present[places, :width], grade]


def _importance_cells(item: Importance) -> tuple[str | int | float, ...]:
    return (item.part, item.features, *(round(value, 4) for value in item.loss.values()))
