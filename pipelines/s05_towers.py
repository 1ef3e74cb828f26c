"""Train the query tower and the product tower on the first time slice.

tandem run --config pipelines/configs/demo.yaml --until towers
tensorboard --logdir runs/demo/towers/tensorboard
"""

from collections.abc import Callable
from pathlib import Path

from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/, features/, images/ -> towers/."""
    train_into(workspace, workspace / "towers")


def train_into(workspace: Workspace, out_dir: Path, after_epoch: Callable[[list[float]], None] | None = None) -> None:
    """Train the workspace's towers into any folder; `after_epoch` is called with the recall of each epoch so far."""
    from towers.train import train

    shop = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    train(shop, features, workspace / "images", workspace.config.towers, out_dir, after_epoch)
