"""Interactions, shown pages and episodes with the history each was preceded by, in Ibis.

Counts of "events before t" come from one running window over events and markers together, and clicks find their page
the same way: sorting, no join on a range, so the work grows as n log n.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from catalog.behaviour_log import BehaviourLog
from catalog.schema import KINDS
from catalog.splits import SECONDS_PER_DAY, Slices

_IMPRESSION = KINDS.index("impression")
_LABELS = ("click", "cart", "purchase")
_CHOICES = tuple(KINDS.index(label) for label in _LABELS)
_EPISODE = ("user", "session", "product")
_PAGE = ("user", "session", "query")


@dataclass(frozen=True)
class Episodes:
    """Tables that become the arrays of a FeatureStore; `strength` is a place in `strength_order`.

    Attributes:
        interactions: [E] index, user, product, kind, timestamp, query, strength, target.
        examples: [X] example, user, query, timestamp, history_count, product, strength, new, slice, request.
        requests: [R] request, user, session, query, timestamp, history_count.
        impressions: [I] request, product, position, click, cart, purchase.
        choices: kind, search (whether its page or the act itself has a query), count of clicks, carts and purchases,
            paged (those of them that came from a page).
        pages_logged: whether the log has impressions; else pages are presumed from choices.
    """

    interactions: ir.Table
    examples: ir.Table
    requests: ir.Table
    impressions: ir.Table
    choices: ir.Table
    pages_logged: bool


def strength_order(weights: Mapping[str, float]) -> list[int]:
    """Kinds from the weakest to the strongest: by weight, then by their order in KINDS."""
    return sorted(range(len(KINDS)), key=lambda kind: (weights[KINDS[kind]], kind))


def find_episodes(log: BehaviourLog, slices: Slices, weights: Mapping[str, float]) -> Episodes:
    """Describe everything in the log that a model can learn from, each with what was known before it."""
    clock = _SliceClock(log.day0, slices)
    pages_logged = _has_impressions(log.events)
    interactions = log.keep(_interactions(log.events, clock, weights))
    if pages_logged:
        requests, shown = _numbered(log, log.events.filter(log.events.kind == _IMPRESSION), "position", "folded")
        sources = log.keep(_source_pages(interactions, shown))
    else:
        paged = log.keep(_with_page(interactions))
        requests, shown = _numbered(log, _presumed(paged, clock), "position")
        page = [*_EPISODE, ("page_query", "query"), ("page_at", "timestamp")]
        sources = log.keep(paged.left_join(shown, page).select("index", source="request"))
    examples = log.keep(_examples(interactions, requests, sources, clock))
    counts = log.keep(_history_counts(interactions, requests, examples))
    impressions = _impressions(shown, _labels(interactions, requests, sources, clock))
    return Episodes(
        interactions=interactions,
        examples=examples.join(counts.filter(counts.source == "example"), [examples.example == counts.id]),
        requests=requests.join(counts.filter(counts.source == "request"), [requests.request == counts.id]),
        impressions=impressions,
        choices=_choices(interactions, requests, sources),
        pages_logged=pages_logged,
    )


@dataclass(frozen=True)
class _SliceClock:
    """Slices in seconds."""

    day0: int
    slices: Slices

    def _end(self, day: int) -> int:
        return self.day0 + day * SECONDS_PER_DAY

    def code(self, timestamp: ir.IntegerValue) -> ir.IntegerValue:
        """The slice that holds `timestamp`."""
        *earlier, last = range(len(self.slices.ranges))
        ends = [self._end(end) for _, end in self.slices.ranges]
        return ibis.cases(*((timestamp < ends[code], code) for code in earlier), else_=last)

    def end(self, timestamp: ir.IntegerValue) -> ir.IntegerValue:
        """The end of the slice that holds `timestamp`: labels stop there."""
        ends = [self._end(end) for _, end in self.slices.ranges]
        return ibis.cases(*((timestamp < end, end) for end in ends[:-1]), else_=ends[-1]).cast("int64")


def _has_impressions(events: ir.Table) -> bool:
    return bool(events.filter(events.kind == _IMPRESSION).limit(1).count().to_pyarrow().as_py())


def _numbered(log: BehaviourLog, shown: ir.Table, *kept: str) -> tuple[ir.Table, ir.Table]:
    """Requests [R], and everything that was shown with its request and the columns `kept`."""
    keys = [*_PAGE, "timestamp"]
    requests = shown.select(keys).distinct()
    requests = log.keep(requests.mutate(request=ibis.row_number().over(order_by=["timestamp", *_PAGE]).cast("int32")))
    return requests, log.keep(shown.join(requests, keys).select("request", *keys, "product", *kept))


def _with_page(acts: ir.Table) -> ir.Table:
    """Acts with the page each must have come from, for a log without impressions: page_query, page_at (null = none).

    What has a query came from its own search, asked when something of it was first touched. What has none, as a
    checkout, goes on with the page of its episode; an episode that begins without a query is a page of its own if the
    product is new to the user.
    """
    searched = acts.query >= 0
    new = ibis.ifelse(acts.product_first == acts.timestamp, acts.timestamp, ibis.null("int64"))
    acts = acts.mutate(own_at=ibis.ifelse(searched, acts.timestamp.min().over(group_by=_PAGE), new))
    opening = {name: ibis.ifelse(acts.opens, acts[name], ibis.null()) for name in ("query", "own_at")}
    begun = {name: value.max().over(group_by=_EPISODE) for name, value in opening.items()}
    return acts.mutate(
        page_query=ibis.ifelse(searched, acts.query, begun["query"]),
        page_at=ibis.ifelse(searched, acts.own_at, begun["own_at"]),
    )


def _presumed(acts: ir.Table, clock: "_SliceClock") -> ir.Table:
    """What the pages of `_with_page` must have shown: what was chosen from them before their slice ended.

    A later choice makes no page: it would touch an earlier slice.
    """
    chosen = acts.filter(acts.kind.isin(_CHOICES))
    chosen = chosen.filter(chosen.page_at.notnull(), chosen.timestamp < clock.end(chosen.page_at))
    shown = chosen.select(*_EPISODE, query="page_query", timestamp="page_at").distinct()
    return shown.mutate(position=ibis.literal(0, "int32"))


def _interactions(events: ir.Table, clock: _SliceClock, weights: Mapping[str, float]) -> ir.Table:
    acts = events.filter(events.kind != _IMPRESSION)
    in_time = ["timestamp", "order"]
    acts = acts.mutate(
        index=ibis.row_number().over(order_by=["user", *in_time]),
        previous_timestamp=acts.timestamp.lag().over(group_by="user", order_by=in_time),
        # The minimum over all events is the past's as soon as the past holds one: later events never lower it.
        product_first=acts.timestamp.min().over(group_by=["user", "product"]),
        episode_start=acts.timestamp.min().over(group_by=_EPISODE),
        opens=ibis.row_number().over(group_by=_EPISODE, order_by=in_time) == 0,
    )
    places = [(kind, place) for place, kind in enumerate(strength_order(weights))]
    counted = acts.timestamp < clock.end(acts.episode_start)
    strength = ibis.ifelse(counted, acts.kind.cases(*places, else_=-1), -1)
    acts = acts.mutate(strength=strength)
    return acts.mutate(
        strength=acts.strength.max().over(group_by=_EPISODE).cast("int32"),
        target=acts.opens
        & (acts.product_first == acts.timestamp)
        & (acts.previous_timestamp < acts.timestamp).fill_null(False),
    )


def _source_pages(acts: ir.Table, shown: ir.Table) -> ir.Table:
    """For each interaction the latest page at or before it that showed the product: index, source (null = none).

    The page has the act's query, but for case and blanks. What has no query, as a checkout, may also go on with the
    page that its episode was on.
    """
    keys = ["user", "session", "folded", "product"]
    relevant = shown.semi_join(acts.select(keys).distinct(), keys)
    timeline = ibis.union(
        relevant.select(*keys, "timestamp", index=ibis.literal(-1, "int64"), request="request"),
        acts.select(*keys, "timestamp", index=acts.index.cast("int64"), request=ibis.null("int32")),
    )
    # Requests are numbered in time, so the largest number so far is the latest page; index -1 puts pages first.
    so_far = ibis.cumulative_window(group_by=keys, order_by=["timestamp", "index"])
    timeline = timeline.mutate(source=timeline.request.max().over(so_far))
    own = acts.join(timeline.filter(timeline.index >= 0).select("index", "source"), "index")
    latest = own.source.max().over(ibis.cumulative_window(group_by=_EPISODE, order_by="index"))
    return own.select("index", source=ibis.ifelse(own.query >= 0, own.source, latest))


def _examples(acts: ir.Table, requests: ir.Table, sources: ir.Table, clock: _SliceClock) -> ir.Table:
    asked = ibis.union(requests.select(*_PAGE, "timestamp"), acts.select(*_PAGE, "timestamp"))
    asked = asked.filter(asked.query >= 0).group_by(_PAGE).aggregate(asked_at=asked.timestamp.min())
    opening = (
        acts.filter(acts.opens)
        .join(sources, "index")
        .left_join(requests.select(source="request", page_at="timestamp"), "source")
        .left_join(asked, _PAGE)
    )
    opening = opening.select(
        "user",
        "product",
        "query",
        "index",
        "strength",
        "product_first",
        started_at="timestamp",
        request=opening.source.fill_null(-1),
        timestamp=ibis.ifelse(opening.query >= 0, ibis.coalesce(opening.page_at, opening.asked_at), opening.timestamp),
    )
    code = clock.code(opening.timestamp)
    return opening.select(
        "user",
        "query",
        "timestamp",
        "product",
        "strength",
        "request",
        new=opening.product_first >= opening.timestamp,
        slice=ibis.ifelse(code == clock.code(opening.started_at), code, -1),
        example=ibis.row_number().over(order_by=["timestamp", "user", "index"]),
    )


def _history_counts(acts: ir.Table, requests: ir.Table, examples: ir.Table) -> ir.Table:
    """How many interactions each user had before each request and example: source, id, history_count."""
    timeline = ibis.union(
        requests.select("user", "timestamp", source=ibis.literal("request"), id=requests.request.cast("int64")),
        examples.select("user", "timestamp", source=ibis.literal("example"), id=examples.example.cast("int64")),
        acts.select("user", "timestamp", source=ibis.literal("event"), id=acts.index.cast("int64")),
    )
    timeline = timeline.mutate(event=(timeline.source == "event").cast("int64"))
    # In one second the markers come before the events: an event at t is not before t.
    so_far = ibis.cumulative_window(group_by="user", order_by=["timestamp", "event"])
    timeline = timeline.mutate(history_count=timeline.event.sum().over(so_far))
    return timeline.filter(timeline.event == 0).select("source", "id", "history_count")


def _labels(acts: ir.Table, requests: ir.Table, sources: ir.Table, clock: _SliceClock) -> ir.Table:
    """What followed from a page, up to the end of its slice: request, product, click, cart, purchase."""
    hits = (
        acts.select("index", "product", "kind", at="timestamp")
        .join(sources.filter(sources.source.notnull()), "index")
        .join(requests.select(source="request", page_at="timestamp"), "source")
    )
    hits = hits.filter(hits["at"] < clock.end(hits.page_at))
    return hits.group_by(request=hits.source, product=hits.product).aggregate(
        **{label: (hits.kind == KINDS.index(label)).any() for label in _LABELS}
    )


def _choices(acts: ir.Table, requests: ir.Table, sources: ir.Table) -> ir.Table:
    chosen = acts.filter(acts.kind.isin(_CHOICES)).join(sources, "index")
    chosen = chosen.left_join(requests.select(source="request", page_query="query"), "source")
    search = (chosen.query >= 0) | (chosen.page_query >= 0).fill_null(False)
    return chosen.group_by("kind", search=search).aggregate(count=chosen["index"].count(), paged=chosen.source.count())


def _impressions(shown: ir.Table, labels: ir.Table) -> ir.Table:
    # A product is once on a page: a log that repeats it keeps the first place.
    once = shown.group_by("request", "product").aggregate(position=shown.position.nullif(0).min().fill_null(0))
    labelled = once.left_join(labels, ["request", "product"])
    return labelled.select(
        "request", "product", "position", **{label: labelled[label].fill_null(False) for label in _LABELS}
    )
