"""What a catalogue says about its own pictures: the labels the picture network is trained on."""

import json
from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

MISSING = -1
_MAX_CATEGORIES = 512
_MAX_ATTRIBUTE_VALUES = 64  # an attribute with more frequent values is a name or a measure, not a look


@dataclass(frozen=True)
class PictureLabels:
    """Classes of every picture in every task.

    Attributes:
        names: one name a task.
        classes: the class names of each task, most frequent first.
        values: [pictures, tasks] int32, an index into the task's classes, -1 where the catalogue is silent.
    """

    names: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]
    values: npt.NDArray[np.int32]

    def __repr__(self) -> str:
        tasks = ", ".join(f"{name}: {len(classes)}" for name, classes in zip(self.names, self.classes, strict=True))
        return f"PictureLabels({len(self.values)} pictures; classes {{{tasks}}})"


def picture_labels(products: pa.Table, pictures: int, min_count: int) -> PictureLabels:
    """Read category levels and attributes as classes of the products' pictures.

    The category is a task at each level, and so is every attribute with 2 to 64 frequent values. Where products share
    a picture, the first one that says anything counts.

    Args:
        products: the validated products table.
        pictures: number of distinct pictures.
        min_count: pictures that must carry a label for it to become a class.
    """
    raw: dict[str, dict[int, str]] = {}
    columns = zip(*(products[name].to_pylist() for name in ("image_row", "category", "attributes")), strict=True)
    for picture, category, attributes in columns:
        if picture < 0:
            continue
        path = [part.strip() for part in category.split(">") if part.strip()]
        for level in range(len(path)):
            raw.setdefault(f"category {level + 1}", {}).setdefault(picture, " > ".join(path[: level + 1]))
        for name, value in json.loads(attributes).items():
            if isinstance(value, str | int | float) and value != "":
                raw.setdefault(name, {}).setdefault(picture, str(value))
    names: list[str] = []
    classes: list[tuple[str, ...]] = []
    values: list[npt.NDArray[np.int32]] = []
    for name, found in raw.items():
        limit = _MAX_CATEGORIES if name.startswith("category ") else _MAX_ATTRIBUTE_VALUES
        frequent = [label for label, count in Counter(found.values()).most_common() if count >= min_count]
        if not 2 <= len(frequent) <= limit:
            continue
        code = {label: index for index, label in enumerate(frequent)}
        column = np.full(pictures, MISSING, np.int32)
        for picture, label in found.items():
            column[picture] = code.get(label, MISSING)
        if any(np.array_equal(column, other) for other in values):
            continue
        names.append(name)
        classes.append(tuple(frequent))
        values.append(column)
    stacked = np.stack(values, axis=1) if values else np.empty((pictures, 0), np.int32)
    return PictureLabels(tuple(names), tuple(classes), stacked)
