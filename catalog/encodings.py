"""Text that is not UTF-8: told by its first bytes or by what failed, with how to convert it."""

import codecs
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.errors import DataError

_SNIFFED = 1000  # bytes that tell an encoding


def not_utf8(path: Path, detail: str) -> DataError:
    """The error for a file in which bytes were met that are no UTF-8."""
    return DataError(
        f"{path} is not UTF-8 text ({detail}); convert it first, for example: iconv -f GB18030 -t UTF-8 (or -f LATIN1)"
    )


def open_text(path: Path) -> Any:
    """The bytes of a text file, unpacked where its name ends in .gz, in any case."""
    return pa.input_stream(str(path), compression="gzip" if path.name.lower().endswith(".gz") else None)


def refuse_utf16(path: Path) -> None:
    """UTF-16 is told by its first bytes: its mark, or a NUL in every other byte of Latin text.

    Raises:
        DataError: if the text, perhaps compressed, is UTF-16.
    """
    with open_text(path) as stream:
        start = stream.read(_SNIFFED)
    low, high = start[::2].count(0), start[1::2].count(0)
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "UTF-16"
    elif abs(low - high) > len(start) // 4:
        encoding = "UTF-16BE" if low > high else "UTF-16LE"
    else:
        return
    raise DataError(
        f"{path} is {encoding} text, as Excel's 'Unicode text' is; expected UTF-8. Convert it, for example: iconv "
        f"-f {encoding} -t UTF-8; or in Excel save it as 'CSV UTF-8 (comma delimited)'"
    )
