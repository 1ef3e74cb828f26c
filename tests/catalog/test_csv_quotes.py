"""Quotes that swallow rows are told from texts of several lines."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.csv_quotes import seal, sealed_blocks, unseal
from catalog.errors import DataError


def sealed_rows(text: str, fields: int, block: int = 1000) -> str:
    """The text as the parser gets it, with [n] for each seal of n fields too many."""
    blocks = sealed_blocks(io.BytesIO(text.encode()), Path("t.csv"), fields, block)
    return b"".join(blocks).decode().replace("\0seal\0" + "," * fields + "\0seal\0", f"[{fields}]")


def test_a_closing_quote_that_text_follows_seals_the_row_of_its_cell() -> None:
    assert sealed_rows('a,b\n1,"x\n2,y" z\n3,w\n', 2) == 'a,b\n1,"x\n2,y"[2] z\n3,w\n'


def test_a_cell_whose_lines_all_read_as_rows_seals_its_row() -> None:
    # Two lines after the first, three separators each: six, and five are enough.
    text = 'a,b,c,d\n1,"x,1,1\n2,y,1,1\n3,z",1,1\n4,w,1,1\n'
    assert sealed_rows(text, 4) == 'a,b,c,d\n1,"x,1,1\n2,y,1,1\n3,z"[4],1,1\n4,w,1,1\n'


def test_a_cell_that_the_file_does_not_close_seals_its_row() -> None:
    text, end = seal(b'a,b\n1,"x\n2,y\n', 2, is_end=True)
    assert end == len(text)
    assert text == b'a,b\n1,"x\n2,y\0seal\0",,\0seal\0\n'


@pytest.mark.parametrize(
    "text",
    [
        'a,b,c\n1,"x, y, z\n2, y, z\n3, y, z",w\n',  # commas of a text have a space behind them
        'a,b,c\n1,"x\n2,y",w\n',  # too few separators to tell
        'a,b,c,d,e,f\n1,"x\ny,z\n",w,1,1,1\n',  # a line with other separators than the header
        'a,b\n1,"x ""y""\n""z"""\n',
        'a,b\n1,"x\ny"  \n',  # only spaces follow
        'a,b\n1,"x" y\n2,5" z\n',  # one line each: nothing is swallowed
        'a,b\n1,"x',
        'a,b\n1,"x\n',
    ],
)
def test_texts_of_several_lines_and_quotes_that_swallow_nothing_stay_as_they_are(text: str) -> None:
    assert sealed_rows(text, text.split("\n")[0].count(",") + 1) == text


def test_a_sealed_row_gives_its_own_text_back() -> None:
    assert unseal('1,"x\n2,y"\0seal\0,,\0seal\0 z') == ('1,"x\n2,y" z', True)
    assert unseal("1,x,y") == ("1,x,y", False)


@pytest.mark.parametrize("block", [24, 33, 1000])
def test_the_size_of_the_blocks_changes_nothing(block: int) -> None:
    text = 'a,b\n1,"x\n2,y" z\n3,"w\nv"\n' * 9
    assert sealed_rows(text, 2, block) == 'a,b\n1,"x\n2,y"[2] z\n3,"w\nv"\n' * 9


def test_a_row_longer_than_a_block_is_an_error_that_shows_its_start() -> None:
    with pytest.raises(DataError, match=r"t\.csv: the row that begins with '1,\"x.* more than 50 bytes"):
        sealed_rows('a,b\n1,"x\n' + "2,y\n" * 50, 2, block=50)


@settings(max_examples=100, deadline=None)
@given(cells=st.lists(st.text('x",\n ', max_size=6), min_size=1, max_size=20), block=st.sampled_from([40, 1000]))
def test_what_a_csv_writer_writes_stays_as_it_is(cells: list[str], block: int) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([cell, "1"] for cell in cells)
    assert sealed_rows(text.getvalue(), 2, block) == text.getvalue()
