import errno
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.schema import KINDS
from catalog.snapshots import counter_names, snapshots_bytes, write_snapshots

CLICK = KINDS.index("click")


def counts(rows: list[tuple[int, int, int, int]]) -> pa.Table:
    columns = zip(*sorted(rows), strict=True) if rows else [[]] * 4
    return pa.table(
        {
            name: pa.array(list(values), pa.int32())
            for name, values in zip(("day", "product", "kind", "events"), columns, strict=True)
        }
    )


def test_names_go_by_window_and_then_by_kind() -> None:
    names = counter_names((7, 30))
    assert names[:3] == ("impression_7d", "view_7d", "click_7d")
    assert names[6] == "impression_30d"
    assert names[-1] == "purchase_all"
    assert len(names) == 18


def test_windows_worked_by_hand(tmp_path: Path) -> None:
    # Product 1 is clicked 2, 0, 3, 0 and 1 times on the days 0 to 4. At the start of day d the last two days say
    # d=0: 0, 1: 2, 2: 2+0, 3: 0+3, 4: 3+0, 5: 0+1; the whole past says 0, 2, 2, 5, 5, 6.
    table = counts([(0, 1, CLICK, 2), (2, 1, CLICK, 3), (4, 1, CLICK, 1)])
    out = write_snapshots(tmp_path / "s.npy", table, products=3, days=5, windows=(2,))
    names = counter_names((2,))
    assert out.shape == (6, 3, 12)
    assert out[:, 1, names.index("click_2d")].tolist() == [0, 2, 2, 3, 3, 1]
    assert out[:, 1, names.index("click_all")].tolist() == [0, 2, 2, 5, 5, 6]
    assert out.sum() == 11 + 20  # nothing anywhere else


def test_no_event_at_all_gives_zeros(tmp_path: Path) -> None:
    out = write_snapshots(tmp_path / "s.npy", counts([]), products=2, days=1, windows=(7,))
    assert out.shape == (2, 2, 12)
    assert not out.any()


def test_the_file_is_a_read_only_map(tmp_path: Path) -> None:
    out = write_snapshots(tmp_path / "s.npy", counts([]), products=2, days=1, windows=(7,))
    assert isinstance(out, np.memmap)
    assert not out.flags.writeable


def test_a_full_disk_is_an_error_and_no_end_of_the_process() -> None:
    with pytest.raises(OSError, match="No space left") as caught:
        write_snapshots(Path("/dev/full"), counts([]), products=2, days=1, windows=(7,))
    assert caught.value.errno == errno.ENOSPC


def test_the_size_is_known_before(tmp_path: Path) -> None:
    write_snapshots(tmp_path / "s.npy", counts([]), products=50, days=3, windows=(7,))
    assert snapshots_bytes(products=50, days=3, windows=(7,)) == 4 * 50 * 12 * 4  # days + 1, products, counters, bytes
    assert (tmp_path / "s.npy").stat().st_size == 4 * 50 * 12 * 4 + 128  # and the header


cells = st.tuples(st.integers(0, 5), st.integers(0, 2), st.integers(0, 5))


@given(st.dictionaries(cells, st.integers(1, 9)), st.sets(st.integers(1, 8), min_size=1, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_window_is_the_sum_of_its_days(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[tuple[int, int, int], int], lengths: set[int]
) -> None:
    windows = tuple(sorted(lengths))
    path = tmp_path_factory.mktemp("s") / "s.npy"
    table = counts([(*cell, events) for cell, events in chosen.items()])
    out = write_snapshots(path, table, products=3, days=6, windows=windows)
    for day in range(7):
        for place, window in enumerate((*windows, 100)):
            expected = np.zeros((3, len(KINDS)))
            for (past, product, kind), events in chosen.items():
                if day - window <= past < day:
                    expected[product, kind] += events
            received = out[day, :, place * len(KINDS) : (place + 1) * len(KINDS)]
            np.testing.assert_array_equal(received, expected)
