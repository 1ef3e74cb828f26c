"""Episodes, histories, daily snapshots and the four time slices.

tandem run --config pipelines/configs/demo.yaml --until features
"""

import numpy as np

from catalog.feature_store import FeatureStore
from catalog.features import build
from catalog.outcomes import HEADS, came_of
from catalog.progress import console
from pipelines.workspace import Workspace

_FEW = 0.5  # of the choices with a page, or of the pages that begin at position 1: fewer are told


def run(workspace: Workspace) -> None:
    """tables/ -> features/."""
    store = build(workspace / "tables", workspace / "features", workspace.config.features, workspace.config.splits)
    console.print(repr(store))
    if not store.pages_logged:
        console.print(
            "[yellow]the log has no impressions: the reranker learns what is chosen before other candidates of "
            "retrieval. Probabilities are those of such a choice, and nothing is known of positions; log every product "
            "that a page shows, with its position, to have probabilities of a page[/yellow]"
        )
    else:
        if store.choices:
            tell_of_choices(store)
        warn_of_positions(store)
    warn_of_missing_pages(store)


def tell_of_choices(store: FeatureStore) -> None:
    """Say what share of the clicks, carts and purchases came from a logged page, and warn where it is small."""
    shares = {group: paged / count for group, (count, paged) in sorted(store.choices.items())}
    console.print("came from a logged page: " + ", ".join(f"{group} {share:.1%}" for group, share in shares.items()))
    if few := [group for group, share in shares.items() if share < _FEW]:
        console.print(
            f"[yellow]of these, few came from a logged page: {', '.join(few)}. The others are no labels of the "
            "reranker. A choice belongs to the latest page before it that showed the product to the same user in the "
            "same session for the same query; without a query, to one without, or to the page that its product was "
            "last chosen from in the session. Log what every page shows, of searches and of recommendations, with the "
            "session and query that its clicks have; or leave all impressions out, and pages are presumed[/yellow]"
        )


def warn_of_positions(store: FeatureStore) -> None:
    """Say where pages look cut into single products, or counted from 0."""
    starts, positions = store.impression_start[:-1], store.impression_position
    if not len(starts):
        return
    mean = len(positions) / len(starts)
    if mean < 2:
        console.print(
            f"[yellow]a page shows {mean:.1f} products in the mean: those of one page must have one session, query and "
            "timestamp, that of the page; else each is a page of its own, and nothing is learned from what was left"
            "[/yellow]"
        )
    unknown = np.add.reduceat((positions == 0).astype(np.int64), starts)
    first = np.minimum.reduceat(np.where(positions > 0, positions, np.iinfo(np.int32).max), starts)
    placed = np.maximum.reduceat(positions, starts) > 0
    from_zero = placed & (unknown == 1) & (first == 1)
    if from_zero.sum() > _FEW * placed.sum():
        console.print(
            f"[yellow]positions look counted from 0: {from_zero.sum():,} of {placed.sum():,} pages have one product at "
            "0 and the next at 1. 0 means that a position is not known: add 1 to each, so that the top is 1[/yellow]"
        )


def warn_of_missing_pages(store: FeatureStore) -> None:
    """Say at once what would otherwise stop the run after the towers' training, or leave it nothing to learn from."""
    wanted, advice = "page with impressions was logged", "Log impressions with their positions"
    if not store.pages_logged:
        missing = [kind for kind in HEADS if kind not in store.choices]
        wanted, advice = "click, cart or purchase was logged", "Give a longer log, or longer slices"
        if missing:
            advice = f"The whole log has no {' and no '.join(missing)}: log them, or give a longer log or longer slices"
    uses = (
        (store.slices.rerank, "the reranker learns", "rerank"),
        (store.slices.validation, "the index is tuned and the reranker validated", "index"),
    )
    for (start, stop), use, stage in uses:
        first, last = np.searchsorted(store.request_day, [start, stop])
        if first == last:
            console.print(
                f"[yellow]no {wanted} in days {start} to {stop - 1}, from which {use}: `tandem run` will stop at the "
                f"{stage} stage. {advice}[/yellow]"
            )
        elif store.pages_logged:
            shown = np.arange(store.impression_start[first], store.impression_start[last])
            _warn_of_missing_kinds([kind for kind in HEADS if not came_of(store, kind, shown).any()], start, stop)


def _warn_of_missing_kinds(missing: list[str], start: int, stop: int) -> None:
    """Say which probabilities, and where there is nothing at all which order, a slice with pages teaches nothing of."""
    if not missing:
        return
    order = "no order and " if len(missing) == len(HEADS) else ""
    console.print(
        f"[yellow]no {' and no '.join(missing)} came from the pages of days {start} to {stop - 1}: {order}no "
        f"probability of a {' or '.join(missing)} is learned or checked on them. Log what is done on pages, "
        "or give a longer log or longer slices[/yellow]"
    )
