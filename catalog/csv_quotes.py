"""Quotes in CSV text that swallow the rows after them: such a row is sealed, so that the parser refuses it whole.

A quote at the start of a cell opens it, and everything up to the next single quote is the cell, line ends as well.
Where the first quote was only text (`"red dress`), the cell runs on over other rows, and the parser sees nothing wrong.
Three signs tell such a cell from a text of several lines:

- its closing quote is followed by text, not by a separator or a line end, as RFC 4180 has it;
- each line that it touches has as many separators as the header, none of them followed by a space as commas of a text
  are, and the lines after its first hold `_ENOUGH` of them or more;
- the file ends before it is closed.
"""

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError

_ENOUGH = 5
"""Separators after the first line of a cell that no text has by chance; below, a cell of few short lines is a text."""

_MARK = b"\0seal\0"
_SEAL = re.compile("\0seal\0.*?\0seal\0")
_JUNK = re.compile(rb"[ \t]*[^ \t,\r\n]")  # what may not follow a closing quote
_QUOTE, _COMMA, _SPACE, _NEWLINE, _RETURN = b'", \n\r'
_SHOWN = 100  # bytes of a row in an error

Places = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def sealed_blocks(stream: Any, path: Path, fields: int, block: int) -> Iterator[bytes]:
    """The text of a CSV file in blocks of whole rows, in which a row that swallows others has too many fields.

    Blocks of blank lines are left out.

    Args:
        stream: the text, as bytes. path: for errors.
        fields: of the header.
        block: bytes at a time; one row must fit in it.

    Raises:
        DataError: when one row is longer.
    """
    rest = b""
    text = stream.read(len(codecs.BOM_UTF8)).removeprefix(codecs.BOM_UTF8) + stream.read(block)
    while text:
        following = stream.read(block)
        text, end = seal(rest + text, fields, is_end=not following)
        if whole := text[:end].lstrip(b"\r\n"):
            yield whole
        rest, text = text[end:], following
        if len(rest) > block:
            raise DataError(
                f"{path}: the row that begins with {rest[:_SHOWN].decode('utf-8', 'replace')!r} has more than "
                f"{block:,} bytes: a quote in it is never closed? Close it, or double the quotes inside cells"
            )


def unseal(row: str) -> tuple[str, bool]:
    """The text of a row as it stood in the file, and whether it was sealed."""
    text, seals = _SEAL.subn("", row)
    return text, seals > 0


def seal(text: bytes, fields: int, is_end: bool) -> tuple[bytes, int]:
    """Seal the rows of `text` that swallow others.

    Args:
        text: begins with a row.
        fields: of the header.
        is_end: whether nothing comes after `text`; else a cell that is not closed in it is left for the next one.

    Returns:
        The text, and where its last whole row ends.
    """
    newline = b"\n" if b"\n" in text else b"\r"
    if b'"' not in text:
        return text, len(text) if is_end else text.rfind(newline) + 1
    array = np.frombuffer(text, np.uint8)
    starts, ends = _quoted_cells(array)
    lines = np.flatnonzero(array == newline[0])
    if is_end:
        whole = len(text)
    else:
        outside = lines[np.searchsorted(starts, lines) == np.searchsorted(ends, lines)]
        whole = int(outside[-1]) + 1 if len(outside) else 0
    closed = starts[: len(ends)]
    first, last = np.searchsorted(lines, closed), np.searchsorted(lines, ends)
    many = np.flatnonzero((last > first) & (ends < whole))
    sealed: list[tuple[int, bytes]] = []
    if len(many):
        rows = _read_as_rows(array, lines, closed[many], ends[many], fields)
        junk = np.array([_JUNK.match(text, end + 1) is not None for end in ends[many].tolist()])
        sealed = [(end + 1, _MARK + b"," * fields + _MARK) for end in ends[many][rows | junk].tolist()]
    if is_end and len(starts) > len(ends):
        end = len(text.rstrip(b"\r\n"))
        if newline in text[starts[-1] : end]:
            sealed.append((end, _MARK + b'"' + b"," * fields + _MARK))
    return _inserted(text, sealed), whole + sum(len(item) for _, item in sealed)


def _quoted_cells(text: Bytes) -> tuple[Places, Places]:
    """Where the quotes stand that open a cell and those that close one; the last cell may lack the second.

    Quotes side by side are one run. An even run leaves everything as it is: an empty cell, or quotes of a cell's text.
    An odd run closes the cell that is open; if none is, it opens one after a separator, and is text elsewhere.
    """
    quotes = np.flatnonzero(text == _QUOTE)
    first = quotes[np.diff(quotes, prepend=-2) > 1]
    last = quotes[np.diff(quotes, append=len(text) + 1) > 1]
    odd = (last - first) % 2 == 0
    first, last = first[odd], last[odd]
    before = np.where(first == 0, _NEWLINE, text[first - 1])
    may_open = np.isin(before, [_COMMA, _NEWLINE, _RETURN])
    # After a run that cannot open a cell none is open; each of the others since then changed that.
    changes = np.cumsum(may_open)
    is_open = (changes - np.maximum.accumulate(np.where(may_open, 0, changes))) % 2 == 1
    was_open = np.concatenate([[False], is_open])[: len(first)]
    return first[is_open & ~was_open], last[was_open & ~is_open]


def _read_as_rows(text: Bytes, lines: Places, starts: Places, ends: Places, fields: int) -> npt.NDArray[np.bool_]:
    """[n] whether every line that a cell of several lines touches reads as a row of its own."""
    commas = np.flatnonzero(text == _COMMA)
    separators = np.diff(np.searchsorted(commas, lines), prepend=0, append=len(commas))
    other = np.concatenate([[0], np.cumsum(separators != fields - 1)])
    spaced = commas[text[np.minimum(commas + 1, len(text) - 1)] == _SPACE]
    first, last = np.searchsorted(lines, starts), np.searchsorted(lines, ends)
    in_text = np.searchsorted(spaced, ends) > np.searchsorted(spaced, starts)
    return (other[last + 1] == other[first]) & ~in_text & ((last - first) * (fields - 1) >= _ENOUGH)


def _inserted(text: bytes, items: list[tuple[int, bytes]]) -> bytes:
    """`text` with each item at its place, places rising."""
    parts, done = [], 0
    for place, item in items:
        parts += [text[done:place], item]
        done = place
    return b"".join([*parts, text[done:]])
