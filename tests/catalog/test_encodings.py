import gzip
from pathlib import Path

import pytest

from catalog.encodings import refuse_utf16
from catalog.errors import DataError

TEXT = "product_id,title\np1,Red dress\n"


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (TEXT.encode("utf-16"), "UTF-16 text"),  # with its mark
        (TEXT.encode("utf-16-le"), "UTF-16LE text"),
        (TEXT.encode("utf-16-be"), "UTF-16BE text"),
    ],
)
@pytest.mark.parametrize("name", ["products.csv", "products.csv.gz"])
def test_utf_16_is_told_by_its_first_bytes(tmp_path: Path, name: str, data: bytes, named: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    with pytest.raises(DataError, match=f"{named}.*iconv -f {named.split()[0]} -t UTF-8"):
        refuse_utf16(path)


@pytest.mark.parametrize("text", [TEXT, "\ufeff" + TEXT, "p1,红色连衣裙\n", ""])
def test_other_text_passes(tmp_path: Path, text: str) -> None:
    path = tmp_path / "products.csv"
    path.write_text(text, encoding="utf-8")
    refuse_utf16(path)
