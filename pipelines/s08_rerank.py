"""Train the reranker on what pages showed and retrieval returned, in the slice after the towers'.

tandem run --config pipelines/configs/demo.yaml --until rerank
"""

from collections.abc import Callable
from pathlib import Path

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/, features/, images/, candidates/ -> rerank/."""
    train_into(workspace, workspace / "rerank")


def train_into(workspace: Workspace, out_dir: Path, after_epoch: Callable[[list[float]], None] | None = None) -> None:
    """Train the workspace's reranker into any folder; `after_epoch` is called with the NDCG of each epoch so far."""
    from rerank.train import train
    from towers.tables import read_embeddings
    from towers.trained import pictures_dir

    shop = ShopData.load(workspace / "tables")
    pictures = pictures_dir(workspace / "towers", workspace / "images", workspace.config.towers)
    train(
        shop,
        FeatureStore.load(workspace / "features"),
        workspace / "towers" / "tokenizer.model",
        read_embeddings(pictures, shop),
        workspace / "candidates",
        workspace.config.rerank,
        out_dir,
        after_epoch,
    )
