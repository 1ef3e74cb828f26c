"""Train the reranker on what pages showed and retrieval returned, in the slice after the towers'.

tandem run --config pipelines/configs/demo.yaml --until rerank
"""

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/, features/, images/, candidates/ -> rerank/."""
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
        workspace / "rerank",
    )
