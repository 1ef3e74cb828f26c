"""Embeddings of pictures, kept by what is in the picture and by which network made them."""

import hashlib
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.files import atomic_path
from catalog.progress import console, track

_KEY_BYTES = 32  # 128 bits of a SHA-256 in hex


def picture_keys(hashes: npt.NDArray[np.str_]) -> npt.NDArray[np.bytes_]:
    """[M] SHA-256 in hex -> [M] S32, their first 128 bits."""
    return hashes.astype(f"S{_KEY_BYTES}")


def weights_fingerprint(model: keras.Model) -> str:
    """SHA-256 of a network's input and output shapes and all its weights, as hex."""
    digest = hashlib.sha256(repr((model.input_shape, model.output_shape)).encode())
    for variable in model.weights:
        array = np.asarray(variable)
        digest.update(repr((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def embed_pictures(
    model: keras.Model,
    images: npt.NDArray[np.uint8],
    hashes: npt.NDArray[np.str_],
    cache_dir: Path,
    batch: int = 256,
    chunk: int = 4096,
) -> npt.NDArray[np.float16]:
    """Embed the pictures that the cache does not hold, and give the embeddings of all.

    The cache is a folder a network with a file every `chunk` new pictures; an interrupted run goes on behind the last
    whole file. Folders of other networks are removed at the end.

    Args:
        model: pixels [batch, S, S, 3] -> [batch, dim].
        images: [M, S, S, 3] uint8, memory-mapped or not; only rows that are new are read.
        hashes: [M] SHA-256 of each picture in hex.
        cache_dir: the cache's folder.

    Returns:
        [M, dim] float16.
    """
    keys = picture_keys(hashes)
    folder = cache_dir / weights_fingerprint(model)[:16]
    result = np.zeros((len(keys), int(model.output_shape[-1])), np.float16)
    missing = _take_known(folder, keys, result)
    if len(missing):
        compute = tf.function(
            lambda pixels: model(tf.cast(pixels, tf.float32), training=False),
            input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.uint8)],
            autograph=False,
        )
        first = _next_number(folder)
        blocks = [missing[at : at + chunk] for at in range(0, len(missing), chunk)]
        pieces = (
            (number, block, at) for number, block in enumerate(blocks, first) for at in range(0, len(block), batch)
        )
        total = sum(-(-len(block) // batch) for block in blocks)
        for number, block, at in track(pieces, "embedding pictures", total):
            rows = block[at : at + batch]
            result[rows] = compute(images[rows]).numpy()
            if at + batch >= len(block):
                with atomic_path(folder / f"{number:06d}.npz") as temporary, temporary.open("wb") as handle:
                    np.savez(handle, keys=keys[block], embeddings=result[block])
    for other in cache_dir.iterdir() if cache_dir.exists() else ():
        if other.is_dir() and other != folder:
            shutil.rmtree(other)
    return result


def _take_known(folder: Path, keys: npt.NDArray[np.bytes_], result: npt.NDArray[np.float16]) -> npt.NDArray[np.int64]:
    """Fill the rows of `result` that the cache holds; the rows it does not hold."""
    missing = np.ones(len(keys), np.bool_)
    order = np.argsort(keys, kind="stable")
    for path in sorted(folder.glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as stored:
                cached, embeddings = stored["keys"], stored["embeddings"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            console.print(
                f"[yellow]{path}: not a readable cache file ({error}); its pictures are embedded again[/yellow]"
            )
            path.unlink()
            continue
        by_key = np.argsort(cached, kind="stable")
        at = np.searchsorted(cached, keys[order], sorter=by_key).clip(max=len(cached) - 1)
        found = cached[by_key[at]] == keys[order]
        result[order[found]] = embeddings[by_key[at[found]]]
        missing[order[found]] = False
    return np.flatnonzero(missing)


def _next_number(folder: Path) -> int:
    return max((int(path.stem) for path in folder.glob("*.npz")), default=-1) + 1
