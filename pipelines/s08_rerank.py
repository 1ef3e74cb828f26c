"""Train the reranker on what pages showed and retrieval returned, in the slice after the towers'.

tandem run --config pipelines/configs/demo.yaml --until rerank
"""

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/, features/, candidates/ -> rerank/."""
    from rerank.train import train

    train(
        ShopData.load(workspace / "tables"),
        FeatureStore.load(workspace / "features"),
        workspace / "towers" / "tokenizer.model",
        workspace / "candidates",
        workspace.config.rerank,
        workspace / "rerank",
    )
