"""Train the image network where there are no weights for it, and embed each picture once.

tandem run --config pipelines/configs/demo.yaml --until images
"""

from catalog.schema import ShopData
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/ -> images/."""
    from towers.image import prepare_images

    prepare_images(ShopData.load(workspace / "tables"), workspace.config.images, workspace / "images")
