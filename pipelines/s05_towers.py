"""Train the query tower and the product tower on the first time slice.

tandem run --config pipelines/configs/demo.yaml --until towers
tensorboard --logdir runs/demo/towers/tensorboard
"""

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/, features/, images/ -> towers/."""
    from towers.train import train

    shop = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    train(shop, features, workspace / "images", workspace.config.towers, workspace / "towers")
