"""Interaction sequences as the S3-Rec paper published them: read, checked, split by the leave-one-out protocol."""

import gzip
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError

Rows = npt.NDArray[np.int32]

_FORMAT = "one user a line, `user item item item ...`, integers with spaces between, items in time order"
_LEAST_ITEMS = 3  # one to learn from, one that validates, one that tests
_LONGEST = 20  # characters of an integer of 64 bits with its sign
_GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What is asked of a model: each user's next item.

    Attributes:
        histories: [U] rows of the items before the target, in time order; they are removed from the ranking.
        targets: [U] int32, the row to be found.
    """

    histories: tuple[Rows, ...]
    targets: Rows

    def __len__(self) -> int:
        return len(self.histories)

    def sample(self, most: int) -> "HeldOut":
        """At most so many of them, drawn alike each time."""
        if len(self) <= most:
            return self
        users = np.sort(np.random.default_rng(0).choice(len(self), most, replace=False))
        return HeldOut(tuple(self.histories[user] for user in users), self.targets[users])


@dataclass(frozen=True, eq=False)
class Sequences:
    """Users' items in time order.

    Attributes:
        users: [U] int64, as the file names them. items: [N] int64, likewise, rising; row i is items[i].
        sequences: [U] rows in time order, at least three each.
        short: rows of the further users with fewer than three, who are learned from but have no targets, as in SASRec.
    """

    users: npt.NDArray[np.int64]
    items: npt.NDArray[np.int64]
    sequences: tuple[Rows, ...]
    short: tuple[Rows, ...] = ()

    def __repr__(self) -> str:
        short = f", {len(self.short):,} users with fewer than {_LEAST_ITEMS} items" if self.short else ""
        interactions = f"{self.interactions:,} interactions"
        return f"Sequences({len(self.users):,} users, {len(self.items):,} items, {interactions}{short})"

    @property
    def interactions(self) -> int:
        """Items of all sequences together."""
        return sum(map(len, (*self.sequences, *self.short)))

    def training(self) -> tuple[Rows, ...]:
        """Sequences without the two targets, and the short ones whole: all that a model may learn from."""
        return (*(sequence[:-2] for sequence in self.sequences), *self.short)

    def validation(self) -> HeldOut:
        """The item before the last: chooses epochs and hyperparameters."""
        histories = tuple(sequence[:-2] for sequence in self.sequences)
        return HeldOut(histories, np.array([sequence[-2] for sequence in self.sequences], np.int32))

    def test(self) -> HeldOut:
        """The last item; the validation target is part of the history."""
        histories = tuple(sequence[:-1] for sequence in self.sequences)
        return HeldOut(histories, np.array([sequence[-1] for sequence in self.sequences], np.int32))


@dataclass(frozen=True, eq=False)
class Attributes:
    """What is known of each item.

    Attributes:
        rows: [N] tuples of attribute rows, empty where nothing is known.
        count: number of attributes.
        unknown_items: items of the file that no sequence holds; they are left out.
    """

    rows: tuple[tuple[int, ...], ...]
    count: int
    unknown_items: int

    def __repr__(self) -> str:
        known = sum(map(bool, self.rows))
        left_out = f", {self.unknown_items:,} unknown items left out" if self.unknown_items else ""
        return f"Attributes({self.count:,} attributes of {known:,} among {len(self.rows):,} items{left_out})"


def read_sequences(path: Path) -> Sequences:
    """Read and check a file of sequences, plain or gzip.

    Raises:
        DataError: naming file and line, if the file is missing, empty or not text, if something is no integer, a user
            comes twice or nobody has three items.
    """
    lines: dict[int, int] = {}
    parsed: list[npt.NDArray[np.int64]] = []
    for number, line in enumerate(_read(path, "--data").splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        user, *items = (_integer(word, path, number) for word in words)
        if user in lines:
            raise DataError(
                f"{path}, line {number}: user {user} stands on line {lines[user]} already; expected one line a user. "
                "Join the two in time order"
            )
        lines[user] = number
        parsed.append(np.array(items, np.int64))
    if not parsed:
        raise DataError(f"{path} is empty; expected {_FORMAT}")
    lengths = np.array([len(items) for items in parsed])
    whole = lengths >= _LEAST_ITEMS
    if not whole.any():
        raise DataError(
            f"{path}: none of its {len(parsed):,} users has {_LEAST_ITEMS} items: one to learn from, the validation "
            f"target and the test target; expected {_FORMAT}"
        )
    names, flat = np.unique(np.concatenate(parsed), return_inverse=True)
    rows = np.split(flat.astype(np.int32), np.cumsum(lengths)[:-1])
    sequences = tuple(row for row, enough in zip(rows, whole, strict=True) if enough)
    short = tuple(row for row, enough in zip(rows, whole, strict=True) if not enough)
    return Sequences(np.array(list(lines), np.int64)[whole], names, sequences, short)


def read_attributes(path: Path, items: npt.NDArray[np.int64]) -> Attributes:
    """Read and check `{item: [attribute, ...]}` for the items of `read_sequences`.

    Items without attributes are fine; attributes of items that no sequence holds are counted and left out.

    Raises:
        DataError: if the file is missing or not such JSON, or has no attribute of any of the items.
    """
    known = {int(item): row for row, item in enumerate(items)}
    given = _parse_attributes(path)
    named = {known[item]: attributes for item, attributes in given.items() if item in known}
    if not any(named.values()):
        raise DataError(
            f"{path} has {len(given):,} item(s), none of which has attributes and is among the {len(items):,} items of "
            "the sequences; give the attributes that belong to --data, or none"
        )
    values = sorted({attribute for attributes in named.values() for attribute in attributes})
    row_of = {attribute: row for row, attribute in enumerate(values)}
    rows = tuple(tuple(row_of[attribute] for attribute in named.get(row, ())) for row in range(len(items)))
    return Attributes(rows, len(values), len(given) - len(named))


def _read(path: Path, option: str) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if content.startswith(_GZIP) else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{option} {path} is not a readable text file: {error}; give the path of one") from error


def _integer(word: str, path: Path, number: int) -> int:
    if not (word.isascii() and word.removeprefix("-").isdecimal()):
        raise DataError(f"{path}, line {number}: received {word!r}; expected {_FORMAT}")
    if len(word) > _LONGEST or abs(int(word)) >= 2**63:
        raise DataError(f"{path}, line {number}: received {word[:_LONGEST]}...; expected ids of at most 64 bits")
    return int(word)


def _parse_attributes(path: Path) -> Mapping[int, tuple[int, ...]]:
    try:
        content: Any = json.loads(_read(path, "--attributes"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"--attributes {path} is not JSON: {error}; expected {{item: [attribute, ...]}}") from error
    if not isinstance(content, dict):
        raise DataError(
            f"--attributes {path} holds a {type(content).__name__}; expected an object {{item: [attribute, ...]}}"
        )
    return {_attributed(item, path): _attribute_list(item, values, path) for item, values in content.items()}


def _attributed(item: str, path: Path) -> int:
    try:
        return int(item)
    except ValueError:
        raise DataError(f"--attributes {path}: received the key {item!r}; expected an item of --data") from None


def _attribute_list(item: str, values: Any, path: Path) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(value) is int for value in values):
        raise DataError(f"--attributes {path}: item {item} has {values!r}; expected a list of integers")
    return tuple(dict.fromkeys(values))
