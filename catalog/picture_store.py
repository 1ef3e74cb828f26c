"""The pictures of a catalogue, decoded side by side into one array, each distinct one once."""

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numpy.lib import format as npy_format

from catalog.errors import DataError
from catalog.pictures import MAX_BYTES, PictureError, decode_picture
from catalog.progress import track
from catalog.readers import parquet_file
from catalog.table_files import is_parquet

_CHUNK = 256  # pictures handed to the threads at a time: bounds the memory that undecoded files take


@dataclass(frozen=True)
class Source:
    """Where the picture of one product is.

    Attributes:
        product: the product's row in the table of kept products.
        content: its bytes, or the name of its file.
    """

    product: int
    content: bytes | str


@dataclass(eq=False)
class Stored:
    """What became of the pictures.

    Attributes:
        image_row: [products] int32, row in images.npy; -1 for none.
        sha256: hash of the picture file, a product; "" for none.
        broken: (product, value shown, reason) of each picture that could not be used.
    """

    image_row: npt.NDArray[np.int32]
    sha256: list[str]
    broken: list[tuple[int, str, str]] = field(default_factory=list)


def holds_bytes(path: Path) -> bool:
    """Whether this file's `image` column holds the pictures themselves.

    Raises:
        DataError: when it holds neither bytes nor text.
    """
    if not is_parquet(path):
        return False
    with parquet_file(path) as file:
        names = file.schema_arrow.names
        kind = file.schema_arrow.field("image").type if "image" in names else pa.string()
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind):
        return False
    raise DataError(f"{path}: column 'image' has type {kind}; expected file names (text) or picture files (binary)")


def sources_in_parquet(path: Path, rows: npt.NDArray[np.int64], products: npt.NDArray[np.int64]) -> Iterator[Source]:
    """Stream the pictures that a Parquet file holds.

    Args:
        rows: [n] the data rows (from 1) whose product was kept, ascending; products: [n] which product each is.
    """
    start = 1
    with parquet_file(path) as file:
        for batch in file.iter_batches(batch_size=_CHUNK, columns=["image"]):
            first, last = np.searchsorted(rows, [start, start + batch.num_rows])
            cells = batch.column(0)
            for row, product in zip(rows[first:last], products[first:last], strict=True):
                content = cells[int(row) - start].as_py()
                if content is not None and content != b"":
                    yield Source(int(product), content)
            start += batch.num_rows


def read_picture_file(name: str, folder: Path) -> bytes:
    """Read the file that a product's `image` cell names, in `folder`/images or `folder`.

    Raises:
        PictureError: when there is no such file, it cannot be read, or it lies outside the folder.
    """
    if "://" in name:
        raise PictureError("the picture is a URL; expected the name of a file in the folder images")
    outside = False
    for root in (folder / "images", folder):
        try:
            home = root.resolve()
            path = (home / name).resolve()
            if not path.is_relative_to(home):
                outside = True
            elif path.is_file():
                if path.stat().st_size > MAX_BYTES:
                    raise PictureError(f"the picture has {path.stat().st_size:,} bytes; at most {MAX_BYTES:,} are read")
                return path.read_bytes()
        except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, holds a NUL, a loop of links
            raise PictureError(f"the picture's file cannot be read: {type(error).__name__}") from error
    if outside:
        raise PictureError("the picture's file lies outside the shop's folder, which is refused")
    raise PictureError("the picture's file is not there, neither in images/ nor beside the tables")


def store_pictures(
    sources: Iterable[Source], total: int, products: int, folder: Path, out: Path, size: int, workers: int
) -> Stored:
    """Decode pictures and write the distinct ones, in the order of their first product, to the .npy file `out`.

    Args:
        sources: at most one a product.
        total: about how many there are, for the progress bar.
        products: number of products.
        folder: where picture files are looked for.
        out: [pictures, size, size, 3] uint8.
        size: edge of the stored pictures.
        workers: threads; Pillow decodes without the interpreter lock.
    """
    stored = Stored(np.full(products, -1, np.int32), [""] * products)
    known: dict[str, int] = {}
    remaining = iter(track(sources, "pictures", total))
    with out.open("wb") as handle, ThreadPoolExecutor(workers) as pool:
        _write_header(handle, 0, size)
        while chunk := list(islice(remaining, _CHUNK)):
            for source, result in zip(chunk, pool.map(lambda item: _decode(item, folder, size), chunk), strict=True):
                if isinstance(result, PictureError):
                    value = source.content if isinstance(source.content, str) else f"{len(source.content)} bytes"
                    stored.broken.append((source.product, value, str(result)))
                    continue
                digest, pixels = result
                if digest not in known:
                    known[digest] = len(known)
                    handle.write(pixels.tobytes())
                stored.image_row[source.product] = known[digest]
                stored.sha256[source.product] = digest
        handle.seek(0)
        _write_header(handle, len(known), size)
    return stored


def _decode(source: Source, folder: Path, size: int) -> tuple[str, npt.NDArray[np.uint8]] | PictureError:
    try:
        content = source.content if isinstance(source.content, bytes) else read_picture_file(source.content, folder)
        return hashlib.sha256(content).hexdigest(), decode_picture(content, size)
    except PictureError as error:
        return error


def _write_header(handle: BinaryIO, pictures: int, size: int) -> None:
    """The .npy header; numpy leaves room in it for the first axis to grow, so that its length stays the same."""
    description = npy_format.dtype_to_descr(np.dtype(np.uint8))
    npy_format.write_array_header_1_0(
        handle, {"descr": description, "fortran_order": False, "shape": (pictures, size, size, 3)}
    )
