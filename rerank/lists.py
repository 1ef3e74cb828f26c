"""Training lists: what a page showed, with positions and labels, and what retrieval returned besides.

A log without impressions says what was chosen, not from what. There the candidates sampled beside a choice count as
shown, at an unknown position: an order is learned from them, and a probability is that of a choice among such a sample.
A choice that retrieval missed is left out: it would be the only product of its list beyond the candidates, and the
network would learn to find it by that.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.outcomes import HEADS, came_of
from rerank.candidates import Candidates

Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

_BLOCK = 4096  # requests at a time, so that [requests, C] temporaries stay small


@dataclass(frozen=True)
class RankingLists:
    """Lists of one slice, [R, L] unless said; padding has row N and weight nothing.

    row: product row. score: retrieval's score, or the same dot product for a shown product that was not retrieved.
    rank: candidates with a better score, from 0; C for a product worse than all. best_score: [R].
    position: on the page, 0 for never shown or unknown. retrieved: among the candidates.
    """

    row: Ints
    score: Floats
    rank: Floats
    best_score: Floats
    position: Ints
    shown: Flags
    retrieved: Flags
    click: Flags
    cart: Flags
    purchase: Flags

    def __len__(self) -> int:
        return len(self.row)


def build_lists(features: FeatureStore, candidates: Candidates, length: int, seed: int) -> RankingLists:
    """The shown products of each request, by position, then a seeded sample of its never-shown candidates.

    Without impressions both are dealt anew.

    Args:
        length: L; pages longer than that are cut.
    """
    random = np.random.default_rng(seed)
    starts = range(0, len(candidates.request), _BLOCK)
    blocks = [
        _build_block(
            features, candidates.take(np.arange(at, min(at + _BLOCK, len(candidates.request)))), length, random
        )
        for at in starts
    ]
    return RankingLists(
        **{
            field.name: np.concatenate([getattr(block, field.name) for block in blocks])
            for field in fields(RankingLists)
        }
    )


def teaching(features: FeatureStore, candidates: Candidates) -> Flags:
    """[R] whether a request's list says what was preferred to what.

    With logged impressions that is any page; without, a choice that is among the candidates.
    """
    numbers = candidates.request.astype(np.int64)
    if features.pages_logged:
        return np.asarray(features.impression_start[numbers + 1] > features.impression_start[numbers])
    absent = len(candidates.product_embeddings)
    found = [np.zeros(0, bool)]
    for at in range(0, len(numbers), _BLOCK):
        part = candidates.take(np.arange(at, min(at + _BLOCK, len(numbers))))
        page = _pages(features, part.request, _width(features, part, 1), absent)
        found.append(np.any(_places_in(part.rows, page.row, absent) >= 0, axis=1))
    return np.concatenate(found)


def request_inputs(
    features: FeatureStore,
    requests: Sequence[int] | npt.NDArray[np.int32],
    query_embedding: Floats,
    history_length: int,
    profile_columns: tuple[str, ...] = (),
) -> dict[str, npt.NDArray[np.generic]]:
    """The request side of the reranker's inputs, for logged requests: arrays whose first dimension is the request."""
    numbers = np.asarray(requests, dtype=np.int64)
    users = features.request_user[numbers]
    row, kind, timestamp = features.history(users, features.request_history_end[numbers], history_length)
    query = np.append(np.asarray(features.queries, dtype=object), "")[features.request_query[numbers]]
    inputs: dict[str, npt.NDArray[np.generic]] = {
        "query": np.asarray(query, dtype=object),
        "query_embedding": np.asarray(query_embedding, dtype=np.float32),
        "history_row": row,
        "history_kind": kind,
        "history_timestamp": timestamp,
        "timestamp": np.asarray(features.request_timestamp[numbers], dtype=np.int64),
    }
    for name in profile_columns:
        if name not in features.user_columns:
            known = ", ".join(features.user_columns) or "none"
            raise DataError(f"profile column {name!r} is not in the users table; declared there: {known}")
        inputs[f"user_{name}"] = np.asarray(features.user_columns[name], dtype=object)[users]
    return inputs


def _build_block(
    features: FeatureStore, candidates: Candidates, length: int, random: np.random.Generator
) -> RankingLists:
    absent = len(candidates.product_embeddings)
    rows = np.where((candidates.rows < 0) | (candidates.rows > absent), absent, candidates.rows)
    scores = np.where(rows < absent, candidates.scores, -np.inf)
    page = _pages(features, candidates.request, _width(features, candidates, length), absent)
    places = same = _places_in(rows, page.row, absent)
    if not features.pages_logged:
        page, same = _candidates_first(page, same, length, absent)
    retrieved = same >= 0
    looked_up = np.take_along_axis(scores, np.maximum(same, 0), axis=1)
    embeddings = _gather(candidates.product_embeddings, page.row)
    page_score = np.where(retrieved, looked_up, np.einsum("rd,rld->rl", candidates.query_embedding, embeddings))
    use_page = page.row < absent
    extra = _sample_unshown(rows, places, use_page, length, absent, random)
    extra_row = np.where(extra >= 0, np.take_along_axis(rows, np.maximum(extra, 0), axis=1), absent)
    extra_score = np.take_along_axis(scores, np.maximum(extra, 0), axis=1)
    row = np.where(use_page, page.row, extra_row)
    score = np.where(row < absent, np.where(use_page, page_score, extra_score), 0.0)
    best = scores.max(axis=1, initial=-np.inf)
    lists = RankingLists(
        row=row.astype(np.int32),
        score=score.astype(np.float32),
        rank=_ranks(scores, score).astype(np.float32),
        best_score=np.where(np.isfinite(best), best, 0.0).astype(np.float32),
        position=page.position,
        shown=use_page if features.pages_logged else row < absent,
        retrieved=np.where(use_page, retrieved, extra >= 0),
        click=page.click,
        cart=page.cart,
        purchase=page.purchase,
    )
    return lists if features.pages_logged else _dealt(lists, absent, random)


def _dealt(lists: RankingLists, absent: int, random: np.random.Generator) -> RankingLists:
    """The products of each list in random order, padding last: equal scores keep the order they come in."""
    order = np.argsort(np.where(lists.row < absent, random.random(lists.row.shape), 1.0), axis=1)
    columns = {field.name: getattr(lists, field.name) for field in fields(lists) if field.name != "best_score"}
    return replace(lists, **{name: np.take_along_axis(column, order, axis=1) for name, column in columns.items()})


@dataclass(frozen=True)
class _Pages:
    """Shown products of requests, [R, L], padded on the right with row N."""

    row: Ints
    position: Ints
    click: Flags
    cart: Flags
    purchase: Flags


def _pages(features: FeatureStore, requests: Ints, length: int, absent: int) -> _Pages:
    numbers = requests.astype(np.int64)
    place = features.impression_start[numbers][:, None] + np.arange(length)
    inside = place < features.impression_start[numbers + 1][:, None]
    place = np.where(inside, place, 0)
    if not len(features.impression_product):
        nothing = np.zeros(place.shape, dtype=bool)
        return _Pages(np.full(place.shape, absent, np.int32), np.zeros(place.shape, np.int32), *(nothing,) * 3)
    return _Pages(
        row=np.where(inside, features.impression_product[place], np.int32(absent)),
        position=np.where(inside, features.impression_position[place], np.int32(0)),
        **{head: inside & came_of(features, head, place) for head in HEADS},
    )


def _width(features: FeatureStore, candidates: Candidates, length: int) -> int:
    """Places to read a page into: a logged one is cut to `length`, of a presumed one every choice is needed."""
    if features.pages_logged:
        return length
    numbers = candidates.request.astype(np.int64)
    sizes = features.impression_start[numbers + 1] - features.impression_start[numbers]
    return max(length, int(sizes.max(initial=0)))


def _candidates_first(
    page: _Pages, same: npt.NDArray[np.int64], length: int, absent: int
) -> tuple[_Pages, npt.NDArray[np.int64]]:
    """The first `length` choices that are candidates, and where among them; the others are dropped."""
    order = np.argsort(same < 0, axis=1, kind="stable")[:, :length]
    same = np.take_along_axis(same, order, axis=1)
    kept = same >= 0
    return _Pages(
        np.where(kept, np.take_along_axis(page.row, order, axis=1), np.int32(absent)),
        np.zeros(kept.shape, np.int32),
        *(kept & np.take_along_axis(label, order, axis=1) for label in (page.click, page.cart, page.purchase)),
    ), same


def _places_in(rows: Ints, wanted: Ints, absent: int) -> npt.NDArray[np.int64]:
    """Where each wanted product stands among its request's candidates, [R, L]; -1 if nowhere."""
    order = np.argsort(rows, axis=1)
    width = np.int64(absent + 1)
    offset = np.arange(len(rows))[:, None] * width
    sorted_keys = (np.take_along_axis(rows, order, axis=1) + offset).ravel()
    keys = wanted + offset
    place = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    found = (sorted_keys[place] == keys) & (wanted < absent)
    return np.where(found, order.ravel()[place], -1)


def _sample_unshown(
    rows: Ints, shown_places: npt.NDArray[np.int64], taken: Flags, length: int, absent: int, random: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Places of never-shown candidates for the free places of each list, [R, L]; -1 where none."""
    key = random.random(rows.shape)
    key[rows == absent] = np.inf
    request, place = np.nonzero(shown_places >= 0)
    key[request, shown_places[request, place]] = np.inf
    order = np.argsort(key, axis=1)[:, :length]
    usable = np.isfinite(np.take_along_axis(key, order, axis=1))
    order = np.where(usable, order, -1)
    if order.shape[1] < length:
        order = np.pad(order, ((0, 0), (0, length - order.shape[1])), constant_values=-1)
    turn = np.arange(length) - taken.sum(axis=1)[:, None]
    return np.where(turn >= 0, np.take_along_axis(order, np.maximum(turn, 0), axis=1), -1)


def _ranks(scores: npt.NDArray[np.floating], wanted: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """How many of the request's candidates score strictly better, [R, L]."""
    falling = np.sort(-scores, axis=1)
    ranks = [np.searchsorted(row, values) for row, values in zip(falling, -wanted, strict=True)]
    return np.array(ranks, np.int64).reshape(wanted.shape)


def _gather(embeddings: Floats, rows: Ints) -> Floats:
    known = rows < len(embeddings)
    gathered = np.asarray(embeddings[np.where(known, rows, 0)], dtype=np.float32)
    return np.where(known[..., None], gathered, np.float32(0))
