"""Labels of pictures, read from a products table written by hand."""

import json

import numpy as np
import pyarrow as pa

from towers.image_labels import picture_labels


def products(*rows: tuple[int, str, dict[str, object]]) -> pa.Table:
    return pa.table(
        {
            "image_row": pa.array([row[0] for row in rows], pa.int32()),
            "category": [row[1] for row in rows],
            "attributes": [json.dumps(row[2]) for row in rows],
        }
    )


def test_levels_and_attributes_are_tasks() -> None:
    table = products(
        (0, "Wear > Shoes > Boots", {"colour": "red", "size": 38}),
        (1, "Wear > Shoes > Heels", {"colour": "red"}),
        (2, "Wear > Hats", {"colour": "blue", "size": 38}),
        (3, "Home > Lamps", {"size": 40}),
        (3, "Home > Lamps", {"colour": "blue"}),  # shares the picture: says what the first one leaves out
        (-1, "Home > Lamps", {"colour": "green"}),  # has no picture
    )
    labels = picture_labels(table, 5, min_count=1)
    named = dict(zip(labels.names, range(9), strict=False))
    assert set(named) == {"category 1", "category 2", "category 3", "colour", "size"}

    def of(name: str) -> list[str]:
        classes = labels.classes[named[name]]
        return ["-" if value < 0 else classes[value] for value in labels.values[:, named[name]]]

    assert of("category 1") == ["Wear", "Wear", "Wear", "Home", "-"]
    assert of("category 2") == ["Wear > Shoes", "Wear > Shoes", "Wear > Hats", "Home > Lamps", "-"]
    assert of("category 3") == ["Wear > Shoes > Boots", "Wear > Shoes > Heels", "-", "-", "-"]
    assert of("colour") == ["red", "red", "blue", "blue", "-"]
    assert of("size") == ["38", "-", "38", "40", "-"]


def test_rare_values_are_missing_and_lone_classes_no_task() -> None:
    table = products(
        *((row, "One", {"colour": "red" if row < 3 else "blue"}) for row in range(6)), (6, "", {"colour": "tan"})
    )
    labels = picture_labels(table, 7, min_count=2)
    assert labels.names == ("colour",)  # every category is the same
    assert labels.classes == (("red", "blue"),)
    np.testing.assert_array_equal(labels.values[:, 0], [0, 0, 0, 1, 1, 1, -1])


def test_names_and_measures_are_no_looks() -> None:
    table = products(*((row, "", {"serial": str(row), "tags": ["a", "b"][row % 2 :]}) for row in range(65)))
    assert picture_labels(table, 65, min_count=1).names == ()  # 65 values are too many, lists are not one label


def test_the_same_partition_counts_once() -> None:
    table = products((0, "A", {"kind": "x"}), (1, "B", {"kind": "y"}), (2, "A", {"kind": "x"}))
    assert picture_labels(table, 3, min_count=1).names == ("category 1",)


def test_no_pictures() -> None:
    labels = picture_labels(products((-1, "A", {}), (-1, "B", {})), 0, min_count=1)
    assert labels.names == ()
    assert labels.values.shape == (0, 0)
