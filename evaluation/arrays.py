"""Array types and the few ragged-array operations that rankings need."""

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError

Rows = npt.NDArray[np.int32]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Gains = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Strings = npt.NDArray[np.object_]

ABSENT = -1


def ragged_indices(start: Ints, end: Ints) -> tuple[Ints, Ints]:
    """Concatenate the index ranges [start[i], end[i]).

    Returns:
        owner: int64 [total], the range each index came from; index: int64 [total].
    """
    lengths = np.maximum(end - start, 0)
    owner = np.repeat(np.arange(len(start)), lengths)
    before = np.cumsum(lengths) - lengths
    return owner, np.arange(len(owner)) - before[owner] + start[owner]


def compact(rows: Rows, keep: Mask) -> Rows:
    """Move the kept entries of each row to its front, in order; the rest becomes -1.

    Args:
        rows: [R, K] product rows. keep: [R, K].
    """
    order = np.argsort(~keep, axis=1, kind="stable")
    return np.take_along_axis(np.where(keep, rows, ABSENT), order, axis=1).astype(np.int32)


def first_occurrences(rows: Rows) -> Mask:
    """Bool [R, K]: the entry is a product, and the first mention of it in its row."""
    order = np.argsort(rows, axis=1, kind="stable")
    ordered = np.take_along_axis(rows, order, axis=1)
    first = np.ones(rows.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty_like(first)
    np.put_along_axis(result, order, first, axis=1)
    return result & (rows >= 0)


def top_rows(scores: npt.NDArray[np.floating], k: int) -> Rows:
    """The k best columns of each row, best first; equal scores by column number; scores of -inf are never returned.

    Args:
        scores: [R, N] float.

    Returns:
        [R, k] columns, padded with -1.
    """
    width = min(k, scores.shape[1])
    result = np.full((len(scores), k), ABSENT, dtype=np.int32)
    if width == 0:
        return result
    threshold = np.partition(scores, scores.shape[1] - width, axis=1)[:, scores.shape[1] - width]
    for i, row in enumerate(scores):
        # All that tie with the k-th score take part, so that the answer never hangs on the partition's order.
        columns = np.flatnonzero((row >= threshold[i]) & (row > -np.inf))
        best = columns[np.argsort(-row[columns], kind="stable")[:width]]
        result[i, : len(best)] = best
    return result


def check_rankings(rows: Rows, products: int, system: str) -> Rows:
    """Return `rows` as int32 if it is a ranking: [R, K] product rows or -1, no product twice in a row.

    Raises:
        DataError: with the system and the first request at fault.
    """
    if rows.ndim != 2 or not np.issubdtype(rows.dtype, np.integer):
        raise DataError(f"{system}: expected integer rankings [requests, k], received {rows.dtype} {rows.shape}")
    if rows.size and (rows.max() >= products or rows.min() < ABSENT):
        raise DataError(f"{system}: expected product rows in [-1, {products}), received {rows.min()}..{rows.max()}")
    repeated = (~first_occurrences(rows.astype(np.int32)) & (rows >= 0)).any(axis=1)
    if repeated.any():
        raise DataError(f"{system}: request {int(repeated.argmax())} lists a product twice; remove repeats first")
    return rows.astype(np.int32)
