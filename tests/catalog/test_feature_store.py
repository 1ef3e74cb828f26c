"""Saving, loading and reading histories, on a store filled by hand."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ArtifactError
from catalog.feature_store import FeatureStore
from catalog.files import read_json, write_json
from catalog.splits import Slices


def texts(*values: str) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=object)


def store() -> FeatureStore:
    """Two users: the first with the interactions 5, 6, 7 (products) at 10, 20, 30 s, the second with none."""
    none32, none64 = np.zeros(0, np.int32), np.zeros(0, np.int64)
    return FeatureStore(
        day0=0,
        slices=Slices((0, 1), (1, 2), (2, 3), (3, 4)),
        user_ids=texts("u", "红"),
        user_columns={"column_city": texts("Köln", "")},
        queries=texts("red"),
        launched=np.arange(8, dtype=np.int32),
        snapshots=np.arange(5 * 8 * 2, dtype=np.float32).reshape(5, 8, 2),
        snapshot_features=("click_7d", "click_all"),
        user_start=np.array([0, 3, 3]),
        interaction_user=np.zeros(3, np.int32),
        interaction_product=np.array([5, 6, 7], np.int32),
        interaction_kind=np.array([1, 2, 5], np.int8),
        interaction_timestamp=np.array([10, 20, 30]),
        interaction_query=np.array([-1, 0, 0], np.int32),
        interaction_weight=np.array([0.5, 5, 5], np.float32),
        interaction_target=np.array([False, True, False]),
        example_user=np.zeros(1, np.int32),
        example_query=np.zeros(1, np.int32),
        example_timestamp=np.array([20]),
        example_history_end=np.array([1]),
        example_product=np.array([6], np.int32),
        example_kind=np.array([5], np.int8),
        example_weight=np.array([5], np.float32),
        example_new=np.array([True]),
        example_slice=np.zeros(1, np.int8),
        example_day=np.zeros(1, np.int32),
        example_request=np.full(1, -1, np.int32),
        request_user=none32,
        request_session=texts(),
        request_query=none32,
        request_timestamp=none64,
        request_history_end=none64,
        request_slice=np.zeros(0, np.int8),
        request_day=none32,
        impression_start=np.zeros(1, np.int64),
        impression_product=none32,
        impression_position=none32,
        impression_click=np.zeros(0, np.bool_),
        impression_cart=np.zeros(0, np.bool_),
        impression_purchase=np.zeros(0, np.bool_),
    )


def test_histories_are_padded_on_the_left() -> None:
    rows, kinds, timestamps = store().history([0, 0, 0, 1], [3, 2, 0, 3], 2)
    assert rows.tolist() == [[6, 7], [5, 6], [8, 8], [8, 8]]  # 8 products, so row 8 is padding
    assert kinds.tolist() == [[3, 6], [2, 3], [0, 0], [0, 0]]
    assert timestamps.tolist() == [[20, 30], [10, 20], [0, 0], [0, 0]]
    assert (rows.dtype, kinds.dtype, timestamps.dtype) == (np.int32, np.int32, np.int64)


def test_an_empty_batch_of_histories_keeps_its_shape() -> None:
    assert [part.shape for part in store().history(np.zeros(0, np.int32), np.zeros(0, np.int64), 4)] == [(0, 4)] * 3


@given(st.integers(0, 3), st.integers(1, 6), st.integers(0, 6))
def test_a_longer_history_only_adds_padding_or_older_events(end: int, length: int, more: int) -> None:
    short, long = store().history([0], [end], length), store().history([0], [end], length + more)
    for narrow, wide in zip(short, long, strict=True):
        np.testing.assert_array_equal(narrow, wide[:, more:])


def test_an_end_outside_the_users_interactions_is_refused() -> None:
    with pytest.raises(ValueError, match=r"history end 2 of user 1 lies outside the user's interactions \[3, 3\]"):
        store().history([0, 1], [2, 2], 5)


def test_days_are_counted_from_midnight_before_the_first_event() -> None:
    days = replace(store(), day0=86_400).day([86_399, 86_400, 172_799, 172_800])
    assert days.tolist() == [-1, 0, 0, 1]


@pytest.mark.parametrize("mmap", [True, False])
def test_a_saved_store_comes_back_as_it_was(tmp_path: Path, mmap: bool) -> None:
    saved = store()
    saved.save(tmp_path / "features")
    loaded = FeatureStore.load(tmp_path / "features", mmap=mmap)
    for field in fields(FeatureStore):
        before, after = getattr(saved, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype, field.name
            np.testing.assert_array_equal(before, after, err_msg=field.name)
        elif field.name == "user_columns":
            assert {name: values.tolist() for name, values in after.items()} == {"column_city": ["Köln", ""]}
        else:
            assert before == after, field.name
    assert isinstance(loaded.snapshots, np.memmap) == mmap


def test_the_repr_says_what_is_inside() -> None:
    text = repr(store())
    for part in ("8 products", "2 users", "1 queries", "3 interactions in 1 episodes (1 from searches)", "0 pages"):
        assert part in text
    assert "days from 1970-01-01: towers 0-0, rerank 1-1, validation 2-2, test 3-3" in text
    assert "user columns: column_city" in text


def forget_a_file(folder: Path) -> None:
    (folder / "example_user.npy").unlink()


def forget_the_manifest(folder: Path) -> None:
    (folder / "store.json").unlink()


def cut_the_snapshots(folder: Path) -> None:
    path = folder / "snapshots.npy"
    path.write_bytes(path.read_bytes()[:-4])


def change_a_byte(folder: Path) -> None:
    path = folder / "interaction_product.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def say_another_version(folder: Path) -> None:
    write_json(folder / "store.json", read_json(folder / "store.json") | {"version": 0})


def lose_the_file_list(folder: Path) -> None:
    manifest = read_json(folder / "store.json")
    del manifest["files"]
    write_json(folder / "store.json", manifest)


def say_other_slices(folder: Path) -> None:
    manifest = read_json(folder / "store.json")
    manifest["slices"]["test"] = [3, 9]
    write_json(folder / "store.json", manifest)


@pytest.mark.parametrize(
    "damage",
    [
        forget_a_file,
        forget_the_manifest,
        cut_the_snapshots,
        change_a_byte,
        say_another_version,
        lose_the_file_list,
        say_other_slices,
    ],
)
def test_a_damaged_store_is_refused(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    store().save(tmp_path / "features")
    damage(tmp_path / "features")
    with pytest.raises(ArtifactError, match="again"):
        FeatureStore.load(tmp_path / "features")


def test_arrays_that_do_not_run_parallel_are_refused() -> None:
    with pytest.raises(ValueError, match=r"example_day: expected shape \(1,\), received \(2,\)"):
        replace(store(), example_day=np.zeros(2, np.int32))
    with pytest.raises(ValueError, match="interaction_kind: expected int8, received int64"):
        replace(store(), interaction_kind=np.zeros(3, np.int64))
