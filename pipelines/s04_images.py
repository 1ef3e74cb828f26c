"""Train the image network where there are no weights for it, and embed each picture once.

tandem run --config pipelines/configs/demo.yaml --until images
"""

from pathlib import Path
from typing import Any

from catalog.files import fingerprint, read_json, write_json
from catalog.schema import ShopData
from pipelines.config import PipelineConfig
from pipelines.fingerprints import code_digest
from pipelines.workspace import Workspace
from towers.image_config import ImageConfig


def run(workspace: Workspace) -> None:
    """tables/ -> images/."""
    shop = ShopData.load(workspace / "tables")
    prepare_into(workspace / "images", shop, workspace.config.images, code_digest(__name__))


def prepare_into(folder: Path, shop: ShopData, config: ImageConfig, code: str) -> None:
    """Prepare a shop's pictures in any folder; `code` is this stage's digest, and what other code left is not kept."""
    from towers.image import forget_images, prepare_images

    record = folder / "code.json"
    if not record.exists() or read_json(record) != {"code": code}:
        forget_images(folder)
        write_json(record, {"code": code})
    prepare_images(shop, config, folder)


def forget(workspace: Workspace) -> None:
    """Keep no network and no embeddings."""
    from towers.image import forget_images

    forget_images(workspace / "images")


def settings(config: PipelineConfig) -> list[Any]:
    """The part of the configuration that pictures depend on, with the content of the weights where they are a file."""
    weights = Path(config.images.weights)
    return [config.images, fingerprint(weights) if weights.is_file() else ""]
