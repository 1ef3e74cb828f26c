"""Train the picture network together with the product tower."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.files import write_npy
from catalog.schema import ShopData
from towers.checkpoints import save_network

_CHUNK = 256


class PictureTraining:
    """The pictures and their network, for a training that changes the network.

    Args:
        shop: the pictures.
        images_dir: what `prepare_images` wrote: the network to start from.

    Attributes:
        backbone: pixels [batch, S, S, 3] -> [batch, E].
        pixels: [M + 1, S, S, 3] uint8; the last one, white, stands for no picture.
    """

    def __init__(self, shop: ShopData, images_dir: Path) -> None:
        from towers.image import load_backbone

        if not len(shop.images):
            raise DataError("finetune_images is set, but no product of this shop has a picture; unset it")
        self.backbone: keras.Model = load_backbone(images_dir)
        white = np.full((1, *shop.images.shape[1:]), 255, np.uint8)
        self.pixels = np.concatenate([np.asarray(shop.images), white])

    def embed(self, backbone: Any) -> npt.NDArray[np.float16]:
        """[M, E] float16 embeddings of every picture with the network's present weights."""
        starts = range(0, len(self.pixels) - 1, _CHUNK)
        chunks = [backbone.predict_on_batch(self.pixels[at : min(at + _CHUNK, len(self.pixels) - 1)]) for at in starts]
        return np.concatenate(chunks).astype(np.float16)

    def write(self, backbone: keras.Model, folder: Path) -> None:
        """Write the trained network and its embeddings, as `prepare_images` does."""
        save_network(backbone, folder / "backbone.keras")
        write_npy(folder / "embeddings.npy", self.embed(backbone))
