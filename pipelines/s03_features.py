"""Episodes, histories, daily snapshots and the four time slices.

tandem run --config pipelines/configs/demo.yaml --until features
"""

from catalog.feature_store import FeatureStore
from catalog.features import build
from catalog.progress import console
from pipelines.workspace import Workspace


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
    warn_of_missing_pages(store)


def warn_of_missing_pages(store: FeatureStore) -> None:
    """Say at once what would otherwise stop the run after the towers' training."""
    wanted, advice = "page with impressions was logged", "Log impressions with their positions"
    if not store.pages_logged:
        wanted, advice = "click, cart or purchase was logged", "Give a longer log, or longer slices"
    uses = (
        (store.slices.rerank, "the reranker learns", "rerank"),
        (store.slices.validation, "the index is tuned and the reranker validated", "index"),
    )
    for (start, stop), use, stage in uses:
        if not ((store.request_day >= start) & (store.request_day < stop)).any():
            console.print(
                f"[yellow]no {wanted} in days {start} to {stop - 1}, from which {use}: `tandem run` will stop at the "
                f"{stage} stage. {advice}[/yellow]"
            )
