"""Pictures as the reranker compares them: how a product looks among those of its own kind."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float32]

_PRIOR_PRODUCTS = 5.0  # products of its kind that the catalogue's mean picture counts for


def fit_basis(
    products: pa.Table, pictures: npt.NDArray[np.floating], dim: int, known: npt.NDArray[np.bool_] | None = None
) -> Floats:
    """The leading principal directions of the pictures, each seen as its difference from the mean of its category.

    Args:
        products: with columns image_row and category.
        pictures: [M, E] the picture network's embeddings by image row.
        dim: P; cut to E.
        known: [N] the products that may be learned from; None for all.

    Returns:
        [E, P] orthonormal columns, of falling variance; [E, 0] for a shop with fewer than two pictures.
    """
    size = pictures.shape[1]
    centred, present = _among_their_kind(products, pictures, known)
    present = present if known is None else present & known
    if present.sum() < 2:
        return np.zeros((size, 0), np.float32)
    seen = centred[present].astype(np.float64)
    _, vectors = np.linalg.eigh(seen.T @ seen / len(seen))
    leading = vectors[:, ::-1][:, : min(dim, size)]
    # Of the two signs the one whose largest entry is positive, so that the same pictures give the same basis.
    signs = np.sign(leading[np.abs(leading).argmax(0), np.arange(leading.shape[1])])
    return (leading * signs).astype(np.float32)


def picture_table(
    products: pa.Table,
    pictures: npt.NDArray[np.floating],
    basis: Floats,
    known: npt.NDArray[np.bool_] | None = None,
) -> Floats:
    """[N + 1, P] float32 unit vectors along `basis`; zeros for a product without a picture and for the absent one.

    Arguments as in `fit_basis`: the mean of a category is that of its known products.
    """
    table = np.zeros((products.num_rows + 1, basis.shape[1]), np.float32)
    if basis.shape[1]:
        centred, present = _among_their_kind(products, pictures, known)
        vectors = centred[present] @ basis
        table[:-1][present] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return table


def _among_their_kind(
    products: pa.Table, pictures: npt.NDArray[np.floating], known: npt.NDArray[np.bool_] | None
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """[N, E] embeddings less their category's known mean, zeros without a picture; and [N] bool, who has one."""
    row = products["image_row"].to_numpy()
    present = row >= 0
    size = pictures.shape[1]
    centred = np.zeros((products.num_rows, size), np.float32)
    if not present.any():
        return centred, present
    seen = np.asarray(pictures, np.float32)[row[present]]
    names = np.asarray(products["category"].to_pylist(), dtype=str)[present]
    _, kind = np.unique(names, return_inverse=True)
    learned = np.ones(len(seen), dtype=bool) if known is None else known[present]
    if not learned.any():
        return centred, present
    sums = np.zeros((int(kind.max()) + 1, size), np.float64)
    np.add.at(sums, kind[learned], seen[learned])
    counts = np.bincount(kind[learned], minlength=len(sums))[:, None]
    means = (sums + _PRIOR_PRODUCTS * seen[learned].mean(0, dtype=np.float64)) / (counts + _PRIOR_PRODUCTS)
    centred[present] = seen - means[kind].astype(np.float32)
    return centred, present
