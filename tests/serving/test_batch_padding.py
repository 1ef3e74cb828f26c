"""Tensors of different lengths in one batch, worked out by hand."""

import grpc
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving import batch_padding
from serving.batch_padding import padded_alike
from serving.errors import Rejection
from serving.tensors import Array


def alike(*tensors: Array) -> list[Array]:
    return [request["x"] for request in padded_alike([{"x": tensor} for tensor in tensors])]


def test_what_is_added_stands_behind_and_repeats_the_tensor_s_first_value() -> None:
    """Rows of 2 and of 3: the first value of the tensor fills each of its rows, not the row's own."""
    short, long = alike(np.array([[1, 2], [3, 4]]), np.array([[5, 6, 7]]))
    assert short.tolist() == [[1, 2, 1], [3, 4, 1]]
    assert long.tolist() == [[5, 6, 7]]


def test_each_dimension_grows_to_its_largest_and_the_rows_stay() -> None:
    """[1, 1, 2] and [2, 2, 1]: both become [rows, 2, 2]."""
    wide, high = alike(np.array([[[1, 2]]]), np.array([[[3], [4]], [[5], [6]]]))
    assert wide.tolist() == [[[1, 2], [1, 1]]]
    assert high.tolist() == [[[3, 3], [4, 3]], [[5, 3], [6, 3]]]


def test_each_tensor_has_its_own_lengths() -> None:
    requests = [{"x": np.array([[1]]), "y": np.array([[1, 2]])}, {"x": np.array([[3, 4]]), "y": np.array([[5]])}]
    first, second = padded_alike(requests)
    assert (first["x"].tolist(), first["y"].tolist()) == ([[1, 1]], [[1, 2]])
    assert (second["x"].tolist(), second["y"].tolist()) == ([[3, 4]], [[5, 5]])


def test_text_keeps_its_bytes() -> None:
    short, _ = alike(np.array([[b"a\0"]], object), np.array([[b"b", b"c"]], object))
    assert short.tolist() == [[b"a\0", b"a\0"]]
    assert short.dtype == object


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.uint8, np.bool_, np.complex64, ml_dtypes.bfloat16])
def test_a_dtype_stays_what_it_is(dtype: type) -> None:
    short, _ = alike(np.array([[1]]).astype(dtype), np.array([[0, 0]]).astype(dtype))
    assert (short.dtype, short.tolist()) == (np.dtype(dtype), [[1, 1]])


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 0)])
def test_what_is_alike_is_not_copied(shape: tuple[int, ...]) -> None:
    tensors = np.zeros(shape), np.ones(shape)
    assert all(padded is tensor for padded, tensor in zip(alike(*tensors), tensors, strict=True))


@pytest.mark.parametrize(
    ("values", "added"),
    [
        # Three more values for the one: 3 x 8 bytes of int64, or 3 x (32 + 5) of a string of five bytes.
        (np.array([[1]], np.int64), 24),
        (np.array([[b"abcde"]], object), 111),
    ],
)
def test_padding_adds_so_many_bytes_at_most(values: Array, added: int, monkeypatch: pytest.MonkeyPatch) -> None:
    long = np.repeat(values, 4, axis=1)
    monkeypatch.setattr(batch_padding, "PADDING_BYTES", added)
    assert alike(values, long)[0].tolist() == long.tolist()
    monkeypatch.setattr(batch_padding, "PADDING_BYTES", added - 1)
    with pytest.raises(Rejection, match=f"padding would add {added} bytes") as refused:
        alike(values, long)
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_two_long_sides_are_not_multiplied() -> None:
    """[1, 1e6, 1] beside [1, 1, 1e6] would be 1e12 values each."""
    with pytest.raises(Rejection, match="padding would add 1999998000000 bytes"):
        alike(np.zeros((1, 10**6, 1), np.int8), np.zeros((1, 1, 10**6), np.int8))


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), min_size=1, max_size=5))
def test_every_value_stays_in_its_place(shapes: list[tuple[int, int, int]]) -> None:
    tensors = [np.arange(1, np.prod(shape) + 1).reshape(shape) for shape in shapes]
    padded = alike(*tensors)
    assert {tensor.shape[1:] for tensor in padded} == {tuple(np.max(shapes, axis=0)[1:])}
    for before, after in zip(tensors, padded, strict=True):
        _, high, wide = before.shape
        assert after[:, :high, :wide].tolist() == before.tolist()
        assert (after == 1).sum() == after.size - before.size + 1
