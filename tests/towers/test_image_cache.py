"""The embedding cache computes what is new, once, and survives a kill and a broken file."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import towers.image_cache
from towers.image_cache import embed_pictures, weights_fingerprint

SIDE = 2


def make_network(scale: float = 1.0) -> keras.Model:
    """Pixels -> the scaled mean of each channel."""
    inputs = keras.Input((SIDE, SIDE, 3))
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Model(inputs, dense(keras.layers.GlobalAveragePooling2D()(inputs)))
    dense.set_weights([np.eye(3) * scale])
    return model


def pictures(*levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Plain pictures, one a level of grey, and their hashes."""
    images = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in levels])
    return images, np.asarray([f"{level:064x}"[::-1] for level in levels], dtype="U64")


class Reads:
    """Pictures that note which rows were read."""

    def __init__(self, images: np.ndarray, fail_on: int = -1) -> None:
        self.images, self.rows, self.fail_on = images, [], fail_on

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        if self.fail_on in rows:
            raise KeyboardInterrupt
        self.rows += rows.tolist()
        return self.images[rows]


def embed(
    levels: tuple[int, ...], folder: Path, scale: float = 1.0, fail_on: int = -1
) -> tuple[list[float], list[int]]:
    images, hashes = pictures(*levels)
    reads: Any = Reads(images, fail_on)
    result = embed_pictures(make_network(scale), reads, hashes, folder, batch=2, chunk=3)
    assert result.dtype == np.float16
    assert result.shape == (len(levels), 3)
    return result[:, 0].tolist(), reads.rows


def test_only_new_pictures_are_embedded(tmp_path: Path) -> None:
    assert embed((5, 1, 9, 4), tmp_path) == ([5, 1, 9, 4], [0, 1, 2, 3])
    assert embed((5, 1, 9, 4), tmp_path) == ([5, 1, 9, 4], [])
    assert embed((9, 7, 5), tmp_path) == ([9, 7, 5], [1])  # another order, one gone, one new
    assert embed((7, 4, 1), tmp_path) == ([7, 4, 1], [])


def test_other_weights_share_nothing_and_old_ones_go(tmp_path: Path) -> None:
    embed((5, 1), tmp_path)
    assert embed((5, 1), tmp_path, scale=2.0) == ([10, 2], [0, 1])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_killed_run_goes_on_behind_the_last_whole_file(tmp_path: Path) -> None:
    levels = (1, 2, 3, 4, 5, 6, 7)
    with pytest.raises(KeyboardInterrupt):
        embed(levels, tmp_path, fail_on=4)
    assert embed(levels, tmp_path) == ([1, 2, 3, 4, 5, 6, 7], [3, 4, 5, 6])


def test_a_broken_file_is_made_again(tmp_path: Path) -> None:
    embed((1, 2, 3, 4), tmp_path)
    first = min(tmp_path.rglob("*.npz"))
    first.write_bytes(first.read_bytes()[:40])
    assert embed((1, 2, 3, 4), tmp_path) == ([1, 2, 3, 4], [0, 1, 2])
    assert embed((1, 2, 3, 4), tmp_path) == ([1, 2, 3, 4], [])


def test_the_same_picture_twice(tmp_path: Path) -> None:
    assert embed((3, 3, 8), tmp_path)[0] == [3, 3, 8]
    assert embed((8, 3, 3, 3), tmp_path) == ([8, 3, 3, 3], [])


def test_no_pictures(tmp_path: Path) -> None:
    images, hashes = np.empty((0, SIDE, SIDE, 3), np.uint8), np.empty(0, "U64")
    assert embed_pictures(make_network(), images, hashes, tmp_path / "none").shape == (0, 3)


def test_fingerprint_is_that_of_weights_and_shapes() -> None:
    assert weights_fingerprint(make_network()) == weights_fingerprint(make_network())
    assert weights_fingerprint(make_network()) != weights_fingerprint(make_network(2.0))
    assert towers.image_cache.picture_keys(np.asarray(["ab" * 32])).dtype == "S32"
