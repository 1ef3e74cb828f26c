"""Pictures as the shop stores them -> the square uint8 pixels that every model sees, in training and in serving."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from catalog.errors import DataError

MAX_PIXELS = 64_000_000
"""Largest picture that is decoded. A medium-format camera makes 50 megapixels; a decompression bomb makes billions."""

MAX_BYTES = 64 * 1024 * 1024
"""Largest file that is looked at."""

Image.init()  # registers the formats beyond the common few
FORMATS = tuple(name for name in ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF") if name in Image.OPEN)
"""What is decoded. Pillow knows more, some of which run an interpreter (EPS): nothing else is tried."""

_SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class PictureError(DataError):
    """Bytes that are not a picture we decode."""


def decode_picture(data: bytes, size: int) -> npt.NDArray[np.uint8]:
    """Decode a picture file into a square.

    EXIF orientation is applied; alpha, palette, grey, CMYK and 16-bit pictures become RGB, transparent parts on white;
    the picture is scaled (antialiased) to fit and centred, the rest is white.

    Args:
        data: the bytes of a JPEG, PNG, WebP, GIF (its first frame), BMP, TIFF or AVIF file.
        size: edge of the result, in pixels.

    Returns:
        [size, size, 3] uint8, RGB.

    Raises:
        PictureError: if the bytes are empty, truncated, no picture, or larger than MAX_BYTES or MAX_PIXELS. The number
            of pixels is read from the header, before anything is decompressed.
    """
    if not data:
        raise PictureError("the picture is empty (0 bytes)")
    if len(data) > MAX_BYTES:
        raise PictureError(f"the picture has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _refuse_sizes(picture)
            picture.draft(None, (2 * size, 2 * size))  # decodes a JPEG at 1/2, 1/4 or 1/8 where that is enough
            return _letterbox(_to_rgb(ImageOps.exif_transpose(picture)), size)
    except PictureError:
        raise
    except UnidentifiedImageError as error:
        raise PictureError(f"not a picture in one of the formats {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise PictureError(f"the picture has more than {MAX_PIXELS:,} pixels") from error
    except Exception as error:  # Pillow's plugins raise whatever a broken file leads them to
        what = str(error).split(" (")[0] or type(error).__name__  # without the byte counts: one reason, not thousands
        raise PictureError(f"the picture does not decode: {what}") from error


def _refuse_sizes(picture: Image.Image) -> None:
    width, height = picture.size
    if width < 1 or height < 1:
        raise PictureError(f"the picture is {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise PictureError(f"the picture has {width:,} x {height:,} pixels; at most {MAX_PIXELS:,} are decoded")


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in _SIXTEEN_BIT or picture.mode == "F":
        picture = _to_eight_bit(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture.convert("RGB")


def _to_eight_bit(picture: Image.Image) -> Image.Image:
    """Scale 16-bit and float grey to 0..255; Pillow's own conversion clips at 255."""
    values = np.nan_to_num(np.asarray(picture, dtype=np.float64))
    if picture.mode == "F":
        full = 1.0 if values.max() <= 1.0 else 255.0
    else:
        full = 255.0 if picture.mode == "I" and values.max() <= 255.0 else 65535.0
    return Image.fromarray(np.clip(np.rint(values * (255.0 / full)), 0, 255).astype(np.uint8))


def _letterbox(picture: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    scale = size / max(picture.size)
    width, height = (max(1, round(edge * scale)) for edge in picture.size)
    if (width, height) != picture.size:
        picture = picture.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)
    square = Image.new("RGB", (size, size), "white")
    square.paste(picture, ((size - width) // 2, (size - height) // 2))
    return np.array(square, dtype=np.uint8)
