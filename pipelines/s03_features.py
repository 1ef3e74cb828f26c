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
    for (start, stop), use in ((store.slices.rerank, "learns"), (store.slices.validation, "is validated")):
        if not ((store.request_day >= start) & (store.request_day < stop)).any():
            console.print(
                f"[yellow]no page with impressions was logged in days {start} to {stop - 1}, from which the reranker "
                f"{use}: `tandem run` will stop at the rerank stage. Log impressions with their positions, or none at "
                "all: pages are presumed from clicks, carts and purchases then[/yellow]"
            )
