"""What retrieval returns for the requests that the reranker learns from and is stopped by.

    tandem run --config pipelines/configs/demo.yaml --until candidates

The towers never saw these requests, so the scores are as honest as in serving. Product vectors are those of the morning
on which each slice starts; the index is exact, so that no approximation is learned from.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from catalog.feature_store import FeatureStore
from catalog.progress import console, track
from catalog.schema import ShopData
from pipelines.config import PipelineConfig
from pipelines.snapshot import launched_rows
from pipelines.workspace import Workspace

if TYPE_CHECKING:
    from rerank.candidates import Candidates
    from towers.trained import Towers

_RERANK, _VALIDATION = 1, 2
_CHUNK = 256  # queries at once, at most
_CELLS = 64_000_000  # queries times products at once: 256 MB of scores, and the same twice for their order


def run(workspace: Workspace) -> None:
    """towers/ -> candidates/."""
    from pipelines.questions import slice_requests
    from towers.trained import load

    shop = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    towers = load(workspace / "towers", shop, features, workspace / "images")
    settings = workspace.config.rerank
    parts = {
        "rerank": slice_requests(features, _RERANK, settings.max_requests, None),
        "validation": slice_requests(features, _VALIDATION, settings.max_validation_requests, settings.seed),
    }
    for (name, requests), code in zip(parts.items(), (_RERANK, _VALIDATION), strict=True):
        day = features.slices.ranges[code][0]
        launched = launched_rows(features, day)
        found = retrieve(towers, shop, features, requests, day, launched, workspace.config, name)
        found.save(workspace / "candidates" / name)
        shape = f"{len(requests):,} requests x {found.rows.shape[1]} of {len(launched):,} products"
        console.print(f"candidates, {name}: {shape}")


def retrieve(
    towers: "Towers",
    shop: ShopData,
    features: FeatureStore,
    requests: npt.NDArray[np.int32],
    day: int,
    among: npt.NDArray[np.int32],
    config: PipelineConfig,
    name: str,
) -> "Candidates":
    """What retrieval returns for logged requests, by an exact index and by words.

    Args:
        day: whose morning's product vectors are searched. among: rows of the products that are in the index.
        name: of the progress.
    """
    from pipelines.questions import request_questions
    from rerank.candidates import Candidates

    embeddings = towers.product_embeddings(day)
    questions = request_questions(features, requests, towers.config.history.length)
    queries = towers.query_embeddings(questions)
    rows, scores = nearest(queries, embeddings[among], config.release.candidates, f"candidates, {name}")
    rows = np.where(rows < 0, np.int32(-1), among[rows])
    if config.release.word_candidates:
        rows, scores = _with_words(shop, among, config, questions.texts, queries, embeddings, rows, scores)
    return Candidates(requests, rows, scores, queries, embeddings)


def _with_words(
    shop: ShopData,
    among: npt.NDArray[np.int32],
    config: PipelineConfig,
    texts: npt.NDArray[np.object_],
    queries: npt.NDArray[np.float32],
    embeddings: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """What a release's `WordCandidates` makes of the nearest products; of requests that have words."""
    import tensorflow as tf

    from rerank.word_index import WordCandidates, WordIndex

    index = WordIndex.build(shop, among, config.rerank.lexical, config.release.word_candidates)
    absent = np.zeros((1, embeddings.shape[1]), np.float32)
    merged = tf.function(
        WordCandidates(index, tf.Variable(np.concatenate([embeddings, absent]), trainable=False)),
        autograph=False,
        reduce_retracing=True,
    )
    rows, scores = rows.copy(), scores.copy()
    asked = np.flatnonzero(texts != "")
    for start in range(0, len(asked), _CHUNK):
        part = asked[start : start + _CHUNK]
        falling = np.where(rows[part] < 0, np.float32(-np.inf), scores[part])
        found, found_scores = merged(
            tf.constant(texts[part], tf.string),
            tf.constant(queries[part]),
            tf.constant(rows[part]),
            tf.constant(falling),
        )
        order = np.argsort(-found_scores.numpy(), axis=1, kind="stable")
        rows[part] = np.take_along_axis(found.numpy(), order, axis=1)
        scores[part] = np.where(rows[part] < 0, 0.0, np.take_along_axis(found_scores.numpy(), order, axis=1))
    return rows, scores


def settings(config: PipelineConfig) -> list[Any]:
    """The part of the configuration that candidates depend on."""
    rerank = config.rerank
    lexical = rerank.lexical.model_dump(mode="json")
    words = {name: lexical[name] for name in ("query_words", "title_words", "attribute_words", "unspaced_words")}
    counts = [config.release.candidates, config.release.word_candidates]
    return [*counts, words, rerank.max_requests, rerank.max_validation_requests, rerank.seed]


def nearest(
    queries: npt.NDArray[np.float32], items: npt.NDArray[np.float32], k: int, description: str
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Exact search by inner product.

    Args:
        queries: [R, D]. items: [n, D]. k: how many.
        description: of the progress.

    Returns:
        [R, k] int32 item numbers, best first, -1 where there are fewer than k items; [R, k] float32 scores, then 0.
    """
    width = min(k, len(items))
    rows = np.full((len(queries), k), -1, np.int32)
    scores = np.zeros((len(queries), k), np.float32)
    size = max(1, min(_CHUNK, _CELLS // max(len(items), 1)))
    for start in track(range(0, len(queries), size), description):
        part = slice(start, start + size)
        found = queries[part] @ items.T
        best = np.argpartition(-found, width - 1, axis=1)[:, :width]
        values = np.take_along_axis(found, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[part, :width] = np.take_along_axis(best, order, axis=1)
        scores[part, :width] = np.take_along_axis(values, order, axis=1)
    return rows, scores
