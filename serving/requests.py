"""What a caller knows -> the tensors of a signature: checked, padded, stamped, decoded. No connection here."""

import math
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from catalog.pictures import PictureError, decode_picture
from catalog.schema import KINDS
from serving.errors import BadRequestError
from serving.protos import SignatureDef
from serving.tensors import Array

HISTORY_KINDS = tuple(kind for kind in KINDS if kind != "impression")
"""What a history holds: what a shopper did, not what was shown."""

MAX_QUERY_CHARACTERS = 1_000
"""Longer queries are cut: towers read a few dozen tokens, and nobody types more."""

FOUND_WITH_IMAGE = "found_with_image"
"""The signature of a reranker for candidates that were retrieved by a picture, which it does not see."""

_MAX_ID_CHARACTERS = 512  # as catalog.schema has it
_MAX_SECONDS = 100_000_000_000  # the year 5138; a number beyond it counts milliseconds
_USER = "user_"


@dataclass(frozen=True)
class HistoryEvent:
    """One thing the shopper did.

    Attributes:
        product_id: of the product; one that has left the catalogue counts as absent.
        kind: view, click, cart, favourite or purchase.
        timestamp: seconds since the epoch, or a datetime (naive means UTC).
    """

    product_id: str
    kind: str
    timestamp: int | float | datetime


@dataclass(frozen=True)
class Contract:
    """What the signatures of a model ask for.

    Attributes:
        history: H, the length histories are padded to.
        user_columns: profile columns, without `user_`.
        picture: S, the edge of a query picture in pixels; None when the model takes none.
        candidates: C of a reranker; None for other models.
        found_with_image: whether a reranker has a signature for candidates that were found with a picture.
    """

    history: int
    user_columns: tuple[str, ...]
    picture: int | None
    candidates: int | None
    found_with_image: bool = False


def read_contract(signatures: Mapping[str, SignatureDef]) -> Contract:
    """Learn a model's shapes from its signatures.

    Raises:
        BadRequestError: if `serving_default` is not one of a search, retrieval or rerank model, or leaves open how wide
            its inputs are.
    """
    default = signatures.get("serving_default")
    if default is None or "history_product_id" not in default.inputs or "query" not in default.inputs:
        raise BadRequestError(
            "the model's serving_default takes no query and history; this client talks to search, retrieval and rerank"
        )
    picture = signatures.get("with_image")
    return Contract(
        history=_side(default, "history_product_id"),
        user_columns=tuple(sorted(name.removeprefix(_USER) for name in default.inputs if name.startswith(_USER))),
        picture=_side(picture, "query_image") if picture is not None else None,
        candidates=_side(default, "candidate_product_id") if "candidate_product_id" in default.inputs else None,
        found_with_image=FOUND_WITH_IMAGE in signatures,
    )


def _side(signature: SignatureDef, name: str) -> int:
    """The second dimension of an input."""
    dims = [dim.size for dim in signature.inputs[name].tensor_shape.dim] if name in signature.inputs else []
    if len(dims) < 2 or dims[1] < 0:
        raise BadRequestError(
            f"the model does not say how wide its input {name} is; this client talks to search, retrieval and rerank"
        )
    return int(dims[1])


@dataclass(frozen=True)
class Request:
    """One shopper's request, checked when it is built.

    Attributes:
        query: the text; "" asks for a recommendation. Cut at MAX_QUERY_CHARACTERS.
        history: what the shopper did, in any order; kept as a tuple.
        user: profile columns; a column that is left out is unknown.
        image: the bytes of a picture file to search by, beside or instead of the text.
        timestamp: the time of the request; None is now, 0 the time of the model's snapshot.
        exclude: products that the answer leaves out: what is in the cart, or was bought. They are dropped from the K
            products that the model returns, so the answer may have fewer. Kept as a frozenset.

    Raises:
        BadRequestError: with what came and what was expected.
    """

    query: str = ""
    history: Sequence[HistoryEvent] = ()
    user: Mapping[str, str] | None = None
    image: bytes | None = None
    timestamp: int | float | datetime | None = None
    exclude: Collection[str] = ()

    def __post_init__(self) -> None:
        _text(self.query, "query", math.inf)
        if not isinstance(self.history, Iterable):
            raise BadRequestError(f"history: received {self.history!r}; expected HistoryEvents, such as a list")
        object.__setattr__(self, "history", tuple(self.history))  # what is given once, a generator, is read once
        for event in self.history:
            if not isinstance(event, HistoryEvent):
                raise BadRequestError(
                    f"history: received {event!r}; expected HistoryEvent(product_id, kind, timestamp)"
                )
            _text(event.product_id, "history product_id", _MAX_ID_CHARACTERS)
            if not isinstance(event.kind, str) or event.kind not in HISTORY_KINDS:
                raise BadRequestError(
                    f"history kind: received {event.kind!r}; expected one of {', '.join(HISTORY_KINDS)}"
                )
            epoch_seconds(event.timestamp, "history timestamp")
        if self.user is not None and not isinstance(self.user, Mapping):
            raise BadRequestError(f"user: received {self.user!r}; expected a mapping of profile columns")
        for name, value in (self.user or {}).items():
            _text(name, "user column", math.inf)
            _text(value, f"user column {name!r}", math.inf)
        if self.image is not None and not isinstance(self.image, bytes):
            raise BadRequestError(f"image: received {type(self.image).__name__}; expected the bytes of a picture file")
        if self.timestamp is not None:
            epoch_seconds(self.timestamp, "timestamp")
        if isinstance(self.exclude, str):
            raise BadRequestError(f"exclude: received the text {self.exclude!r}; expected product ids, such as a set")
        if not isinstance(self.exclude, Iterable):
            raise BadRequestError(f"exclude: received {self.exclude!r}; expected product ids, such as a set")
        excluded = tuple(self.exclude)
        for product_id in excluded:
            _text(product_id, "exclude", _MAX_ID_CHARACTERS)
        object.__setattr__(self, "exclude", frozenset(excluded))

    @property
    def signature(self) -> str:
        """The signature that takes it."""
        return "serving_default" if self.image is None else "with_image"

    def inputs(self, contract: Contract, with_image: bool = True) -> dict[str, Array]:
        """The tensors of batch size 1 that `contract` asks for.

        The history is sorted by time, cut to its last H events and padded on the left.

        Raises:
            BadRequestError: for a picture that does not decode or that the model does not take, and for a user column
                that it does not know.
        """
        length = contract.history
        events = sorted(self.history, key=lambda event: epoch_seconds(event.timestamp, "history timestamp"))
        events = events[max(len(events) - length, 0) :]
        padding = length - len(events)
        seconds = [int(epoch_seconds(event.timestamp, "history timestamp")) for event in events]
        now = int(time.time() if self.timestamp is None else epoch_seconds(self.timestamp, "timestamp"))
        inputs = {
            "query": _strings([self.query[:MAX_QUERY_CHARACTERS]]),
            "history_product_id": _strings([""] * padding + [event.product_id for event in events])[None],
            "history_kind": _strings([""] * padding + [event.kind for event in events])[None],
            "history_timestamp": np.array([[0] * padding + seconds], np.int64),
            "timestamp": np.array([now], np.int64),
            **self._user_inputs(contract),
        }
        if self.image is not None and with_image:
            inputs["query_image"] = self._pixels(contract)[None]
        return inputs

    def _user_inputs(self, contract: Contract) -> dict[str, Array]:
        user = self.user or {}
        unknown = sorted(set(user) - set(contract.user_columns))
        if unknown:
            known = ", ".join(contract.user_columns) or "none"
            raise BadRequestError(f"user: received the columns {', '.join(unknown)}; this model knows {known}")
        return {_USER + name: _strings([user.get(name, "")]) for name in contract.user_columns}

    def _pixels(self, contract: Contract) -> Array:
        if contract.picture is None:
            raise BadRequestError(
                "image: this model has no signature with_image; search by text, or export one with images"
            )
        assert self.image is not None
        try:
            return decode_picture(self.image, contract.picture)
        except PictureError as error:
            raise BadRequestError(f"image: {error}") from error


def epoch_seconds(moment: int | float | datetime, name: str) -> float:
    """Seconds since the epoch, with their fraction; BadRequestError for what is no time."""
    if isinstance(moment, datetime):
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(moment, bool) or not isinstance(moment, int | float | np.integer | np.floating):
        raise BadRequestError(f"{name}: received {moment!r}; expected seconds since the epoch or a datetime")
    if not 0 <= moment < _MAX_SECONDS:  # neither is NaN
        hint = " (are these milliseconds?)" if _MAX_SECONDS <= moment < math.inf else ""
        shown = "a number of more than 30 digits" if isinstance(moment, int) and abs(moment) > 10**30 else repr(moment)
        raise BadRequestError(f"{name}: received {shown}{hint}; expected seconds since the epoch, 0 or more")
    return float(moment)


def fit_candidates(product_ids: Sequence[str], scores: Sequence[float], size: int) -> tuple[Array, Array]:
    """Candidates cut or padded (with "", which ranks last) to the C that a reranker takes: [1, C] and [1, C]."""
    for product_id in product_ids:
        _text(product_id, "candidate product_id", math.inf)
    for score in scores:
        if not isinstance(score, int | float | np.integer | np.floating) or not math.isfinite(score):
            raise BadRequestError(f"candidate score: received {score!r}; expected a finite number")
    ids = [*product_ids[:size], *[""] * (size - len(product_ids))]
    values = [*scores[:size], *[0.0] * (size - len(scores))]
    return _strings(ids)[None], np.array([values], np.float32)


def _strings(values: Sequence[str]) -> Array:
    array = np.empty(len(values), object)
    array[:] = [value.encode() for value in values]
    return array


def _text(value: Any, name: str, longest: float) -> None:
    if not isinstance(value, str):
        raise BadRequestError(f"{name}: received {value!r} ({type(value).__name__}); expected text")
    if len(value) > longest:
        raise BadRequestError(f"{name}: received {len(value):,} characters; at most {longest:,.0f} are taken")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadRequestError(f"{name}: received text that is not valid Unicode: {error.reason}") from error
