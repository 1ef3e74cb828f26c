"""What retrieval returns for the requests that the reranker learns from and is stopped by.

    tandem run --config pipelines/configs/demo.yaml --until candidates

The towers never saw these requests, so the scores are as honest as in serving. Product vectors are those of the morning
on which each slice starts; the index is exact, so that no approximation is learned from.
"""

from typing import TYPE_CHECKING

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
        found = retrieve(towers, features, requests, day, launched, workspace.config.release.candidates, name)
        found.save(workspace / "candidates" / name)
        shape = f"{len(requests):,} requests x {found.rows.shape[1]} of {len(launched):,} products"
        console.print(f"candidates, {name}: {shape}")


def retrieve(
    towers: "Towers",
    features: FeatureStore,
    requests: npt.NDArray[np.int32],
    day: int,
    among: npt.NDArray[np.int32],
    count: int,
    name: str,
) -> "Candidates":
    """What exact retrieval returns for logged requests.

    Args:
        day: whose morning's product vectors are searched. among: rows of the products that are in the index.
        count: C. name: of the progress.
    """
    from pipelines.questions import request_questions
    from rerank.candidates import Candidates

    embeddings = towers.product_embeddings(day)
    queries = towers.query_embeddings(request_questions(features, requests, towers.config.history.length))
    rows, scores = nearest(queries, embeddings[among], count, f"candidates, {name}")
    return Candidates(requests, np.where(rows < 0, np.int32(-1), among[rows]), scores, queries, embeddings)


def settings(config: PipelineConfig) -> list[int]:
    """The part of the configuration that candidates depend on."""
    rerank = config.rerank
    return [config.release.candidates, rerank.max_requests, rerank.max_validation_requests, rerank.seed]


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
