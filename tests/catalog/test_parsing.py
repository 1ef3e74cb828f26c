"""Cells of any type -> typed columns; what is not understood is null."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog.errors import DataError
from catalog.parsing import filled, to_flags, to_microseconds, to_numbers, to_objects, to_text

NOON = 1_767_268_800  # 2026-01-01 12:00:00 UTC


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array([" a ", "", None, "　b"]), ["a", None, None, "b"]),  # an ideographic space is a space
        (pa.array([1, 2, None]), ["1", "2", None]),
        (pa.array([1.0, float("nan"), 3.0]), ["1", None, "3"]),  # ids that pandas turned into floats
        (pa.array([1.5, 2.0]), ["1.5", "2"]),
        (pa.array(["a", "a", None]).dictionary_encode(), ["a", "a", None]),
        (pa.array([["a"], None]), [None, None]),
        (pa.array([True, None]), ["true", None]),
        (pa.array([b"x"]), ["x"]),
        (pa.array(["x"], pa.large_string()), ["x"]),
        (pa.nulls(2), [None, None]),
    ],
)
def test_to_text(cells, expected):
    assert to_text(cells).to_pylist() == expected


def test_bytes_that_are_no_text_are_an_error():
    with pytest.raises(DataError, match="not UTF-8"):
        to_text(pa.array(["红".encode("gb18030")]))


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pa.array(["1.5", " 2 ", "1e3", "", None, "nan", "12,5", "€3", "0x1f"]),
         [1.5, 2.0, 1000.0, None, None, None, None, None, None]),
        (pa.array(["inf", "1e999"]), [float("inf"), float("inf")]),
        (pa.array([1, None]), [1.0, None]),
        (pa.array([Decimal("9.99")]), [9.99]),
        (pa.array([float("nan"), 2.5]), [None, 2.5]),
        (pa.array([[1.0]]), [None]),
        (pa.array([True]), [None]),
    ],
)  # fmt: skip
def test_to_numbers(cells, expected):
    assert to_numbers(cells).to_pylist() == expected


def test_to_flags():
    assert to_flags(pa.array(["TRUE", "no", "1", "0", "", None, "maybe"])).to_pylist() == [
        True, False, True, False, None, None, None,
    ]  # fmt: skip
    assert to_flags(pa.array([True, None])).to_pylist() == [True, None]
    assert to_flags(pa.array([1, 0, 2])).to_pylist() == [True, False, None]
    assert to_flags(pa.array([1.0, float("nan")])).to_pylist() == [True, None]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T12:00:00Z", NOON),
        ("2026-01-01 12:00:00", NOON),  # naive is UTC
        ("2026-01-01T12:00", NOON),
        ("2026-01-01", NOON - 12 * 3600),
        ("2026-01-01T12:00:00.25Z", NOON + 0.25),
        ("2026-01-01T12:00:00,25Z", NOON + 0.25),
        ("2026-01-01T12:00:00.123456789Z", NOON + 0.123456),
        ("2026-01-01T20:00:00+08:00", NOON),
        ("2026-01-01T20:00:00+0800", NOON),
        ("2026-01-01T07:00:00 -05", NOON),
        ("2026-01-01T17:30:00+05:30", NOON),
        ("2026-01-02T03:59:00+15:59", NOON),
        ("2026-01-01 12:00:00 UTC", NOON),
        (str(NOON), NOON),
        (f"{NOON}000", NOON),
        (f"{NOON}.5", NOON + 0.5),
        ("", None),
        ("yesterday", None),
        ("2026-02-30", None),
        ("2026-01-01T25:00:00", None),
        ("2026-01-01T12:00:00+99:99", None),
        ("2026-01-01T12:00:00+16:00", None),
        ("2026-01-01T12:00:00-05:60", None),
        ("01/02/2026", None),
        ("2026-01-01 12:00:00 Europe/Berlin", None),
        ("infinity", None),
        ("99999-01-01", None),
    ],
)
def test_times_as_text(text, seconds):
    expected = None if seconds is None else round(seconds * 1e6)
    assert to_microseconds(pa.array([text])).to_pylist() == [expected]


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([NOON]),
        pa.array([NOON * 1000]),
        pa.array([float(NOON)]),
        pa.array([NOON], pa.timestamp("s")),
        pa.array([NOON * 1000], pa.timestamp("ms", tz="Asia/Shanghai")),
        pa.array([NOON * 10**6], pa.timestamp("us")),
        pa.array([NOON * 10**9 + 7], pa.timestamp("ns")),
        pa.array([NOON * 1000], pa.date64()),
    ],
)
def test_times_of_other_types(cells):
    assert to_microseconds(cells).to_pylist() == [NOON * 1e6]


def test_dates_are_midnight_utc():
    assert to_microseconds(pa.array([date(2026, 1, 1)])).to_pylist() == [(NOON - 12 * 3600) * 1e6]


def test_absurd_times_do_not_overflow():
    cells = pa.array([2**62, -(2**62)], pa.timestamp("s"))
    assert to_microseconds(cells).to_pylist() == [2**62 * 1e6, -(2**62) * 1e6]
    assert to_microseconds(pa.array(["9" * 40])).to_pylist()[0] > 1e30


@settings(max_examples=80, deadline=None)
@given(
    moment=st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1)),
    offset=st.integers(-14 * 60, 14 * 60),
    separator=st.sampled_from(["T", " "]),
)
def test_isoformat_in_any_zone_is_the_same_moment(moment, offset, separator):
    local = moment.replace(tzinfo=UTC).astimezone(timezone(timedelta(minutes=offset)))
    expected = (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    assert to_microseconds(pa.array([local.isoformat(separator)])).to_pylist() == [expected]


def test_filled_tells_missing_from_wrong():
    assert filled(pa.array(["x", "", None, "NaN", " "])).to_pylist() == [True, False, False, False, False]
    assert filled(pa.array([1.0, float("nan"), None])).to_pylist() == [True, False, False]
    assert filled(pa.array([[1], None])).to_pylist() == [True, False]


def test_objects_of_every_form_become_the_same_canonical_text():
    expected = '{"colour": "红", "size": 4}'
    pairs = {"size": 4, "colour": "红", "fit": None}
    as_text = pa.array(['{"size": 4, "colour": "红", "fit": null}'])
    assert to_objects(as_text)[0].to_pylist() == [expected]
    assert to_objects(pa.array([pairs, {"size": None, "colour": None, "fit": "slim"}]))[0].to_pylist() == [
        expected,
        '{"fit": "slim"}',
    ]
    as_map = pa.array([[("size", "4"), ("colour", "红")]], pa.map_(pa.string(), pa.string()))
    assert to_objects(as_map)[0].to_pylist() == ['{"colour": "红", "size": "4"}']


@pytest.mark.parametrize("text", ["[1]", "3", "red", "{", '{"a": NaN}', '{"a": "\\ud800"}', "[" * 100_000])
def test_what_is_no_object_is_told(text):
    texts, wrong = to_objects(pa.array([text, '{"b": 1}', "", None]))
    assert texts.to_pylist() == ["{}", '{"b": 1}', "{}", "{}"]
    assert wrong.tolist() == [True, False, False, False]
