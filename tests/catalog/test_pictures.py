"""decode_picture: what becomes of every kind of picture file, and of what is none."""

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from catalog.pictures import MAX_PIXELS, PictureError, decode_picture


def encode(picture, format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def test_a_square_of_one_colour_stays_that_colour():
    pixels = decode_picture(encode(Image.new("RGB", (100, 100), (200, 30, 40))), 32)
    assert pixels.shape == (32, 32, 3)
    assert pixels.dtype == np.uint8
    assert (pixels == [200, 30, 40]).all()


def test_a_wide_picture_is_centred_on_white():
    # 40 x 20 fits into 16 x 16 as 16 x 8: rows 4..11 are the picture, the four above and below white.
    pixels = decode_picture(encode(Image.new("RGB", (40, 20), "black")), 16)
    assert (pixels[:4] == 255).all()
    assert (pixels[4:12] == 0).all()
    assert (pixels[12:] == 255).all()


def test_a_small_picture_is_scaled_up():
    assert (decode_picture(encode(Image.new("RGB", (1, 1), "red")), 8) == [255, 0, 0]).all()


def test_a_line_of_pixels_keeps_at_least_one_row():
    pixels = decode_picture(encode(Image.new("RGB", (1000, 1), "black")), 16)
    assert (pixels == 0).any()


def test_scaling_down_is_antialiased():
    # A one-pixel chessboard averages to middle grey; nearest-neighbour scaling would give black or white.
    board = (np.indices((256, 256)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = decode_picture(encode(Image.fromarray(board)), 16)
    assert np.abs(pixels.astype(int) - 127).max() <= 8


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_exif_orientation_is_applied(orientation):
    upright = Image.new("RGB", (32, 32), "white")
    upright.paste((0, 0, 0), (0, 0, 16, 16))  # black at the top left
    turns = {1: 0, 3: 180, 6: 90, 8: 270}[orientation]  # the camera was turned, EXIF says how to turn back
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encode(upright.rotate(turns), "JPEG", exif=exif, quality=95)
    pixels = decode_picture(data, 32).astype(int)
    assert pixels[2:14, 2:14].mean() < 20
    assert pixels[18:30, 18:30].mean() > 235
    assert pixels[2:14, 18:30].mean() > 235


def test_transparent_parts_become_white():
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture.paste((0, 0, 255, 255), (0, 0, 8, 4))
    pixels = decode_picture(encode(picture), 8)
    assert (pixels[:4] == [0, 0, 255]).all()
    assert (pixels[4:] == 255).all()


def test_half_transparent_black_is_half_grey():
    # 0 * 128/255 + 255 * 127/255 = 127
    pixels = decode_picture(encode(Image.new("RGBA", (4, 4), (0, 0, 0, 128))), 4)
    assert (np.abs(pixels.astype(int) - 127) <= 1).all()


def test_a_palette_with_a_transparent_entry_becomes_rgb_on_white():
    picture = Image.new("P", (4, 4), 0)
    picture.putpalette([10, 20, 30, 40, 50, 60])
    picture.paste(1, (0, 0, 4, 2))
    pixels = decode_picture(encode(picture, transparency=0), 4)
    assert (pixels[:2] == [40, 50, 60]).all()
    assert (pixels[2:] == 255).all()


def test_cmyk_becomes_rgb():
    pixels = decode_picture(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95), 8)
    assert np.abs(pixels.astype(int) - [255, 0, 0]).max() < 12


def test_sixteen_bit_grey_is_scaled_not_clipped():
    picture = Image.fromarray(np.full((4, 4), 32896, np.uint16))  # 32896 / 65535 * 255 = 128
    assert (decode_picture(encode(picture), 4) == 128).all()


def test_grey_and_black_and_white():
    assert (decode_picture(encode(Image.new("L", (4, 4), 77)), 4) == 77).all()
    assert (decode_picture(encode(Image.new("1", (4, 4), 1)), 4) == 255).all()


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_formats(format):
    pixels = decode_picture(encode(Image.new("RGB", (20, 20), (0, 0, 255)), format), 16)
    assert np.abs(pixels.astype(int) - [0, 0, 255]).max() < 12


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (decode_picture(data, 8) == [255, 0, 0]).all()


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    body = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", body) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("edge", [9_000, 50_000])
def test_a_bomb_is_refused_from_its_header(edge):
    assert edge * edge > MAX_PIXELS
    with pytest.raises(PictureError, match="pixels"):
        decode_picture(png_header(edge, edge), 64)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"not a picture", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (png_header(0, 4), "picture"),
        (png_header(16, 16), "does not decode"),
    ],
)
def test_what_is_no_picture_is_refused(data, message):
    with pytest.raises(PictureError, match=message):
        decode_picture(data, 16)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_file_is_refused(format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encode(Image.fromarray(noise), format)
    with pytest.raises(PictureError):
        decode_picture(data[: len(data) // 2], 16)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_file_gives_pixels_or_a_picture_error(data):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    original = bytearray(encode(Image.fromarray(noise), data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        original[data.draw(st.integers(0, len(original) - 1))] = data.draw(st.integers(0, 255))
    with suppress(PictureError):
        assert decode_picture(bytes(original), 16).shape == (16, 16, 3)


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 90), height=st.integers(1, 90), size=st.sampled_from([16, 33, 64]))
def test_any_shape_of_one_colour_shows_only_it_and_white(width, height, size):
    pixels = decode_picture(encode(Image.new("RGB", (width, height), (10, 20, 30))), size).reshape(-1, 3)
    is_white = (pixels == 255).all(axis=1)
    assert (pixels[~is_white] == [10, 20, 30]).all()
    assert not is_white.all()
