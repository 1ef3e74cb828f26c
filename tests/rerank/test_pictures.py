"""The space in which pictures are compared, worked out by hand."""

import numpy as np
import pyarrow as pa
import pytest

from rerank.pictures import fit_basis, picture_table


def products(rows: list[int], categories: list[str]) -> pa.Table:
    return pa.table({"image_row": pa.array(rows, pa.int32()), "category": categories})


def test_pictures_are_compared_with_their_own_kind() -> None:
    # Five shirts around (2, 0), five heels around (-2, 0): kinds differ along the first axis, looks along the second.
    looks = np.tile([[0, 1], [0, -1], [0, 2], [0, -2], [0, 0]], (2, 1))
    pictures = looks + np.repeat([[2, 0], [-2, 0]], 5, axis=0)
    shop = products(list(range(10)), ["Shirts"] * 5 + ["Heels"] * 5)
    basis = fit_basis(shop, pictures.astype(np.float16), 1)
    np.testing.assert_allclose(basis, [[0], [1]], atol=1e-6)
    table = picture_table(shop, pictures.astype(np.float16), basis)
    np.testing.assert_allclose(table[:, 0], [1, -1, 1, -1, 0, 1, -1, 1, -1, 0, 0], atol=1e-6)


def test_a_kind_of_few_leans_on_the_whole_catalogue() -> None:
    # One watch among five shirts: its mean is (1 x 6 + 5 x 1) / 6, the catalogue's mean being 1.
    pictures = np.array([[0.0, 0]] * 5 + [[6.0, 0]])
    shop = products(list(range(6)), ["Shirts"] * 5 + ["Watches"])
    table = picture_table(shop, pictures, np.array([[1.0], [0.0]], np.float32))
    assert table[5, 0] == pytest.approx(1.0)  # 6 - 11/6, then of unit length
    assert table[0, 0] == pytest.approx(-1.0)  # 0 - 5/10


def test_products_without_a_picture_are_zero() -> None:
    pictures = np.array([[1.0, 0], [0, 1.0], [1.0, 1.0]], np.float16)
    shop = products([2, -1, 0, 1], ["A", "A", "A", "B"])
    basis = fit_basis(shop, pictures, 32)
    assert basis.shape == (2, 2)
    np.testing.assert_allclose(basis.T @ basis, np.eye(2), atol=1e-6)
    table = picture_table(shop, pictures, basis)
    assert table.shape == (5, 2)
    assert not table[[1, 4]].any()
    np.testing.assert_allclose(np.linalg.norm(table[[0, 2, 3]], axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("rows", [[-1, -1], [0, -1]])
def test_fewer_than_two_pictures_give_no_directions(rows: list[int]) -> None:
    shop = products(rows, ["A", "A"])
    basis = fit_basis(shop, np.zeros((max(rows) + 1, 3), np.float16), 8)
    assert basis.shape == (3, 0)
    assert picture_table(shop, np.zeros((max(rows) + 1, 3), np.float16), basis).shape == (3, 0)


def test_later_launches_change_nothing_for_the_others() -> None:
    pictures = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float16)
    kinds = ["A", "B", "A", "B", "A", "B", "A", "A", "C"]
    known = np.array([True] * 6 + [False] * 3)
    before = products(list(range(6)), kinds[:6])
    after = products(list(range(9)), kinds)
    basis = fit_basis(before, pictures[:6], 2)
    np.testing.assert_allclose(fit_basis(after, pictures, 2, known), basis, atol=1e-5)
    table = picture_table(after, pictures, basis, known)
    np.testing.assert_allclose(table[:6], picture_table(before, pictures[:6], basis)[:6], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(table[6:9], axis=1), 1, atol=1e-5)  # they are compared all the same
