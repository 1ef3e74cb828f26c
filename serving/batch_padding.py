"""Requests whose tensors differ in length are made alike, as TF Serving's pad_variable_length_inputs does."""

import math
from collections.abc import Mapping, Sequence

import grpc
import numpy as np

from serving.errors import Rejection
from serving.tensors import STRING_BYTES, Array

PADDING_BYTES = 64 << 20
"""What padding adds to a batch at most; TF Serving knows no such limit. One long request beside many short ones, or a
long text that is the first of its tensor, would take all memory otherwise."""


def padded_alike(requests: Sequence[Mapping[str, Array]]) -> list[Mapping[str, Array]]:
    """Pad each tensor to the largest size of each dimension but the first.

    What is added stands behind a tensor's own values and repeats the first of them.

    Args:
        requests: [rows, ...] each; those of one name agree in dtype and rank, and, where they hold nothing, in shape.

    Returns:
        The requests; tensors that are large enough as they came, not copied.

    Raises:
        Rejection: RESOURCE_EXHAUSTED where more than PADDING_BYTES would be added.
    """
    largest = {
        name: tuple(map(max, zip(*(request[name].shape[1:] for request in requests), strict=True)))
        for name in requests[0]
    }
    added = sum(_added(values, largest[name]) for request in requests for name, values in request.items())
    if added > PADDING_BYTES:
        raise Rejection(grpc.StatusCode.RESOURCE_EXHAUSTED, f"padding would add {added} bytes to the batch")
    return [{name: _padded(values, largest[name]) for name, values in request.items()} for request in requests]


def _added(values: Array, sizes: tuple[int, ...]) -> int:
    """Bytes by which `values` would grow."""
    count = len(values) * math.prod(sizes) - values.size
    if not count:
        return 0
    return count * (STRING_BYTES + len(values.flat[0]) if values.dtype == object else values.itemsize)


def _padded(values: Array, sizes: tuple[int, ...]) -> Array:
    if values.shape[1:] == sizes:
        return values
    padded = np.empty((len(values), *sizes), values.dtype)
    padded[...] = values.reshape(-1)[:1]
    padded[tuple(map(slice, values.shape))] = values
    return padded
