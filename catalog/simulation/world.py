"""The whole truth of a simulated shop, written to truth/ and read back."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import ArtifactError
from catalog.files import atomic_directory, read_json, read_parquet, write_json, write_parquet
from catalog.simulation.appeal import Intents, Shoppers
from catalog.simulation.attributes import Attributes
from catalog.simulation.queries import QueryBook, Wanted
from catalog.simulation.settings import VERSION, SimulateConfig
from catalog.simulation.shelf import Shelf

SHOWN = ("", "text", "picture", "both")
"""Where an attribute of a product shows, by the code in `World.shown`."""


@dataclass(frozen=True)
class World:
    """Everything that wrote the log.

    Attributes:
        config: the settings. keys: attribute keys in column order.
        shelf, shoppers, intents, book: products, people, visits and queries.
        user_ids, session_ids: [shoppers], [sessions] str.
        shown: [products, keys] int8, index into SHOWN.
        picture_queries: [queries] bool, whether mostly the picture tells what they ask for.
    """

    config: SimulateConfig
    keys: list[str]
    shelf: Shelf
    shoppers: Shoppers
    intents: Intents
    book: QueryBook
    user_ids: npt.NDArray[np.str_]
    session_ids: npt.NDArray[np.str_]
    shown: npt.NDArray[np.int8]
    picture_queries: npt.NDArray[np.bool_]

    def save(self, folder: Path) -> None:
        """Write the world; the folder appears whole or not at all."""
        attributes = self.shelf.attributes
        names = {
            "version": VERSION,
            "config": self.config.model_dump(mode="json"),
            "keys": self.keys,
            "types": attributes.types,
            "parents": attributes.parents,
            "values": attributes.values,
        }
        arrays: dict[str, Any] = {
            **_arrays("shelf", self.shelf),
            **_arrays("shoppers", self.shoppers),
            **_arrays("intents", self.intents),
            **_arrays("book", self.book),
            **_arrays("wanted", self.book.wanted),
            **{f"codes.{key}": codes for key, codes in attributes.codes.items()},
            "type": attributes.type,
            "type_parent": attributes.type_parent,
            "shown": self.shown,
            "picture_queries": self.picture_queries,
        }
        ids: dict[str, Iterable[str]] = {
            "products": self.shelf.product_ids,
            "users": self.user_ids,
            "sessions": self.session_ids,
            "queries": self.book.texts,
        }
        with atomic_directory(folder) as temporary:
            write_json(temporary / "world.json", names)
            np.savez(temporary / "arrays.npz", **arrays)
            for name, values in ids.items():
                write_parquet(temporary / f"{name}.parquet", pa.table({"id": pa.array(list(values), pa.string())}))

    @classmethod
    def load(cls, folder: Path) -> "World":
        """Read a world back.

        Raises:
            ArtifactError: when a file is missing or broken, or another version of the simulator wrote it.
        """
        names = read_json(folder / "world.json")
        if names.get("version") != VERSION:
            raise ArtifactError(
                f"{folder}: written by simulator version {names.get('version')!r}, expected {VERSION}; "
                "run the simulator again"
            )
        try:
            with np.load(folder / "arrays.npz", allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
        except (OSError, ValueError, BadZipFile) as error:
            raise ArtifactError(f"{folder / 'arrays.npz'}: not readable ({error}); run the simulator again") from error
        ids = {
            name: np.array(read_parquet(folder / f"{name}.parquet")["id"].to_pylist(), dtype=np.str_)
            for name in ("products", "users", "sessions", "queries")
        }
        attributes = Attributes(
            types=names["types"],
            parents=names["parents"],
            type_parent=arrays["type_parent"],
            type=arrays["type"],
            keys=list(names["values"]),
            values=names["values"],
            codes={key: arrays[f"codes.{key}"] for key in names["values"]},
        )
        return cls(
            config=SimulateConfig.model_validate(names["config"]),
            keys=names["keys"],
            shelf=Shelf(product_ids=ids["products"], attributes=attributes, **_group(arrays, "shelf")),
            shoppers=Shoppers(**_group(arrays, "shoppers")),
            intents=Intents(**_group(arrays, "intents")),
            book=QueryBook(
                texts=ids["queries"].tolist(), wanted=Wanted(**_group(arrays, "wanted")), **_group(arrays, "book")
            ),
            user_ids=ids["users"],
            session_ids=ids["sessions"],
            shown=arrays["shown"],
            picture_queries=arrays["picture_queries"],
        )


def _arrays(group: str, part: Shelf | Shoppers | Intents | QueryBook | Wanted) -> dict[str, npt.NDArray[np.generic]]:
    """The numeric array fields of a dataclass, named "group.field"."""
    values = {spec.name: getattr(part, spec.name) for spec in fields(part)}
    return {
        f"{group}.{name}": value
        for name, value in values.items()
        if isinstance(value, np.ndarray) and value.dtype.kind != "U"
    }


def _group(arrays: dict[str, Any], group: str) -> dict[str, Any]:
    return {name.split(".", 1)[1]: array for name, array in arrays.items() if name.startswith(f"{group}.")}
