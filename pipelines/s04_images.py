"""Train the image network where there are no weights for it, and embed each picture once.

tandem run --config pipelines/configs/demo.yaml --until images
"""

from pathlib import Path
from typing import Any

from catalog.files import fingerprint
from catalog.schema import ShopData
from pipelines.config import PipelineConfig
from pipelines.workspace import Workspace


def run(workspace: Workspace) -> None:
    """tables/ -> images/."""
    from towers.image import prepare_images

    prepare_images(ShopData.load(workspace / "tables"), workspace.config.images, workspace / "images")


def settings(config: PipelineConfig) -> list[Any]:
    """The part of the configuration that pictures depend on, with the content of the weights where they are a file."""
    weights = Path(config.images.weights)
    return [config.images, fingerprint(weights) if weights.is_file() else ""]
